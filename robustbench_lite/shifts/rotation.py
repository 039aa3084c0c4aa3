"""Risk: the mounting. The camera, or the part in front of it, stands at another angle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

# ImageNet-C has no rotation. Level 5 is the +-30 degrees of Engstrom et al. (ICML 2019).
_DEGREES = (0, 5, 10, 15, 20, 30)


@dataclass(frozen=True)
class Rotation(ScaledShift):
    """A camera or a part that is turned about the line of sight, to the left or to the right.

    Scale: up to the 30 degrees of Engstrom et al., Exploring the Landscape of Spatial Robustness (ICML
    2019); the same at every image size. On the scale, each sample draws its direction; an angle that is
    given is taken as it is. Bilinear; what lay outside the image is filled with its mirror image.
    Differentiable. Not modelled: what the camera would have seen outside the image, tilt and perspective,
    shifts, and reading out by rows. The bilinear filter softens the image slightly, which a turned camera
    does not.

    Args:
        severity: 0 to 5.
        degrees: angle, counter-clockwise; None takes it from the scale, with a random direction.
    """

    random = True

    degrees: float | None = scaled(_DEGREES, -180, 180, "counter-clockwise")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        if at.degrees == 0:
            return lambda image, _: image

        def turn(image: Tensor, stream: Streams) -> Tensor:
            right = self.degrees is None and stream.uniform((), "direction", like=image).item() < 0.5
            return _rotate(image, -at.degrees if right else at.degrees)

        return turn


def _rotate(image: Tensor, degrees: float) -> Tensor:
    """Turned counter-clockwise about the centre."""
    height, width = image.shape[-2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    y = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    source = torch.stack((2 * (cos * x - sin * y) / width, 2 * (sin * x + cos * y) / height), -1)
    return grid_sample(image, source[None].to(image), "bilinear", "reflection", align_corners=False)
