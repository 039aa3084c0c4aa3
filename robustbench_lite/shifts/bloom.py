"""Risk: the lens. Its glass, fingerprints and haze scatter light."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.shifts import light
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_SHARE = (0, 0.08, 0.16, 0.28, 0.42, 0.6)


@dataclass(frozen=True)
class Bloom(ScaledShift):
    """Light that the lens scatters: halos about bright spots, and a veil over the dark beside them.

    In linear light, the share ``share`` of all light is spread by the mean of two Gaussians, of 1.5 % and 8 %
    of the image's side. What is nearly white was cut off in the image, and is taken to have been twice as
    bright. The shape and the levels are our choice. Differentiable.

    Not modelled: ghosts (mirror images of lamps between the lenses), the stars that apertures make of lamps,
    light from outside of the image.

    Args:
        severity: 0 to 5.
        share: part of the light that is scattered; None takes it from the scale.
    """

    smooth = ("share",)

    share: float | None = scaled(_SHARE, 0, 1, "part of the light that is scattered")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        scatter = light.Bloom(at.share, like)
        return lambda image, _: light.to_srgb(scatter(light.to_linear(image), white=1))
