"""The shape of an image, as the directions of its edges: histograms of oriented gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_lite.outliers.ellipsoid import Ellipsoid
from robustbench_lite.outliers.greys import grey, squared, standardised
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape

ORIENTATIONS, CELLS = 8, 8
_SPREAD = 0.4  # standard deviation of the blur over places, in cells
_LEAST = 1e-2  # mean energy of a cell, in standard deviations of the image per pixel; below it there are no edges
_ROUND = 1e-4  # under the square root, whose slope would be infinite at 0


def hog(images: Tensor) -> Tensor:
    """(N, 512): the root of the share of edges of each of 8 directions in each of 8×8 cells.

    After Dalal & Triggs, *Histograms of oriented gradients for human detection*, CVPR 2005, with unsigned
    directions; normalised over the image, not in blocks, and blurred over places. Direction 0 is an upright edge,
    direction 4 a lying one. Level and contrast of the image do not matter.
    """
    down, right = _gradient(standardised(squared(grey(images))))
    energy = down.square() + right.square()
    flat = energy < 1e-10
    angle = torch.atan2(down.masked_fill(flat, 0), right.masked_fill(flat, 1))  # no slope at (0, 0)
    place = angle * (ORIENTATIONS / math.pi)
    nearest = torch.arange(ORIENTATIONS, device=images.device).view(-1, 1, 1)
    away = ((place - nearest + ORIENTATIONS / 2) % ORIENTATIONS - ORIENTATIONS / 2).abs()
    votes = (1 - away).clamp_min(0) * energy.masked_fill(flat, 1).sqrt().masked_fill(flat, 0)
    pool = _pool(votes.shape[-1]).to(votes)
    cells = pool @ votes @ pool.T
    share = cells / cells.mean((1, 2, 3), keepdim=True).clamp_min(_LEAST / ORIENTATIONS)
    return (share + _ROUND).sqrt().flatten(1)


def _gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Down and to the right, (N, 1, H, W) each, of Sobel's filters: per pixel."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    columns = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return (columns[:, :, 2:] - columns[:, :, :-2]) / 8, (rows[..., 2:] - rows[..., :-2]) / 8


@cache
def _pool(side: int) -> Tensor:
    """(8, side): means over cells of what was blurred before."""
    places = torch.arange(side, dtype=torch.float64)
    blur = torch.exp(-0.5 * ((places[:, None] - places) / (_SPREAD * side / CELLS)).square())
    blur /= blur.sum(1, keepdim=True)
    return blur.view(CELLS, -1, side).mean(1).float()


@dataclass(frozen=True)
class HOG(Score):
    """Mahalanobis distance of histograms of oriented gradients: whether the shape is one of the usual shapes."""

    def fit(self, normals: Normals, parts: Parts) -> Ellipsoid:
        """Fit to normal images (N, C, H, W)."""
        return Ellipsoid.fit(hog, normals.images, of_one_unit=True)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Ellipsoid:
        """The scorer whose state this is."""
        return Ellipsoid(hog, **state)
