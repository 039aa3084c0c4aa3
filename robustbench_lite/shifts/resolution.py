"""Risk: fewer pixels on the part. A camera farther away, a cheaper sensor, a wider lens."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_PIXEL_SHARE = {
    32: (1, 0.8, 0.65, 0.5, 0.4, 0.3),
    64: (1, 0.75, 0.6, 0.45, 0.35, 0.25),
    224: (1, 0.6, 0.4, 0.25, 0.17, 0.12),
}


@dataclass(frozen=True)
class ResolutionLoss(ScaledShift):
    """Fewer pixels on the object: each new pixel collects the light of its whole area, then it is enlarged.

    The image is averaged over the squares of a coarser sensor, exactly, also where they cut pixels in two;
    and enlarged again to its size by linear interpolation, as the preprocessing before a network does. The levels
    are our choice. Differentiable.

    Not modelled: light (stored values are averaged, as scaling programs do), colour filters that share out the
    pixels among the channels, gaps between pixels, the noise that smaller pixels have (``sensor_noise``).

    Args:
        severity: 0 to 5.
        pixel_share: pixels per side that are left, as a share; None takes it from the scale.
    """

    pixel_share: float | None = scaled(_PIXEL_SHARE, 0.001, 1, "share of the side's pixels that is left")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        if at.pixel_share == 1:
            return lambda image, _: image
        rows, columns = (
            (enlarging(size, at.pixel_share) @ coarse_pixels(size, at.pixel_share)).to(like)
            for size in like.shape[-2:]
        )

        def scan(image: Tensor, _: Streams) -> Tensor:
            return rows @ image @ columns.T

        return scan


def coarse_pixels(size: int, share: float) -> Tensor:
    """(n, size): what each pixel of a coarser sensor averages. Float64.

    The coarse pixels are centred on the image, and the last ones may reach beyond its edge, so that their size is
    not bound to whole fractions of it.
    """
    width = 1 / share
    count = max(1, round(size * share))
    starts = size / 2 + width * (torch.arange(count, dtype=torch.float64) - count / 2)[:, None]
    pixels = torch.arange(size, dtype=torch.float64)
    covered = (torch.minimum(starts + width, pixels + 1) - torch.maximum(starts, pixels)).clamp_min(0)
    return covered / covered.sum(1, keepdim=True)


def enlarging(size: int, share: float) -> Tensor:
    """(size, n): linear interpolation between the middles of those coarse pixels. Float64."""
    count = max(1, round(size * share))
    pixels = torch.arange(size, dtype=torch.float64)
    place = ((pixels + 0.5 - size / 2) * share + count / 2 - 0.5).clamp(0, count - 1)
    return (1 - (place[:, None] - torch.arange(count)).abs()).clamp_min(0)
