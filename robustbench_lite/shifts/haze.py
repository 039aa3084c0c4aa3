"""Risk: the weather. Haze and fog by their physics: light is lost on its way, and daylight scattered into it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

# Foggy Cityscapes (Sakaridis et al., IJCV 2018) has 600, 300 and 150 m.
_VISIBILITY_M = (math.inf, 2000, 1000, 600, 300, 150)
_CONTRAST = 0.05  # what is left of it at the visibility


@dataclass(frozen=True)
class Haze(ScaledShift):
    """Haze or fog over a scene that recedes: the farther a thing, the more it fades into the airlight.

    Koschmieder's law in linear light: I = J·t + A·(1 − t) with t = exp(−βd), β = −ln(0.05) / visibility, so
    that 5 % of the contrast is left at the visibility (the meteorological optical range of the WMO). The
    bottom row of the image lies at ``near_m``, the top row at ``far_m``, the rows between on a plane seen
    through a pinhole: 1/d changes evenly. Scale: the last three levels are those of Foggy Cityscapes
    (Sakaridis et al., IJCV 2018); distances and airlight are our choice. Differentiable.

    Not modelled: the true distance of things that stand up from the plane, patches, colour of the haze
    (smoke and dust scatter blue and red unlike), the glow around lamps, the blur by forward scattering.
    Stored values are taken to be sRGB.

    Args:
        severity: 0 to 5.
        visibility_m: distance at which 5 % of the contrast is left, in metres.
        near_m: distance of the bottom row in metres.
        far_m: distance of the top row in metres.
        airlight: light of the haze itself, in linear light; 1 is white.
    """

    smooth = ("visibility_m", "airlight")

    visibility_m: float | None = scaled(
        _VISIBILITY_M, 1, math.inf, "metres at which 5 % of the contrast is left", inverse=True
    )
    near_m: float = fixed(10, 0.01, 1e6, "distance of the bottom row in metres")
    far_m: float = fixed(200, 0.01, 1e6, "distance of the top row in metres")
    airlight: float = fixed(0.8, 0, 1, "linear light of the haze; 1 is white")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        depth = ground_plane(at.near_m, at.far_m, like)
        seen = transmission(at.visibility_m, depth)
        air = at.airlight * (1 - seen)
        return lambda image, _: to_srgb(to_linear(image) * seen + air)


def transmission(visibility_m: float | Tensor, depth_m: Tensor) -> Tensor:
    """Share of the light that comes through: 5 % where the depth is the visibility. Shape of the depth."""
    return torch.exp(math.log(_CONTRAST) / visibility_m * depth_m)


def ground_plane(near_m: float, far_m: float, like: Tensor) -> Tensor:
    """Depth of each row of images (N, C, H, W) that show a plane: (1, 1, H, 1), near at the bottom.

    The inverse of the depth of a plane is linear in the coordinates of a pinhole camera's image.
    """
    rows = like.shape[-2]
    down = (torch.arange(rows).to(like) + 0.5) / rows
    return 1 / (1 / far_m + (1 / near_m - 1 / far_m) * down).view(1, 1, rows, 1)
