"""How far the classifier's features are from those of every class."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.classifying import (
    check_width,
    classifier_of,
    features_of,
    logits_of,
    of_all,
    principal_axes,
)
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState


@dataclass(frozen=True, eq=False)
class Gaussians(TensorState):
    """One Gaussian per class, with one covariance, in coordinates in which that is the identity.

    Args:
        classifier: whose features they describe.
        mean: (D,) of all features.
        whitening: (D, D) from features less their mean to those coordinates.
        centres: (K, D) of the classes, there.
    """

    classifier: Classifier = field(repr=False)
    mean: Tensor
    whitening: Tensor
    centres: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Squared distance (N,) to the nearest class."""
        features = features_of(self.classifier, images)
        white = (features - self.mean.to(features)) @ self.whitening.to(features)
        # Without a matrix product, whose rounding would depend on the batch.
        apart = torch.cdist(white, self.centres.to(features), compute_mode="donot_use_mm_for_euclid_dist")
        return apart.amin(1).square()


@dataclass(frozen=True)
class Mahalanobis(Score):
    """Squared Mahalanobis distance of the features from the nearest class; all classes share one covariance.

    Lee et al., *A simple unified framework for detecting out-of-distribution samples and adversarial attacks*,
    NeurIPS 2018, on the last features and without its step along the gradient. The classes are those of the
    labels, where there are any, or else of the predictions.

    Args:
        shrink: the covariance towards a multiple of the identity (Ledoit & Wolf, *Journal of Multivariate
            Analysis* 88(2), 2004), which fewer images than features need; the paper does not.
    """

    shrink: bool = True
    needs: ClassVar[Literal["", "classifier", "generator"]] = "classifier"

    def fit(self, normals: Normals, parts: Parts) -> Gaussians:
        """Fit to the features of normal images.

        Raises:
            InputError: features that do not vary, are too many, or span less than their space and are not shrunk.
        """
        if len(normals) < 2:
            raise InputError("mahalanobis needs at least two images.", "Give more images.")
        classifier = classifier_of(parts)
        features = of_all(partial(features_of, classifier), normals.images)
        check_width("mahalanobis", features)
        labels = normals.labels
        if labels is None:
            labels = of_all(partial(logits_of, classifier), normals.images).argmax(1)
        _, index = torch.unique(labels.cpu(), return_inverse=True)
        one_hot = torch.nn.functional.one_hot(index).to(features)
        centres = (one_hot.T @ features) / one_hot.sum(0).unsqueeze(1)
        apart = features - centres[index]
        covariance = apart.T @ apart / len(apart)
        if self.shrink:
            covariance = torch.from_numpy(ledoit_wolf(apart.numpy(), assume_centered=True)[0])
        variances, axes = principal_axes(covariance, features)
        if variances[0] < 1e-10 * variances[-1]:
            raise InputError(
                f"mahalanobis: {len(features)} images do not span {features.shape[1]} features.",
                "Give more images, or shrink=true.",
            )
        whitening = axes / variances.sqrt()
        mean = features.mean(0)
        found = (mean, whitening, (centres - mean) @ whitening)
        return Gaussians(classifier, *(tensor.float().contiguous() for tensor in found))

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Gaussians:
        """The scorer whose state this is."""
        return Gaussians(classifier_of(parts), **state)
