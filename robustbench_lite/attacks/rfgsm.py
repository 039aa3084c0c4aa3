"""The fast gradient sign method after a random step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import Target, check_target, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model


@dataclass(frozen=True)
class RFGSM(Attack):
    """R+FGSM: a random step of ± half the budget in every pixel, then one step along the sign of the gradient.

    Tramèr et al., *Ensemble adversarial training: attacks and defenses*, ICLR 2018. The random step leaves the
    place where a network trained against FGSM hides its slope. An image that the random step fools stays there.

    The single step of Wong, Rice & Kolter (*Fast is better than free*, ICLR 2020), uniform start and 1.25 · eps,
    is ``pgd(steps=1, step_size=…)``.

    Args:
        eps: size of the budget on the [0, 1] scale, for both steps together.
        random_share: share of eps that the random step takes: the paper's alpha / eps.
        target: a class index, ``least-likely``, or a probability per class; None leaves the label.
    """

    eps: float | None = None
    random_share: float = 0.5
    target: Target = None

    def __post_init__(self) -> None:
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        check_target(self.target)
        if not 0 <= self.random_share <= 1:
            raise InputError(f"rfgsm: random_share={self.random_share} is out of range.", "It is 0 to 1.")

    @property
    def norm(self) -> str:
        return "linf"

    def max_cost(self) -> Cost:
        return Cost(1 + (self.target is not None), 1)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps = norms.check_eps(self.eps, self.norm)
        goal, targeted = goal_of(self.target, model, images, labels)
        noise = streams.normal(images.shape[1:], like=images).sign()
        start = (images + self.random_share * eps * noise).clamp(0, 1)
        logits, gradient = model.gradient(start, loss_function("ce", goal, targeted=targeted))
        hit = norms.per_sample(reached(logits, goal, targeted=targeted), images)
        ahead = (start + (1 - self.random_share) * eps * gradient.sign()).clamp(0, 1)
        return torch.where(hit, start, ahead)
