"""Projected gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import LossName, Target, check_target, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model


@dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient descent: many small steps uphill, kept inside the budget.

    Madry et al., *Towards deep learning models resistant to adversarial attacks*, ICLR 2018. An image is
    finished as soon as any iterate reaches the goal, and costs nothing from then on.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf``, ``l2`` or ``l1`` (for l1 one pixel a step, and slow).
        steps: gradient steps per restart.
        step_size: length of every step in the norm, as published attacks state it. By default the steps fall
            from eps to eps / 50 along a cosine, which found more in every case that was tried (docs/attacks.md).
        restarts: tries, each from a start of its own.
        random_start: begin at a random point of the ball; otherwise at the image, which only makes sense once.
        loss: ``ce`` or ``margin``.
        target: a class index, ``least-likely``, or (``loss=ce``) a probability per class; None leaves the label.
    """

    eps: float | None = None
    norm: Literal["linf", "l2", "l1"] = "linf"
    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    loss: LossName = "ce"
    target: Target = None

    def __post_init__(self) -> None:
        norms.check_norm(self.norm)
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        check_target(self.target, self.loss)
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise InputError(f"pgd: {name}={getattr(self, name)} is out of range.", "It must be at least 1.")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise InputError(f"pgd: step_size={self.step_size} is out of range.", "It must be positive.")
        if self.restarts > 1 and not self.random_start:
            raise InputError("pgd: restarts without a random start repeat each other.", "Set random_start=true.")

    def max_cost(self) -> Cost:
        # Every restart looks at its last iterate once more; a target costs one look at the unchanged image.
        forwards = self.restarts * (self.steps + 1) + (self.target is not None)
        return Cost(forwards, self.restarts * self.steps)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps = norms.check_eps(self.eps, self.norm)
        goal, _ = goal_of(self.target, model, images, labels)
        result = images.clone()
        active = torch.arange(len(images), device=images.device)
        for restart in range(self.restarts):
            if len(active) == 0 or eps == 0:
                break
            final, done = self._restart(model, images[active], goal[active], streams[active], eps, restart)
            result[active] = final
            active = active[~done]
        return result

    def _step_size(self, step: int, eps: float) -> float:
        if self.step_size is not None:
            return self.step_size
        return eps * (0.02 + 0.98 * (1 + math.cos(math.pi * step / self.steps)) / 2)

    def _restart(
        self, model: Model, x: Tensor, goal: Tensor, streams: Streams, eps: float, restart: int
    ) -> tuple[Tensor, Tensor]:
        """Last iterates, or the first that reached the goal, and which did."""
        targeted = self.target is not None
        z = x
        if self.random_start:
            start = norms.random_start(streams, x, eps, self.norm, restart)
            z = (x + start).clamp(0, 1)
        result = z.clone()
        active = torch.arange(len(x), device=x.device)
        for step in range(self.steps):
            logits, gradient = model.gradient(z, loss_function(self.loss, goal, targeted=targeted))
            hit = reached(logits, goal, targeted=targeted)
            if hit.any():  # the one look from the host in a step
                result[active[hit]] = z[hit]
                active, x, z, goal, gradient = (t[~hit] for t in (active, x, z, goal, gradient))
                if len(active) == 0:
                    break
            z = z + self._step_size(step, eps) * norms.steepest(gradient, self.norm)
            z = (x + norms.project(z - x, eps, self.norm)).clamp(0, 1)
        done = torch.ones(len(result), dtype=torch.bool, device=x.device)
        if len(active):
            result[active] = z
            done[active] = reached(model(z), goal, targeted=targeted)
        return result, done
