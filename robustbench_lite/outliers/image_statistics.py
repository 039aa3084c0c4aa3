"""What an image is like as a whole: its greys, its sharpness, its frequencies, its light, its colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_lite.outliers.ellipsoid import Ellipsoid
from robustbench_lite.outliers.greys import grey, squared
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape

GREY_QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LOCAL_QUANTILES = (0.1, 0.5, 0.9, 0.99)
RINGS, SECTORS, TILES = 6, 4, 4
_LEVEL = 1 / 255
"""Under every logarithm: what is less than a grey level is no difference."""


def image_statistics(images: Tensor) -> Tensor:
    """(N, 60) of grey images, (N, 60 + 2C) of images with C > 1 channels.

    In this order: 9 quantiles of the grey values, log standard deviation, skewness, excess kurtosis, 24 logarithms
    of the spectrum (6 rings of rising frequency, 4 directions each), 4 log quantiles of the gradient's size, 4 of
    the standard deviation in 3×3 pixels, 16 means over tiles; then mean and standard deviation of each channel's
    difference from grey.
    """
    small = squared(images)
    values = grey(small)
    flat = values.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    deviation = (centred.square().mean(1, keepdim=True) + _LEVEL**2).sqrt()
    scaled = centred / deviation
    found = [
        _quantiles(flat, GREY_QUANTILES),
        deviation.log(),
        scaled.pow(3).mean(1, keepdim=True),
        scaled.pow(4).mean(1, keepdim=True) - 3,
        _spectrum(values),
        _quantiles(_gradient_size(values).flatten(1), LOCAL_QUANTILES).log(),
        _quantiles(_local_deviation(values).flatten(1), LOCAL_QUANTILES).log(),
        F.adaptive_avg_pool2d(values, TILES).flatten(1),
    ]
    if images.shape[1] > 1:
        colour = (small - values).flatten(2)
        found += [colour.mean(2), (colour.var(2, correction=0) + _LEVEL**2).sqrt()]
    return torch.cat(found, 1)


def _quantiles(values: Tensor, shares: tuple[float, ...]) -> Tensor:
    """(N, k) of (N, M): the values of the nearest rank, not interpolated."""
    ranks = [round(share * (values.shape[1] - 1)) for share in shares]
    return values.sort(1).values[:, ranks]


def _gradient_size(values: Tensor) -> Tensor:
    down, right = values[..., 1:, :-1] - values[..., :-1, :-1], values[..., :-1, 1:] - values[..., :-1, :-1]
    return (down.square() + right.square() + _LEVEL**2).sqrt()


def _local_deviation(values: Tensor) -> Tensor:
    """Standard deviation of each pixel's 3×3 neighbours."""
    mean = values.mean((1, 2, 3), keepdim=True)  # taken off before squaring, for precision
    first, second = (F.avg_pool2d((values - mean).pow(power), 3, stride=1) for power in (1, 2))
    return ((second - first.square()).clamp_min(0) + _LEVEL**2).sqrt()


def _spectrum(values: Tensor) -> Tensor:
    """Log mean power (N, 24) in rings and sectors of frequency; a window keeps the border's jump out of it."""
    side = values.shape[-1]
    centred = values[:, 0] - values.mean((1, 2, 3)).view(-1, 1, 1)
    window = torch.hann_window(side, periodic=False, dtype=values.dtype, device=values.device)
    power = torch.view_as_real(torch.fft.rfft2(centred * window[:, None] * window, norm="ortho")).square().sum(-1)
    return (power.flatten(1) @ _bins(side).to(values) + _LEVEL**2).log()


@cache
def _bins(side: int) -> Tensor:
    """(M, 24): weights that average the power of each ring and sector of the half plane of frequencies."""
    down = torch.fft.fftfreq(side, dtype=torch.float64)[:, None]
    right = torch.fft.rfftfreq(side, dtype=torch.float64)
    radius = (down.square() + right.square()).sqrt()
    # Rings of equal ratio from two periods per image to half a period per pixel; corners count to the last.
    ring = ((radius * side / 2).clamp_min(1e-9).log() / math.log(side / 4) * RINGS).floor().clamp(0, RINGS - 1)
    sector = (torch.atan2(down + 0 * right, right + 0 * down) / math.pi * SECTORS + 0.5).floor() % SECTORS
    index = (ring * SECTORS + sector).long()
    weights = F.one_hot(index, RINGS * SECTORS).double() * (radius > 0)[..., None]
    averages: Tensor = weights.flatten(0, 1) / weights.sum((0, 1)).clamp_min(1)
    return averages.float()


@dataclass(frozen=True)
class ImageStatistics(Score):
    """Mahalanobis distance of global statistics: grey values, sharpness, frequencies, illumination, colour."""

    def fit(self, normals: Normals, parts: Parts) -> Ellipsoid:
        """Fit to normal images (N, C, H, W)."""
        return Ellipsoid.fit(image_statistics, normals.images)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Ellipsoid:
        """The scorer whose state this is."""
        return Ellipsoid(image_statistics, **state)
