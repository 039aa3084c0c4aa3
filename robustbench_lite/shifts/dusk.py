"""Risk: the light. A low sun, and the blue sky that is left of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import DAYLIGHT_K, channel_gains, lamp_gains, places, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_EXPOSURE_EV = (0, -0.25, -0.5, -0.9, -1.4, -2)
_SUN_K = (DAYLIGHT_K, 5500, 4700, 3900, 3100, 2400)
_SKY_K = (DAYLIGHT_K, 7200, 8200, 9600, 11_500, 14_000)
_GRADIENT = (0, 0.25, 0.45, 0.6, 0.75, 0.9)
_LATEST, _EARLIEST = 0.1, 0.9  # share of the sun in the light


@dataclass(frozen=True)
class Dusk(ScaledShift):
    """Dusk and dawn: less light, warm from a low sun on one side, blue from the sky everywhere.

    Linear light is the sum of two: the sky's, the same all over the image, and the sun's, which falls off
    across the image by ``gradient``. Each sample draws where the sun stands and its share of the light, 0.1 to
    0.9: much of it is the golden hour, little the blue one. Both have the colour of black bodies of equal
    luminance. The camera stays balanced for daylight. The levels are our choice: the sun reddens from some
    5500 K towards 2000 K at the horizon, and a clear sky has 9000 K and more. What the camera's automatic
    exposure has put back is not counted in ``exposure_ev``, and there is no noise: ``night`` has it.
    Differentiable.

    Not modelled: long shadows (``shadow``), the sun in the picture (``backlight``), the green and purple of real
    twilight, lamps that are lit already. Images that have not three channels get the light without its colour.

    Args:
        severity: 0 to 5. It sets every argument below that is None.
        exposure_ev: change of the light in stops, -10 to 0.
        sun_cct_k: colour temperature of the sun in kelvin, 2000 to 25,000; 6500 is daylight.
        sky_cct_k: colour temperature of the sky.
        gradient: share of the sun's light that is missing on the far side of the image, 0 to 1.
    """

    random = True
    smooth = ("exposure_ev", "gradient")

    exposure_ev: float | None = scaled(_EXPOSURE_EV, -10, 0, "change of the light in stops")
    sun_cct_k: float | None = scaled(_SUN_K, 2000, 25_000, "colour temperature in kelvin")
    sky_cct_k: float | None = scaled(_SKY_K, 2000, 25_000, "colour temperature in kelvin")
    gradient: float | None = scaled(_GRADIENT, 0, 1, "share of the sun's light that is missing on the far side")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        down, across = places(like)
        colour = like.shape[1] == 3
        sun, sky = (
            channel_gains(lamp_gains(kelvin, 0), like) if colour else 1.0
            for kelvin in (at.sun_cct_k, at.sky_cct_k)
        )

        def light_up(image: Tensor, stream: Streams) -> Tensor:
            early, turn = stream.uniform((2,), "sun", like=image)[0].tolist()
            share = _LATEST + (_EARLIEST - _LATEST) * early
            along = down * math.sin(2 * math.pi * turn) + across * math.cos(2 * math.pi * turn)  # towards the sun
            nearness = 0.5 + 0.5 * along / along.amax()
            sunlight = 1 - at.gradient * (1 - nearness)
            light = (1 - share) * sky + share * sun * sunlight
            return to_srgb(to_linear(image) * light * 2.0**at.exposure_ev)

        return light_up
