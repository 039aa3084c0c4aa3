"""Risk: the lens. It passes less light to the corners."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled
from robustbench_lite.shifts.warp import pixels

_HALF_FIELD_DEGREES = (0, 25, 33, 41, 49, 58)


@dataclass(frozen=True)
class Vignetting(ScaledShift):
    """The corners are darker than the centre: natural vignetting by the cosine-fourth law, in linear light.

    Light that arrives at the angle θ to the axis is weakened by cos⁴ θ; tan θ grows with the distance from
    the image's centre. The angle in the corner is that of the lens: 25 degrees for a normal lens, 58 degrees
    for a very wide one without correction; the levels in between are our choice. Differentiable.

    Not modelled: vignetting by the barrel of the lens and by the sensor's microlenses, which comes on top and
    depends on the aperture; that the camera corrects for it; the noise in the dark corners (``night``).

    Args:
        severity: 0 to 5.
        half_field_degrees: angle θ in the corner; None takes it from the scale.
    """

    smooth = ("half_field_degrees",)

    half_field_degrees: float | None = scaled(_HALF_FIELD_DEGREES, 0, 85, "angle to the axis in the corner")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        corner = torch.as_tensor(at.half_field_degrees * math.pi / 180).to(like).tan().square()
        (x, y), (height, width) = pixels(like), like.shape[-2:]
        squared_radius = (x * x + y * y) * (4 / (height**2 + width**2))  # 1 in the corner
        passed = torch.reciprocal((1 + corner * squared_radius).square())
        return lambda image, _: to_srgb(to_linear(image) * passed)
