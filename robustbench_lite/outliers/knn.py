"""How far the classifier's features are from those of the nearest normal images."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.classifying import classifier_of, features_of, of_all
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState


@dataclass(frozen=True, eq=False)
class Neighbours(TensorState):
    """The features of the normal images.

    Args:
        classifier: whose features they are.
        k: which neighbour counts.
        known: (n, D) of length 1.
    """

    classifier: Classifier = field(repr=False)
    k: int
    known: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Distance (N,) to the k-th nearest, from 0 to 2."""
        own = normalize(features_of(self.classifier, images))
        known = self.known.to(own)
        with torch.no_grad():
            kth = (own @ known.T).topk(self.k, 1).indices[:, -1]
        # Of the neighbour itself, for from the product small distances would come without digits.
        distance: Tensor = (own - known[kth]).norm(dim=1)
        return distance


@dataclass(frozen=True)
class KNN(Score):
    """Distance of the features, brought to length 1, from those of the k-th nearest normal image.

    Sun et al., *Out-of-distribution detection with deep nearest neighbors*, ICML 2022.

    Args:
        k: which neighbour counts; by default the share of the paper, 50 of the 50,000 images of CIFAR-10.
    """

    k: int | None = None
    needs: ClassVar[Literal["", "classifier", "generator"]] = "classifier"

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise InputError(f"knn: k={self.k} is out of range.", "It must be at least 1.")

    def fit(self, normals: Normals, parts: Parts) -> Neighbours:
        """Keep the features of normal images.

        Raises:
            InputError: fewer images than k.
        """
        if len(normals) < (self.k or 1):
            raise InputError(
                f"knn: {len(normals)} images have no neighbour number {self.k}.",
                "Give more images, or a smaller k.",
            )
        classifier = classifier_of(parts)
        known = normalize(of_all(partial(features_of, classifier), normals.images))
        return self._among(classifier, known.float())

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Neighbours:
        """The scorer whose state this is."""
        return self._among(classifier_of(parts), **state)

    def _among(self, classifier: Classifier, known: Tensor) -> Neighbours:
        return Neighbours(classifier, self.k or max(1, round(len(known) / 1000)), known)
