"""How unsure the classifier stays when the image is moved towards what it takes it for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import cross_entropy

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.classifying import classifier_of, logits_of
from robustbench_lite.outliers.energy import check_temperature
from robustbench_lite.outliers.msp import unlikeliness
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState
from robustbench_lite.types import Cost


@dataclass(frozen=True, eq=False)
class Encouraged(TensorState):
    """The classifier that is asked, the temperature, and the size of the step."""

    classifier: Classifier
    temperature: float
    eps: float

    def __call__(self, images: Tensor) -> Tensor:
        """1 − the largest probability (N,) after the step."""

        def loss(logits: Tensor) -> Tensor:
            return cross_entropy(logits / self.temperature, logits.argmax(1), reduction="none")

        # The sign is constant almost everywhere, so the gradient of the whole is that of what follows.
        step = self.classifier.gradient(images, loss).gradient.sign().to(images.device)
        return unlikeliness(logits_of(self.classifier, images - self.eps * step) / self.temperature)


@dataclass(frozen=True)
class ODIN(Score):
    """1 − the maximum softmax probability at a high temperature, after a step that makes the image surer.

    Liang, Li & Srikant, *Enhancing the reliability of out-of-distribution image detection in neural networks*,
    ICLR 2018. As there, the stepped image is not clipped to [0, 1].

    Args:
        temperature: of the softmax; the published one.
        eps: of the step along the sign of the gradient, on the [0, 1] scale; the published one for CIFAR-10, whose
            authors divide the gradient by the standard deviations of the normalisation, which comes to the same.
    """

    temperature: float = 1000.0
    eps: float = 0.0014
    needs: ClassVar[Literal["", "classifier", "generator"]] = "classifier"

    def __post_init__(self) -> None:
        check_temperature("odin", self.temperature)
        if not 0 <= self.eps <= 1:
            raise InputError(f"odin: eps={self.eps:g} is out of range.", "It must be from 0 to 1.")

    def cost(self) -> Cost:
        """A gradient, and a pass after the step."""
        return Cost(2, 1)

    def fit(self, normals: Normals, parts: Parts) -> Encouraged:
        """Nothing is fitted.

        Raises:
            InputError: the classifier has no gradient.
        """
        return self._with(classifier_of(parts))

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Encouraged:
        """The scorer."""
        return self._with(classifier_of(parts))

    def _with(self, classifier: Classifier) -> Encouraged:
        if not classifier.has_gradient:
            raise InputError(
                f"odin needs a gradient, and {classifier.spec} is a function that returns scores.", "Take energy."
            )
        return Encouraged(classifier, self.temperature, self.eps)
