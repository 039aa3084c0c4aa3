"""The free energy of the logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.classifying import classifier_of, logits_of
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState


def check_temperature(name: str, value: float) -> None:
    """Refuse what is no temperature."""
    if not 0 < value < math.inf:
        raise InputError(f"{name}: temperature={value:g} is out of range.", "It must be above 0.")


@dataclass(frozen=True, eq=False)
class FreeEnergy(TensorState):
    """The classifier that is asked, and the temperature."""

    classifier: Classifier
    temperature: float

    def __call__(self, images: Tensor) -> Tensor:
        """The free energy (N,)."""
        return -self.temperature * (logits_of(self.classifier, images) / self.temperature).logsumexp(1)


@dataclass(frozen=True)
class Energy(Score):
    """The free energy of the logits: minus the soft maximum of what the classifier sees of its classes.

    Liu et al., *Energy-based out-of-distribution detection*, NeurIPS 2020, equation 3.

    Args:
        temperature: of the soft maximum; towards 0 it is ``max_logit``.
    """

    temperature: float = 1.0
    needs: ClassVar[Literal["", "classifier", "generator"]] = "classifier"

    def __post_init__(self) -> None:
        check_temperature("energy", self.temperature)

    def fit(self, normals: Normals, parts: Parts) -> FreeEnergy:
        """Nothing is fitted."""
        return FreeEnergy(classifier_of(parts), self.temperature)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> FreeEnergy:
        """The scorer."""
        return FreeEnergy(classifier_of(parts), self.temperature)
