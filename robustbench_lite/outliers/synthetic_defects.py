"""Small defects: a network that was trained to mark made-up ones on normal images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.outliers.greys import grey, squared, standardised
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape
from robustbench_lite.outliers.unet import Weights, logits, trained
from robustbench_lite.types import Cost

HIGHEST = 3
"""Logits whose mean is the score."""
_FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


@dataclass(frozen=True, eq=False)
class Marks:
    """A trained network.

    Args:
        weights: of ``unet.logits``.
        flips: how many mirrored views are averaged, 1, 2 or 4.
    """

    weights: Weights
    flips: int

    def _logits(self, images: Tensor) -> Tensor:
        prepared = _prepared(images)
        return torch.stack([logits(prepared, self.weights, flip) for flip in _FLIPS[: self.flips]]).mean(0)

    def __call__(self, images: Tensor) -> Tensor:
        """Mean of the three highest logits (N,)."""
        return self._logits(images).flatten(1).topk(HIGHEST).values.mean(1)

    def maps(self, images: Tensor) -> Tensor:
        """Logits (N, H, W), interpolated."""
        found = self._logits(images)[:, None]
        return F.interpolate(found, images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]

    def state(self) -> Weights:
        """The weights."""
        return dict(self.weights)


def _prepared(images: Tensor) -> Tensor:
    return standardised(squared(grey(images)))


@dataclass(frozen=True)
class SyntheticDefects(Score):
    """A small U-Net that marks scratches, stains, missing details …, trained on normal images with made-up ones.

    It sees the mean and the deviation of the normal images beside the image: where all parts lie alike, what is
    missing or in a wrong place can be told.
    Synthetic outliers instead of real ones: CutPaste (Li et al., CVPR 2021), DRAEM (Zavrtanik et al., ICCV 2021).
    The network is that of Ronneberger, Fischer & Brox, *U-Net*, MICCAI 2015, with 149,000 weights.

    Args:
        steps: of training, with 16 images each.
        flips: mirrored views that are averaged: 1, 2 or 4 passes.
    """

    steps: int = 1400
    flips: int = 2

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"synthetic_defects: steps={self.steps} is out of range.", "It must be at least 1.")
        if self.flips not in (1, 2, 4):
            raise InputError(f"synthetic_defects: flips={self.flips} is out of range.", "It must be 1, 2 or 4.")

    def cost(self) -> Cost:
        """One pass per view."""
        return Cost(self.flips, 0)

    def fit(self, normals: Normals, parts: Parts) -> Marks:
        """Train on normal images (N, C, H, W)."""
        if len(normals) < 2:
            raise InputError("synthetic_defects needs two images: it pastes from one to another.", "Give more.")
        prepared = torch.cat([_prepared(batch) for batch in torch.split(normals.images, 256)])
        return Marks(trained(prepared, self.steps, normals.seed, normals.on_progress), self.flips)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Marks:
        """The scorer whose state this is."""
        return Marks(state, self.flips)
