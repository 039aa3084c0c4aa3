"""TRADES: accuracy on clean images against a prediction that stays the same around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from robustbench_lite import norms
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.training.defence import Defence
from robustbench_lite.training.inner import check_budget, check_steps, climb, steered

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier

_START = 1e-3  # standard deviation of the start; at the image itself the divergence has no slope


@dataclass(frozen=True)
class Trades(Defence):
    """TRADES: cross-entropy of the clean images, and beta times how far an attack can move the prediction.

    Zhang et al., *Theoretically principled trade-off between robustness and accuracy*, ICML 2019. The distance is
    the Kullback–Leibler divergence from the clean to the attacked prediction, and what the attack raises.

    Args:
        eps: size of the budget on the [0, 1] scale.
        beta: 1 / λ of the paper: more is more robust, and less accurate.
        norm: ``linf`` or ``l2``.
        steps: gradient steps.
        step_size: length of a step in the norm; by default 2.5 · eps / steps.
    """

    sees_clean: ClassVar[bool] = True
    eps: float | None = None
    beta: float = 6.0
    norm: Literal["linf", "l2"] = "linf"
    steps: int = 10
    step_size: float | None = None

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        check_budget("trades", self.eps, self.norm)
        check_steps("trades", self.steps, self.step_size)
        if not 0 <= self.beta < math.inf:
            raise InputError(f"trades: beta={self.beta} is out of range.", "It must be 0 or more.")

    def attacked(
        self, classifier: Classifier, images: Tensor, labels: Tensor, streams: Streams, eps: float
    ) -> Tensor:
        start = _START * streams.normal(images.shape[1:], like=images)
        step_size = 2.5 * eps / self.steps if self.step_size is None else self.step_size
        with steered(classifier, images) as model:
            clean = model(images)
            return climb(
                model, images, start, lambda z: divergence(clean, z), eps, self.norm, self.steps, step_size
            )

    def loss(
        self,
        clean: Tensor | None,
        adversarial: Tensor,
        labels: Tensor,
        criterion: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        assert clean is not None
        return criterion(clean, labels) + self.beta * divergence(clean, adversarial)


def divergence(clean: Tensor, adversarial: Tensor) -> Tensor:
    """Kullback–Leibler divergence KL(clean ‖ adversarial) of the predictions in nats, (N,), of logits (N, K)."""
    wanted, given = clean.log_softmax(1), adversarial.log_softmax(1)
    return F.kl_div(given, wanted, reduction="none", log_target=True).sum(1)
