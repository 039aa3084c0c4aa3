"""Risk: the light. Lamps of another colour than the camera is balanced for."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import DAYLIGHT_K, channel_gains, lamp_gains, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

# Daylight; flash and noon sun; print viewing (D50); neutral and warm white LEDs; tungsten.
_CCT_K = (DAYLIGHT_K, 5700, 5000, 4200, 3400, 2700)


@dataclass(frozen=True)
class ColorTemperature(ScaledShift):
    """A wrong white balance: the light is warmer or colder than what the camera takes for white.

    Linear light is multiplied by the von Kries gains of a black body of ``cct_k`` against daylight (6500 K);
    grey keeps its luminance. On the scale, half of the samples are lit by that lamp under a camera that is
    balanced for daylight, and are warm; the others are lit by daylight under a camera that is balanced for that
    lamp, which is the inverse, and are cold. A temperature that is given is the lamp's, under a camera balanced
    for daylight. Black bodies: Kim et al. (US patent 7024034, 2002); the levels are common lamps.
    Differentiable.

    Not modelled: the spectra of LED, fluorescent and sodium lamps, which lack colours that no gain brings back,
    two lamps at once (``dusk`` has two), the noise that the gains add.

    Args:
        severity: 0 to 5.
        cct_k: colour temperature of the lamp in kelvin, 2000 to 25,000; 6500 is daylight; None takes it from the
            scale, with a random direction.
        white_balance: share of the cast that the camera takes out, 0 to 1.
    """

    random = True
    needs_colour = True
    smooth = ("cct_k",)

    cct_k: float | None = scaled(_CCT_K, 2000, 25_000, "colour temperature in kelvin")
    white_balance: float = fixed(0, 0, 1, "share of the colour cast that is taken out")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        warm = channel_gains(lamp_gains(at.cct_k, at.white_balance), like)
        # A cast that is taken out twice is its inverse: balanced for the lamp, lit by daylight.
        cold = channel_gains(lamp_gains(at.cct_k, 2 - at.white_balance), like)

        def light_up(image: Tensor, stream: Streams) -> Tensor:
            inverse = self.cct_k is None and stream.uniform((), "direction", like=image).item() < 0.5
            return to_srgb(to_linear(image) * (cold if inverse else warm))

        return light_up
