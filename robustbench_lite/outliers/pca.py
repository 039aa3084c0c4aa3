"""The linear baseline: how far an image is from what a few principal axes can draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA as PrincipalComponents
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState


@dataclass(frozen=True, eq=False)
class Subspace(TensorState):
    """A fitted PCA: mean (D,) and orthonormal directions (k, D)."""

    mean: Tensor
    directions: Tensor

    def _residual(self, images: Tensor) -> Tensor:
        mean, directions = self.mean.to(images), self.directions.to(images)
        centred = images.flatten(1) - mean
        return (centred - (centred @ directions.T) @ directions).view_as(images)

    def __call__(self, images: Tensor) -> Tensor:
        """Mean squared residual (N,)."""
        return self._residual(images).square().flatten(1).mean(1)

    def maps(self, images: Tensor) -> Tensor:
        """Squared residual (N, H, W), the mean of the channels."""
        return self._residual(images).square().mean(1)


@dataclass(frozen=True)
class PCA(Score):
    """Squared distance from the subspace of the first principal components: the baseline of every other score.

    Jackson & Mudholkar, *Control procedures for residuals associated with principal component analysis*,
    Technometrics 21(3), 1979.

    Args:
        components: number of axes, at the most; fewer than images, and at most a quarter of the values, for
            nothing is far from a space that holds everything.
    """

    components: int = 64

    def __post_init__(self) -> None:
        if self.components < 1:
            raise InputError(f"pca: components={self.components} is out of range.", "It must be at least 1.")

    def fit(self, normals: Normals, parts: Parts) -> Subspace:
        """Fit to normal images (N, C, H, W)."""
        values = normals.images.flatten(1).numpy()
        k = min(self.components, len(values) - 1, values.shape[1] // 4)
        if k < 1:
            raise InputError("pca needs at least two images of four values.", "Give more images.")
        with np.errstate(invalid="ignore"):  # of black images the share of the variance, which nobody asks for
            found = PrincipalComponents(k, svd_solver="randomized", random_state=0).fit(values)
        mean, directions = (torch.tensor(array).float().contiguous() for array in (found.mean_, found.components_))
        return Subspace(mean, directions)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Subspace:
        """The scorer whose state this is."""
        return Subspace(**state)
