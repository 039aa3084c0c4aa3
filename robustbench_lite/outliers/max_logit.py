"""How little the classifier sees of any class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.outliers.classifying import classifier_of, logits_of
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState


@dataclass(frozen=True, eq=False)
class Largest(TensorState):
    """The classifier that is asked."""

    classifier: Classifier

    def __call__(self, images: Tensor) -> Tensor:
        """Minus the largest logit (N,)."""
        return -logits_of(self.classifier, images).amax(1)


@dataclass(frozen=True)
class MaxLogit(Score):
    """Minus the largest logit: unlike a probability it is not shared between classes that look alike.

    Hendrycks et al., *Scaling out-of-distribution detection for real-world settings*, ICML 2022.
    """

    needs: ClassVar[Literal["", "classifier", "generator"]] = "classifier"

    def fit(self, normals: Normals, parts: Parts) -> Largest:
        """Nothing is fitted."""
        return Largest(classifier_of(parts))

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Largest:
        """The scorer."""
        return Largest(classifier_of(parts))
