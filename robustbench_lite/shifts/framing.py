"""Risk: the mounting. The object is not where it was in the picture, or not as large."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import number, scaled
from robustbench_lite.shifts.warp import Fill, Places, Warp, finer_for, grid, pixels

_SHARE = (0, 0.02, 0.04, 0.07, 0.11, 0.16)
_FACTOR = (1, 1.05, 1.1, 1.2, 1.35, 1.6)


@dataclass(frozen=True)
class Translation(Warp):
    """A picture that is framed elsewhere: everything moves sideways, up or down.

    On the scale, which is our choice, each sample draws a direction all round, and the severity is how far it
    moves. A step that is given is taken as it is, and the other one is then 0. Bicubic. Differentiable. Not
    modelled: what the camera would have seen outside the image, and parallax.

    Args:
        severity: 0 to 5.
        dx: to the right, as a share of the image's width; None takes it from the scale.
        dy: down, as a share of its height.
        fill: what is shown beyond the edge of the image: reflect, edge or constant (black).
    """

    random = True
    smooth = ("dx", "dy")

    dx: float | None = scaled(_SHARE, -1, 1, "to the right, as a share of the width")
    dy: float | None = scaled(_SHARE, -1, 1, "down, as a share of the height")
    fill: Fill = "reflect"

    def values(self, images: Tensor) -> SimpleNamespace:
        """As for all shifts; but where one step is given, the other is 0."""
        at = super().values(images)
        if self.dx is not None or self.dy is not None:
            at.dx, at.dy = self.dx or 0.0, self.dy or 0.0
        return at

    def places(self, at: SimpleNamespace, like: Tensor) -> Places | None:
        still = grid(*pixels(like), like)
        if self.dx is not None or self.dy is not None:
            moved = _moved(still, at.dx, at.dy)
            return lambda _: moved

        def drawn(stream: Streams) -> Tensor:
            angle = 2 * math.pi * stream.uniform((), "direction", like=like).item()
            return _moved(still, at.dx * math.cos(angle), at.dy * math.sin(angle))

        return drawn


def _moved(still: Tensor, dx: float | Tensor, dy: float | Tensor) -> Tensor:
    step = torch.stack([torch.as_tensor(share, dtype=still.dtype) for share in (dx, dy)])
    return still - 2 * step.to(still)  # 2 is from edge to edge


@dataclass(frozen=True)
class Scale(Warp):
    """A picture taken from nearer or farther, or with another focal length: everything is larger or smaller.

    On the scale, which is our choice, each sample draws whether it becomes larger (factor) or smaller
    (1/factor); a factor that is given is taken as it is. What becomes smaller is averaged, so that no detail turns
    into false patterns. Differentiable. Not modelled: what the camera would have seen around the image, detail
    that a nearer camera sees, and the change of perspective.

    Args:
        severity: 0 to 5.
        factor: of the size of everything, above 1 zooms in; None takes it from the scale, in or out at random.
        fill: what is shown beyond the edge of the image: reflect, edge or constant (black).
    """

    random = True
    smooth = ("factor",)

    factor: float | None = scaled(_FACTOR, 0.1, 10, "of the size of everything; 1 changes nothing")
    fill: Fill = "reflect"

    def places(self, at: SimpleNamespace, like: Tensor) -> Places | None:
        larger = _zoomed(at.factor, like)
        if self.factor is not None:
            return lambda _: larger
        smaller = _zoomed(1 / at.factor, like)
        return lambda stream: smaller if stream.uniform((), "direction", like=like).item() < 0.5 else larger


def _zoomed(factor: float | Tensor, like: Tensor) -> Tensor:
    x, y = pixels(like, finer_for(1 / number(factor)))
    return grid(x / factor, y / factor, like)
