"""Risk: too few bits. A cheaper converter, a low gain, or an image that is sent in few shades."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_BITS = (8, 6, 5, 4, 3, 2)


@dataclass(frozen=True)
class Quantisation(ScaledShift):
    """Fewer shades: each value is rounded to one of 2**bits levels from black to white.

    The levels are our choice. A fraction of a bit gives the nearest whole number of levels. Rounded are stored
    values, as a file or a display does; or, with ``linear``, the light, as the converter behind a sensor does:
    then shadows lose most. Not differentiable: the slope of a step is zero.

    Not modelled: the noise that hides the steps in a camera (``sensor_noise`` before it does), dithering,
    palettes.

    Args:
        severity: 0 to 5.
        bits: per value, 1 to 16; None takes it from the scale.
        linear: whether light is rounded instead of stored values, which are taken to be sRGB.
    """

    differentiable = False

    bits: float | None = scaled(_BITS, 1, 16, "bits per value")
    linear: bool = False

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        steps = round(2**at.bits) - 1

        def convert(image: Tensor, _: Streams) -> Tensor:
            if self.linear:
                return to_srgb(to_linear(image).mul_(steps).round_().div_(steps))
            return image.mul_(steps).round_().div_(steps)

        return convert
