"""Carlini and Wagner's attacks for the smallest l2 and linf perturbation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import ClassTarget, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

# Length of the first Adam step, per coordinate, in units of the best perturbation's size, for l2 divided by
# sqrt(dimensions). Measured on a robust MNIST network: half and twice of it give the same median within 2 %.
_RELATIVE_LR = {"l2": 0.3, "linf": 0.1}
_TAU = 0.99  # of the best size; the paper's 0.9 gives 0.184 there instead of 0.170


@dataclass(frozen=True)
class CW(Attack):
    """Carlini and Wagner: the smallest l2 or linf perturbation, by a search over the weight c of the margin.

    Carlini & Wagner, *Towards evaluating the robustness of neural networks*, IEEE S&P 2017: minimise
    ``|x' - x|² + c · max(margin + confidence, 0)`` with Adam, and search the smallest c that works, per image.

    In linf, whose slope is that of one pixel, |x' - x|² gives way to Σ max(|x' - x| - tau, 0): every value beyond
    tau is drawn back, and tau is a little less than the smallest size so far. Added here: no value goes beyond
    that size itself.

    The box [0, 1] is kept by clipping after every step (the paper's first variant), not by tanh: with tanh a
    pixel that is exactly 0 or 1 hardly moves, and 81 % of MNIST's are. Each search step starts at the best
    image so far, and its steps shrink to the size of that perturbation; while there is none it starts at the
    image, and from the fourth on where the last one ended.

    Args:
        norm: ``l2`` or ``linf``.
        steps: gradient steps for one c.
        search_steps: values of c that are tried: tenfold until one works, then, in l2, by bisection.
        c: the first one.
        confidence: how far, in logits, the goal must be passed.
        lr: length of the first Adam step, per pixel on the [0, 1] scale, until an adversarial image is known.
        target: a class index or ``least-likely``; None leaves the label.
    """

    norm: Literal["l2", "linf"] = "l2"
    steps: int = 100
    search_steps: int = 9
    c: float = 1.0
    confidence: float = 0.0
    lr: float = 0.02
    target: ClassTarget = None
    minimal = True

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("l2", "linf"))
        for name, low in (("steps", 1), ("search_steps", 1), ("confidence", 0)):
            if not getattr(self, name) >= low:
                raise InputError(
                    f"cw: {name}={getattr(self, name)} is out of range.", f"It must be at least {low}."
                )
        for name in ("c", "lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"cw: {name}={getattr(self, name)} is out of range.", "It must be positive.")

    def max_cost(self) -> Cost:
        return Cost(self.search_steps * self.steps + (self.target is not None), self.search_steps * self.steps)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        goal, _ = goal_of(self.target, model, images, labels)
        best = images.clone()
        best_size = torch.full((len(images),), torch.inf, device=images.device)
        c = torch.full_like(best_size, self.c)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        z = images
        for search in range(self.search_steps):
            found, z = self._minimise(model, images, goal, c, z, best, best_size)
            known = norms.per_sample(best_size.isfinite(), z)
            # A c that is a hundred times too small is no longer the reason: the way was too long for the steps.
            z = torch.where(known, best, z if search >= 2 else images)
            high, low = torch.where(found, c, high), torch.where(found, low, c)
            middle = (low + high) / 2 if self.norm == "l2" else c
            c = torch.where(high.isfinite(), middle, 10 * c)
        return best

    def _lead(self, goal: Tensor) -> Callable[[Tensor], Tensor]:
        """By how much the goal is reached, in logits; negative where it is not."""
        return loss_function("margin", goal, targeted=self.target is not None)

    def _minimise(
        self, model: Model, images: Tensor, goal: Tensor, c: Tensor, z: Tensor, best: Tensor, best_size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Adam on the objective for one c per image, from z on; updates ``best`` and ``best_size``.

        Returns where c worked, and the last iterates.
        """
        lead = self._lead(goal)
        relative = _RELATIVE_LR[self.norm] * best_size
        if self.norm == "l2":
            relative = relative / math.sqrt(images[0].numel())
        lr = norms.per_sample(torch.where(best_size.isfinite(), relative.clamp_max(self.lr), self.lr), images)
        first, second = torch.zeros_like(z), torch.zeros_like(z)
        found = torch.zeros_like(c, dtype=torch.bool)
        for step in range(1, self.steps + 1):
            logits, gradient = model.gradient(z, lead)
            short = lead(logits) < self.confidence  # once passed, the goal pulls no more
            delta = z - images
            size = norms.size(delta, self.norm)
            hit = reached(logits, goal, targeted=self.target is not None) & ~short
            found |= hit
            better = hit & (size < best_size)
            best_size.copy_(torch.where(better, size, best_size))
            best.copy_(torch.where(norms.per_sample(better, z), z, best))
            slope = self._pull(delta, best_size) - norms.per_sample(c * short, delta) * gradient
            first.lerp_(slope, 0.1)
            second.lerp_(slope * slope, 0.001)
            decay = 0.1 + 0.9 * (1 + math.cos(math.pi * step / self.steps)) / 2
            scale = (second / (1 - 0.999**step)).sqrt_().add_(1e-8)
            z = (z - lr * decay * (first / (1 - 0.9**step)) / scale).clamp_(0, 1)
            if self.norm == "linf":
                z = images + norms.project(z - images, best_size, "linf")
        return found, z

    def _pull(self, delta: Tensor, best_size: Tensor) -> Tensor:
        """The slope of the part of the objective that keeps the perturbation small."""
        if self.norm == "l2":
            return 2 * delta
        return delta.sign() * (delta.abs() > norms.per_sample(_TAU * best_size, delta))
