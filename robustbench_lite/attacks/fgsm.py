"""The fast gradient sign method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import Target, check_target, goal_of, loss_function
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model


@dataclass(frozen=True)
class FGSM(Attack):
    """Fast gradient sign method: one step of full length along the sign of the gradient.

    Goodfellow, Shlens & Szegedy, *Explaining and harnessing adversarial examples*, ICLR 2015. In the l2 norm
    the step goes along the gradient itself (fast gradient method).

    Args:
        eps: length of the step on the [0, 1] scale.
        norm: ``linf`` or ``l2``.
        target: a class index, ``least-likely``, or a probability per class; None leaves the label.
    """

    eps: float | None = None
    norm: Literal["linf", "l2"] = "linf"
    target: Target = None

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        check_target(self.target)

    def max_cost(self) -> Cost:
        return Cost(1 + (self.target is not None), 1)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps = norms.check_eps(self.eps, self.norm)
        goal, targeted = goal_of(self.target, model, images, labels)
        _, gradient = model.gradient(images, loss_function("ce", goal, targeted=targeted))
        return (images + eps * norms.steepest(gradient, self.norm)).clamp(0, 1)
