"""The momentum iterative fast gradient sign method."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import Target, check_target, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model


@dataclass(frozen=True)
class MIFGSM(Attack):
    """Momentum iterative FGSM: steps along the sign of all gradients so far, each scaled to an l1 norm of 1.

    Dong et al., *Boosting adversarial attacks with momentum*, CVPR 2018, algorithm 1. From the image itself, in
    linf. An image is finished as soon as any iterate reaches the goal, and costs nothing from then on.

    Args:
        eps: size of the budget on the [0, 1] scale.
        steps: gradient steps.
        step_size: length of every step; by default eps / steps, as in the paper.
        decay: what is left of the sum at every step; 0 is BIM.
        target: a class index, ``least-likely``, or a probability per class; None leaves the label.
    """

    eps: float | None = None
    steps: int = 10
    step_size: float | None = None
    decay: float = 1.0
    target: Target = None

    def __post_init__(self) -> None:
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        check_target(self.target)
        if self.steps < 1:
            raise InputError(f"mifgsm: steps={self.steps} is out of range.", "It must be at least 1.")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise InputError(f"mifgsm: step_size={self.step_size} is out of range.", "It must be positive.")
        if not 0 <= self.decay < math.inf:
            raise InputError(f"mifgsm: decay={self.decay} is out of range.", "It must not be negative.")

    @property
    def norm(self) -> str:
        return "linf"

    def max_cost(self) -> Cost:
        return Cost(self.steps + (self.target is not None), self.steps)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps = norms.check_eps(self.eps, self.norm)
        goal, targeted = goal_of(self.target, model, images, labels)
        x, z = images, images
        step_size = eps / self.steps if self.step_size is None else self.step_size
        momentum = torch.zeros_like(x)
        result = images.clone()
        active = torch.arange(len(x), device=x.device)
        for _ in range(self.steps):
            logits, gradient = model.gradient(z, loss_function("ce", goal, targeted=targeted))
            hit = reached(logits, goal, targeted=targeted)
            if hit.any():  # the one look from the host in a step
                result[active[hit]] = z[hit]
                active, x, z, goal, gradient, momentum = (
                    t[~hit] for t in (active, x, z, goal, gradient, momentum)
                )
                if len(active) == 0:
                    return result
            momentum = self.decay * momentum + _unit_l1(gradient)
            z = z + step_size * momentum.sign()
            z = (x + norms.project(z - x, eps, self.norm)).clamp(0, 1)
        result[active] = z
        return result


def _unit_l1(gradient: Tensor) -> Tensor:
    # First to a largest entry of 1: a tiny gradient would be divided by the guard instead of its norm.
    scaled = gradient / norms.per_sample(norms.size(gradient, "linf").clamp_min(1e-37), gradient)
    return scaled / norms.per_sample(norms.size(scaled, "l1").clamp_min(1e-12), scaled)
