"""Risk: the light. It comes from behind, into the lens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import places, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_EXPOSURE_EV = (0, -0.5, -1, -1.6, -2.3, -3)
_VEIL = (0, 0.01, 0.025, 0.045, 0.07, 0.1)
_SOURCE = 0.08  # radius of the source in sides of the image: within it the veil is nearly flat


@dataclass(frozen=True)
class Backlight(ScaledShift):
    """Light from behind: the camera meters for a window or the sun, and the lens scatters it over a dark object.

    The light of the scene drops by ``exposure_ev``. To it is added the veil of a white source that stands at
    the edge of the image, on a side of its own for each sample: proportional to 1 / angle², the law of Stiles
    and Holladay for the eye, which scattering in lenses follows roughly, and flat within the source. ``veil``
    is its mean over the image; near the source it is cut off at white. Lenses scatter 1 to 10 % of the light
    (veiling glare index of ISO 9358). Adds up in linear light. Differentiable.

    Not modelled: ghosts and streaks of the lens, a bright background around the object, light that shines through
    it, noise that the underexposure brings (``night`` has it).

    Args:
        severity: 0 to 5. It sets every argument below that is None.
        exposure_ev: change of the scene's light in stops, -10 to 0.
        veil: mean of the light that is added, as a share of white, 0 to 1.
    """

    random = True
    smooth = ("exposure_ev", "veil")

    exposure_ev: float | None = scaled(_EXPOSURE_EV, -10, 0, "change of the light in stops")
    veil: float | None = scaled(_VEIL, 0, 1, "mean share of white that is added")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        down, across = places(like)
        bottom, right = down[-1].item(), across[-1].item()

        def shine(image: Tensor, stream: Streams) -> Tensor:
            angle = 2 * math.pi * stream.uniform((), "side", like=image).item()
            # From the middle to the edge of the image in that direction.
            y, x = math.sin(angle), math.cos(angle)
            reach = 1 / max(abs(y) / bottom, abs(x) / right)
            spread = 1 / ((down - y * reach).square() + ((across - x * reach).square() + _SOURCE**2))
            veil = spread * (at.veil / spread.mean())
            return to_srgb(to_linear(image) * 2.0**at.exposure_ev + veil)

        return shine
