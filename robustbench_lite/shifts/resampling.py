"""Risk: images that were scaled on their way. Too small once, or by another filter than in training."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, interpolate

from robustbench_lite.shifts.scale import Change, ScaledShift, check_choice, scaled

_SCALE = {
    32: (1, 0.95, 0.9, 0.85, 0.75, 0.65),
    64: (1, 0.9, 0.8, 0.7, 0.6, 0.5),
    224: (1, 0.6, 0.5, 0.4, 0.3, 0.25),
}
_FACTOR = (1, 0.8, 0.65, 0.5, 0.35, 0.25)
_FILTERS = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic", "area": "area"}


@dataclass(frozen=True)
class Pixelate(ScaledShift):
    """Large pixels: averaged into fewer, and each of these repeated.

    Scale: pixelate of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks & Dietterich,
    ICLR 2019), between them by image size. Down and up again with the box filter of Pillow, without its
    rounding to 8 bits; the number of pixels is rounded down, to one at least. Differentiable. Not modelled:
    mosaics whose blocks do not cover the image evenly, and the smooth filter that most programs enlarge with
    (``resize_filter``).

    Args:
        severity: 0 to 5.
        scale: share of the side's pixels that is left; None takes it from the scale of severities.
    """

    together = True

    scale: float | None = scaled(_SCALE, 0.001, 1, "share of the side's pixels that is left")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        rows, columns = (_Boxes(size, at.scale, like) for size in like.shape[-2:])

        def pixelate(images: Tensor, _: object) -> Tensor:
            # Rows are cheap to choose, columns are not: in between, the images lie on their side.
            lying = rows.average(images).transpose(2, 3).contiguous()
            upright = columns.repeat(columns.average(lying)).transpose(2, 3).contiguous()
            return rows.repeat(upright)

        return pixelate


class _Boxes:
    """Averages of neighbouring rows, and the rows that each of them then becomes.

    Weighted sums of chosen rows, which are cheaper here than a matrix product, and the same bits in any batch.
    """

    def __init__(self, size: int, scale: float, like: Tensor) -> None:
        count = max(1, int(size * scale))
        # Pillow's rule: pixels whose centre lies within half a box of the box's centre, the right end included; in
        # Pillow's order of operations, because rounding decides where both ends hit a centre.
        box = size / count
        centres = (np.arange(count)[:, None] + 0.5) * box
        pixels = np.arange(size)
        offset = (pixels - centres + 0.5) * (1 / box)
        seen = (pixels >= (centres - box / 2 + 0.5).astype(int)) & (pixels < (centres + box / 2 + 0.5).astype(int))
        inside = seen & (offset > -0.5) & (offset <= 0.5)
        widths = inside.sum(1)
        bags = inside.nonzero()[1], np.concatenate(([0], widths.cumsum()[:-1])), np.repeat(1 / widths, widths)
        self._size = size
        self._chosen, self._starts, weights = (torch.from_numpy(part).to(like.device) for part in bags)
        self._weights = weights.to(like)
        self._shown = torch.from_numpy(((pixels + 0.5) * (count / size)).astype(int)).to(like.device)

    def average(self, images: Tensor) -> Tensor:
        """Images (N, C, rows, W) with as many rows as there are boxes."""
        count, channels, _, width = images.shape
        plane = torch.arange(count * channels, device=images.device)[:, None]
        averages = embedding_bag(
            (self._chosen + plane * self._size).flatten(),
            images.reshape(-1, width),
            (self._starts + plane * len(self._chosen)).flatten(),
            mode="sum",
            per_sample_weights=self._weights.repeat(count * channels),
        )
        return averages.view(count, channels, -1, width)

    def repeat(self, images: Tensor) -> Tensor:
        """Such images at full size: each row shows the box that its centre lies in."""
        return images.index_select(2, self._shown)


@dataclass(frozen=True)
class ResizeFilter(ScaledShift):
    """Scaled down and up again by the wrong filter: fine detail turns into steps and false patterns.

    The well-known mistake of deployments: training scales down with a filter that averages over all pixels
    (Pillow's; ``antialias=true``), the program in the field with one that looks at the nearest four or at the
    nearest one (OpenCV's INTER_LINEAR and INTER_NEAREST; ``antialias=false``). How much a network minds depends
    on how much smaller the images become, which is what the severity says; they are enlarged again with
    the same kind of filter. The scale is our choice. Differentiable. Not modelled: detail beyond the
    resolution of the given images, and half-pixel offsets.

    Args:
        severity: 0 to 5.
        factor: share of the side that the images are scaled to; None takes it from the scale.
        filter: nearest, bilinear, bicubic (as PyTorch's) or area, an average over the pixels.
        antialias: average over all pixels when scaling down with bilinear or bicubic, as Pillow does.
    """

    factor: float | None = scaled(_FACTOR, 0.01, 1, "share of the side that the images are scaled to")
    filter: Literal["nearest", "bilinear", "bicubic", "area"] = "bilinear"
    antialias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("filter", self.filter, tuple(_FILTERS))

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        size = tuple(like.shape[-2:])
        small = tuple(max(1, int(side * at.factor)) for side in size)
        mode = _FILTERS[self.filter]
        smooth = self.antialias and mode in ("bilinear", "bicubic")
        back = "nearest-exact" if mode == "area" else mode

        def resize(image: Tensor, _: object) -> Tensor:
            return interpolate(interpolate(image, small, mode=mode, antialias=smooth), size, mode=back)

        return resize
