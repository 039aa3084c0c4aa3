"""Fast adversarial training."""

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
class Fast(Defence):
    """Fast adversarial training: one long step of the gradient from a random start, and cross-entropy.

    Wong, Rice & Kolter, *Fast is better than free: revisiting adversarial training*, ICLR 2020.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf`` or ``l2``.
        steps: gradient steps; more of them where one step was overfitted to.
        step_size: length of a step; by default 1.25 · eps as in the paper, and 2.5 · eps / steps of three or more.
    """

    eps: float | None = None
    norm: Literal["linf", "l2"] = "linf"
    steps: int = 1
    step_size: float | None = None

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        check_budget("fast", self.eps, self.norm)
        check_steps("fast", self.steps, self.step_size)

    def attacked(
        self, classifier: Classifier, images: Tensor, labels: Tensor, streams: Streams, eps: float
    ) -> Tensor:
        start = norms.random_start(streams, images, eps, self.norm)
        step_size = 2.5 * eps / max(self.steps, 2) if self.step_size is None else self.step_size
        with steered(classifier, images) as model:
            return climb(model, images, start, cross_entropy(labels), eps, self.norm, self.steps, step_size)
