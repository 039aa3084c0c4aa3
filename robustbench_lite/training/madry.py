"""Adversarial training with projected gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.rng import Streams
from robustbench_lite.training.defence import Defence
from robustbench_lite.training.inner import check_budget, check_steps, climb, cross_entropy, steered

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier


@dataclass(frozen=True)
class Madry(Defence):
    """Adversarial training: cross-entropy of images attacked with projected gradient descent.

    Madry et al., *Towards deep learning models resistant to adversarial attacks*, ICLR 2018. Unlike the attack
    ``pgd``, it does not stop at the first success: what is learnt from is the worst image, not the nearest.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf``, ``l2`` or ``l1``.
        steps: gradient steps.
        step_size: length of a step in the norm; by default 2.5 · eps / steps.
    """

    eps: float | None = None
    norm: Literal["linf", "l2", "l1"] = "linf"
    steps: int = 7
    step_size: float | None = None

    def __post_init__(self) -> None:
        norms.check_norm(self.norm)
        check_budget("pgd", self.eps, self.norm)
        check_steps("pgd", self.steps, self.step_size)

    def attacked(
        self, classifier: Classifier, images: Tensor, labels: Tensor, streams: Streams, eps: float
    ) -> Tensor:
        start = norms.random_start(streams, images, eps, self.norm)
        step_size = 2.5 * eps / self.steps if self.step_size is None else self.step_size
        with steered(classifier, images) as model:
            return climb(model, images, start, cross_entropy(labels), eps, self.norm, self.steps, step_size)
