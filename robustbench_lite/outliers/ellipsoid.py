"""How far features are from those of normal images, by their mean and covariance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.outliers.score import TensorState

LEAST_VARIANCE = 1e-6
"""Of a feature: one that never varied among the normal images gives a large distance, but a finite one."""


@dataclass(frozen=True, eq=False)
class Ellipsoid(TensorState):
    """A fitted score: squared Mahalanobis distance of an image's features, per feature.

    Args:
        features: images (N, C, H, W) to (N, D).
        mean: (D,) of the features of normal images.
        whitening: (D, D), turns differences from the mean into uncorrelated ones of variance 1.
    """

    features: Callable[[Tensor], Tensor]
    mean: Tensor
    whitening: Tensor

    @classmethod
    def fit(cls, features: Callable[[Tensor], Tensor], images: Tensor, *, of_one_unit: bool = False) -> Ellipsoid:
        """With the covariance of Ledoit & Wolf, *A well-conditioned estimator for large-dimensional covariance
        matrices*, Journal of Multivariate Analysis 88(2), 2004: it takes no more images than features.

        Args:
            features: as of the class.
            images: normal ones.
            of_one_unit: the features share a unit. Otherwise each is first divided by its standard deviation, for
                the estimator shrinks towards equal variances.

        Raises:
            InputError: fewer than two images.
        """
        if len(images) < 2:
            raise InputError("one image has no covariance.", "Give more normal images.")
        with torch.no_grad():
            found = torch.cat([features(batch) for batch in torch.split(images, 256)]).double().cpu()
        unit = torch.ones(found.shape[1]).double()
        if not of_one_unit:
            unit = found.var(0, correction=0).clamp_min(LEAST_VARIANCE).sqrt()
        covariance = torch.from_numpy(LedoitWolf().fit((found / unit).numpy()).covariance_)
        values, vectors = torch.linalg.eigh(covariance)
        whitening = (vectors / values.clamp_min(LEAST_VARIANCE).sqrt()).T / unit
        return cls(features, found.mean(0).float(), whitening.float().contiguous())

    def __call__(self, images: Tensor) -> Tensor:
        """Squared Mahalanobis distance (N,), divided by D: about 1 for normal images."""
        found = self.features(images)
        return ((found - self.mean.to(found)) @ self.whitening.to(found).T).square().mean(1)
