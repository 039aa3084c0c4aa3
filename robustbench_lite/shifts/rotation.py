"""Risk: the mounting. The camera, or the part in front of it, is turned."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.shifts.scale import scaled
from robustbench_lite.shifts.warp import Fill, Places, Warp, grid, pixels, radians

# ImageNet-C has no rotation. Level 5 is the +-30 degrees of Engstrom et al. (ICML 2019).
_DEGREES = (0, 5, 10, 15, 20, 30)


@dataclass(frozen=True)
class Rotation(Warp):
    """A camera or a part that is turned about the line of sight, to the left or to the right.

    Scale: up to the 30 degrees of Engstrom et al., Exploring the Landscape of Spatial Robustness (ICML
    2019); the same at every image size. On the scale, each sample draws its direction; an angle that is
    given is taken as it is. Bicubic. Differentiable. Not modelled: what the camera would have seen outside
    the image, tilt (``camera_angle``), and reading out by rows.

    Args:
        severity: 0 to 5.
        degrees: angle, counter-clockwise; None takes it from the scale, with a random direction.
        fill: what is shown beyond the edge of the image: reflect, edge or constant (black).
    """

    random = True
    smooth = ("degrees",)

    degrees: float | None = scaled(_DEGREES, -180, 180, "counter-clockwise")
    fill: Fill = "reflect"

    def places(self, at: SimpleNamespace, like: Tensor) -> Places | None:
        if isinstance(at.degrees, float | int) and at.degrees == 0:
            return None
        left = turned(at.degrees, like)
        if self.degrees is not None:
            return lambda _: left
        right = turned(-at.degrees, like)
        return lambda stream: right if stream.uniform((), "direction", like=like).item() < 0.5 else left


def turned(degrees: float | Tensor, like: Tensor) -> Tensor:
    """Where the pixels of an image come from that is turned counter-clockwise about its centre."""
    angle = radians(degrees)
    x, y = (axis.double() for axis in pixels(like))
    cos, sin = angle.cos().to(x), angle.sin().to(x)
    return grid(cos * x - sin * y, sin * x + cos * y, like).to(like)
