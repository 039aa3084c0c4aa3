"""How far an image's global statistics are from those of the most similar normal image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite.outliers.ellipsoid import LEAST_VARIANCE
from robustbench_lite.outliers.image_statistics import image_statistics
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState
from robustbench_lite.rng import stable_hash

MOST = 5000
"""Normal images that are kept, drawn by the seed: what a search costs grows with them."""


@dataclass(frozen=True, eq=False)
class Nearest(TensorState):
    """The statistics of normal images.

    Args:
        unit: (D,) standard deviations.
        known: (n, D) statistics of normal images, in these units.
    """

    unit: Tensor
    known: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Distance (N,) to the nearest, in standard deviations, root mean square over the statistics."""
        own, known = image_statistics(images) / self.unit.to(images), self.known.to(images)
        with torch.no_grad():
            # Not by way of products, whose rounding depends on the batch and finds another neighbour.
            nearest = torch.cdist(own, known, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
        # Less than a thousandth of a deviation is no distance: of a known image it would be rounding alone.
        distance: Tensor = ((own - known[nearest]).square().mean(1) + 1e-6).sqrt()
        return distance


@dataclass(frozen=True)
class NearestStatistics(Score):
    """Distance of global statistics from those of the nearest normal image: for several kinds of normal images.

    Ramaswamy, Rastogi & Shim, *Efficient algorithms for mining outliers from large data sets*, SIGMOD 2000. Where
    normal images are of several kinds, one ellipsoid around all of them (``image_statistics``) holds much that is
    none of them.
    """

    def fit(self, normals: Normals, parts: Parts) -> Nearest:
        """Keep the statistics of normal images (N, C, H, W), of at most 5,000."""
        generator = torch.Generator().manual_seed(stable_hash("nearest statistics", normals.seed))
        kept = torch.randperm(len(normals), generator=generator)[:MOST].sort()[0]
        with torch.no_grad():
            found = torch.cat([image_statistics(batch) for batch in torch.split(normals.images[kept], 256)]).cpu()
        unit = found.double().var(0, correction=0).clamp_min(LEAST_VARIANCE).sqrt().float()
        return Nearest(unit, (found / unit).contiguous())

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Nearest:
        """The scorer whose state this is."""
        return Nearest(**state)
