"""What shifts of geometry share: looking every pixel up at another place, and what lies beyond the edge."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from types import SimpleNamespace
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import Change, ScaledShift, check_choice

Fill = Literal["reflect", "edge", "constant"]
_PADDING = {"reflect": "reflection", "edge": "border", "constant": "zeros"}

Places = Callable[[Streams], Tensor]
"""Where the pixels of one sample are looked up: (1, k H, k W, 2), -1 to 1 from edge to edge."""


class Warp(ScaledShift):
    """A shift that shows every pixel of the image at another place.

    Between pixels it is bicubic. A bilinear filter softens fine texture so much that a classifier of surfaces errs
    because of that, and not because of what is simulated.

    A subclass is a frozen dataclass with a field ``fill``: what is shown where the image does not hold what the
    camera would have seen. That is its mirror image (reflect), its outermost pixels (edge) or black (constant).
    """

    interpolation: ClassVar[str] = "bicubic"
    fill: Fill

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("fill", self.fill, get_args(Fill))

    @abstractmethod
    def places(self, at: SimpleNamespace, like: Tensor) -> Places | None:
        """Where the pixels of a sample come from; None if every pixel stays where it is.

        A grid with k H × k W places is averaged over k × k of them, as an image must be that becomes smaller.
        """

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        places = self.places(at, like)
        if places is None:
            return lambda image, _: image

        def warp(image: Tensor, stream: Streams) -> Tensor:
            grid = places(stream)
            looked_up = grid_sample(image, grid, self.interpolation, _PADDING[self.fill], align_corners=False)
            finer = grid.shape[1] // image.shape[2]
            return avg_pool2d(looked_up, finer) if finer > 1 else looked_up

        return warp

    def filled(self, images: Tensor, streams: Streams) -> Tensor:
        """The share of each image, (N,), that is looked up beyond its edge."""
        places = self.places(self.values(images), images) if self.does_something() else None
        shares = torch.zeros(len(images))
        if places is not None:
            for i in range(len(images)):
                beyond = places(streams[[i]]).abs() > 1 + 1e-6  # rounding is not beyond
                shares[i] = beyond.any(-1).float().mean()
        return shares.to(images)


def finer_for(shrinking: float) -> int:
    """How many places per pixel and axis an image needs that becomes so many times smaller.

    On two photographs, one place and the mean of 4 × 4 of them are 40 dB apart when everything becomes 1.35
    times smaller, and 38 dB at 1.6: false patterns are hardly seen.
    """
    return max(1, math.ceil(shrinking / 1.5))


def pixels(like: Tensor, finer: int = 1) -> tuple[Tensor, Tensor]:
    """Places of the pixels of (N, C, H, W) in pixels from the centre: x (k W,) to the right, y (k H, 1) down."""
    height, width = like.shape[-2:]
    y = (torch.arange(finer * height).to(like) + 0.5) / finer - height / 2
    x = (torch.arange(finer * width).to(like) + 0.5) / finer - width / 2
    return x, y[:, None]


def grid(x: Tensor, y: Tensor, like: Tensor) -> Tensor:
    """The places of ``Places`` from those in pixels from the centre, (k H, k W) or what broadcasts to it."""
    height, width = like.shape[-2:]
    rows, columns = len(y), x.shape[-1]
    both = (x * (2 / width)).expand(rows, columns), (y * (2 / height)).expand(rows, columns)
    return torch.stack(both, -1)[None]


def radians(degrees: float | Tensor) -> Tensor:
    """An angle as a tensor, with its gradient."""
    return torch.as_tensor(degrees, dtype=torch.float64) * (math.pi / 180)
