"""What scores ask a classifier: logits and features, with a graph where the images want gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.pieces import in_pieces
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.score import Parts

MOST_FEATURES = 4096
"""Of a covariance, whose axes take minutes beyond."""
_AT_A_TIME = 128


def classifier_of(parts: Parts) -> Classifier:
    """The classifier among the networks.

    Raises:
        InputError: there is none.
    """
    if parts.classifier is None:
        raise InputError("the score asks a classifier, and none was given.", "Give one.")
    return parts.classifier


def logits_of(classifier: Classifier, images: Tensor) -> Tensor:
    """Logits (N, K) on the device of the images."""
    module = classifier.module(watch_zeros=False)
    pieces = in_pieces(images) if classifier.in_pieces else (images,)
    return torch.cat([module(piece) for piece in pieces]).to(images.device)


def features_of(classifier: Classifier, images: Tensor) -> Tensor:
    """Features (N, D) on the device of the images."""
    return classifier.features(images).to(images.device)


@torch.no_grad()
def of_all(ask: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """What a function of a batch says of many images, in float64 on the CPU."""
    return torch.cat([ask(batch).double().cpu() for batch in torch.split(images, _AT_A_TIME)])


def principal_axes(covariance: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (D,), rising, and axes (D, D), in columns, of the covariance of features (N, D).

    Raises:
        InputError: the features do not vary, but for rounding.
    """
    variances, axes = torch.linalg.eigh(covariance)
    if not variances[-1] > 1e-10 * features.square().mean():
        raise InputError("the normal images have all the same features.", "Give images that differ.")
    return variances, axes


def check_width(name: str, features: Tensor) -> None:
    """Refuse features (N, D) that a covariance would take minutes for."""
    if features.shape[1] > MOST_FEATURES:
        raise InputError(
            f"{name}: the last layer takes {features.shape[1]} numbers; {MOST_FEATURES} are the most.",
            "Take knn, or a network with a narrower last layer.",
        )
