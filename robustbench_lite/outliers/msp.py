"""The baseline of the scores that ask a classifier: how unsure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.outliers.classifying import classifier_of, logits_of
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState


def unlikeliness(logits: Tensor) -> Tensor:
    """1 − the largest softmax probability, (N,), of logits (N, K).

    As the sum of the others it keeps its digits, and its gradient, where the largest is 1 but for rounding.
    """
    best = logits.max(1, keepdim=True)
    others = logits.scatter(1, best.indices, -torch.inf).logsumexp(1)
    return torch.sigmoid(others - best.values[:, 0])


@dataclass(frozen=True, eq=False)
class Unsure(TensorState):
    """The classifier that is asked."""

    classifier: Classifier

    def __call__(self, images: Tensor) -> Tensor:
        """1 − the largest probability (N,)."""
        return unlikeliness(logits_of(self.classifier, images))


@dataclass(frozen=True)
class MSP(Score):
    """1 − the maximum softmax probability: the baseline of the scores that ask a classifier.

    Hendrycks & Gimpel, *A baseline for detecting misclassified and out-of-distribution examples in neural
    networks*, ICLR 2017.
    """

    needs: ClassVar[Literal["", "classifier", "generator"]] = "classifier"

    def fit(self, normals: Normals, parts: Parts) -> Unsure:
        """Nothing is fitted."""
        return Unsure(classifier_of(parts))

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Unsure:
        """The scorer."""
        return Unsure(classifier_of(parts))
