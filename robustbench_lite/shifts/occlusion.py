"""Risk: something stands in front of the object, or sticks to it: a hand, a label, another part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal, get_args

import torch
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import Change, ScaledShift, check_choice, scaled

_SHARE = (0, 0.04, 0.08, 0.14, 0.22, 0.32)
_WIDEST = 2.0  # twice as wide as high, or as high as wide
_ELLIPSE = math.pi / 4  # of the rectangle around it
_GREY = 0.5
Shape = Literal["rectangle", "ellipse"]
Cover = Literal["grey", "mean", "noise"]


@dataclass(frozen=True)
class Occlusion(ScaledShift):
    """Something that covers a part of the image: a rectangle or an ellipse, somewhere, of one colour or of noise.

    As in cutout (DeVries & Taylor, 2017) and random erasing (Zhong et al., AAAI 2020), with the covered share
    of the image as its size. Each sample draws the place and the shape, from twice as high as wide to twice as
    wide as high, in shares of the image's height and width; with the severity it grows about one point that
    stays covered. It lies inside the image, in whole pixels. The scale is our choice. Differentiable. Not
    modelled: things that look like something, soft edges, and the shadow that they throw.

    Args:
        severity: 0 to 5.
        share: of the image that is covered; None takes it from the scale.
        shape: rectangle or ellipse, of which the largest covers 0.78 of the image.
        cover: grey (0.5), mean (of the image, per channel), or noise (uniform, per pixel and channel).
    """

    random = True

    share: float | None = scaled(_SHARE, 0, 1, "share of the image that is covered")
    shape: Shape = "rectangle"
    cover: Cover = "grey"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("shape", self.shape, get_args(Shape))
        check_choice("cover", self.cover, get_args(Cover))
        if self.shape == "ellipse" and (self.share or 0) > _ELLIPSE:
            raise InputError(
                f"share={self.share:g} does not fit into the image as an ellipse.",
                f"Give at most {_ELLIPSE:.3f}, or shape=rectangle.",
            )

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        def cover(image: Tensor, stream: Streams) -> Tensor:
            top, left, inside = self._covered(at.share, like, stream)
            height, width = inside.shape
            window = (..., slice(top, top + height), slice(left, left + width))
            image[window] = torch.where(inside, self._colour(image, stream)[window], image[window])
            return image

        return cover

    def filled(self, images: Tensor, streams: Streams) -> Tensor:
        """The share of each image, (N,), that is covered."""
        shares = torch.zeros(len(images))
        if self.does_something():
            share = self.values(images).share
            for i in range(len(images)):
                *_, inside = self._covered(share, images, streams[[i]])
                shares[i] = inside.sum() / images[0, 0].numel()
        return shares.to(images)

    def _covered(self, share: float, like: Tensor, stream: Streams) -> tuple[int, int, Tensor]:
        """The first row and column of a box in images like these, and which of its pixels are covered."""
        height, width = like.shape[-2:]
        shape, down, across = stream.uniform((3,), "place", like=like)[0].tolist()
        box = share / _ELLIPSE if self.shape == "ellipse" else share
        ratio = _WIDEST ** (2 * shape - 1)
        rows = min(height, round(height * min(1, max(box, math.sqrt(box * ratio)))))
        columns = min(width, round(box * height * width / max(1, rows)))
        if share and not rows * columns:  # a speck is one pixel
            rows = columns = 1
        inside = torch.ones(rows, columns, dtype=torch.bool)
        if self.shape == "ellipse":
            y, x = ((2 * torch.arange(side) + 1 - side) / max(1, side) for side in (rows, columns))
            inside = y[:, None] ** 2 + x**2 <= 1
        return round(down * (height - rows)), round(across * (width - columns)), inside.to(like.device)

    def _colour(self, image: Tensor, stream: Streams) -> Tensor:
        """What covers an image (1, C, H, W), at every pixel."""
        if self.cover == "mean":
            return image.mean((2, 3), keepdim=True).expand_as(image)
        if self.cover == "noise":
            return stream.uniform(image.shape[1:], "noise", like=image)
        return image.new_tensor(_GREY).expand_as(image)
