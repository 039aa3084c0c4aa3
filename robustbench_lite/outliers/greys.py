"""What the scores without a pretrained network look at: the image in grey, square and of a bounded size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue: ITU-R BT.601-7, section 2.5.1."""
LEAST_SIDE, MOST_SIDE, STEP = 32, 128, 16
LEAST_DEVIATION = 0.02
"""Five grey levels. An image that varies less is left flat, for its noise is not its content."""


def grey(images: Tensor) -> Tensor:
    """(N, 1, H, W) of images (N, C, H, W): luma of three channels, the mean of any other number."""
    if images.shape[1] == 3:
        return torch.einsum("nchw,c->nhw", images, images.new_tensor(LUMA))[:, None]
    return images.mean(1, keepdim=True)


def side_of(height: int, width: int) -> int:
    """Side of the square that images of that size are brought to: about the longer side, from 32 to 128 pixels."""
    near = STEP * round(max(height, width) / STEP)
    return min(max(near, LEAST_SIDE), MOST_SIDE)


def squared(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as (N, C, S, S) with S of ``side_of``; squashed if they are not square."""
    side = side_of(*images.shape[-2:])
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def standardised(images: Tensor) -> Tensor:
    """Each image (N, 1, H, W) less its mean and divided by its standard deviation: no level, no contrast."""
    centred = images - images.mean((1, 2, 3), keepdim=True)
    variance = centred.square().mean((1, 2, 3), keepdim=True)
    return centred / variance.clamp_min(LEAST_DEVIATION**2).sqrt()
