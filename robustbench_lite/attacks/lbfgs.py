"""Szegedy's attack for the smallest l2 perturbation: L-BFGS in the box [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import ClassTarget, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

_MEMORY = 10  # steps that the curvature is taken from
_ENOUGH = 1e-4  # of the slope's promise: a step that gains less is shortened (Armijo)
_SHORTER = 0.25
_NOISE = 0.2  # per value, of the random start; measured on a robust MNIST network (docs/attacks.md)


@dataclass(frozen=True)
class LBFGS(Attack):
    """L-BFGS: the smallest l2 perturbation, by a search over its weight c beside the cross-entropy.

    Szegedy et al., *Intriguing properties of neural networks*, ICLR 2014: minimise c · |x' - x|² + loss(x') in the
    box [0, 1] with L-BFGS, and search the largest c whose minimum reaches the goal. The loss is
    the cross-entropy to the target. Without one, which the paper has not, it is that to all classes but the label
    taken together: -log(1 - p), p the label's probability.

    Each c starts at the best image so far, or, while there is none, at the image with a little noise: without it,
    minima are further away (docs/attacks.md). The smallest iterate that reached the goal is returned. A step that
    gains too little is shortened, which costs a gradient as every step does; values that would leave the box are
    held at its border.

    Args:
        steps: gradients for one c.
        search_steps: values of c that are tried: by tens until one works and one does not, then by bisection.
        c: the first one.
        target: a class index or ``least-likely``; None leaves the label.
    """

    steps: int = 30
    search_steps: int = 9
    c: float = 1.0
    target: ClassTarget = None
    minimal = True

    def __post_init__(self) -> None:
        for name in ("steps", "search_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"lbfgs: {name}={getattr(self, name)} is out of range.", "It must be at least 1.")
        if not 0 < self.c < math.inf:
            raise InputError(f"lbfgs: c={self.c} is out of range.", "It must be positive.")

    @property
    def norm(self) -> str:
        return "l2"

    def max_cost(self) -> Cost:
        gradients = self.search_steps * self.steps
        return Cost(gradients + (self.target is not None), gradients)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        goal, targeted = goal_of(self.target, model, images, labels)
        search = _Search(model, images, goal, targeted)
        c = torch.full((len(images),), self.c, device=images.device)
        works, fails = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for attempt in range(self.search_steps):
            noise = _NOISE * streams.normal(images.shape[1:], attempt, like=images)
            known = norms.per_sample(search.size.isfinite(), images)
            start = torch.where(known, search.best, (images + noise).clamp(0, 1))
            hit = search.run(start, c, self.steps)
            works, fails = torch.where(hit, c, works), torch.where(hit, fails, c)
            between = (works * fails).sqrt()
            c = torch.where(works == 0, fails / 10, torch.where(fails.isfinite(), between, 10 * works))
        return search.best


class _Search:
    """What L-BFGS makes smaller, per image, and the best images so far."""

    def __init__(self, model: Model, images: Tensor, goal: Tensor, targeted: bool) -> None:
        self.model, self.images, self.goal, self.targeted = model, images, goal, targeted
        self.best, self.size = images, torch.full((len(images),), torch.inf, device=images.device)

    def run(self, start: Tensor, c: Tensor, steps: int) -> Tensor:
        """So many gradients of L-BFGS, for one c per image, (N,); where the last iterate reached the goal."""
        z = trial = start
        curvature = _Curvature()
        slope = direction = torch.zeros_like(z)
        value, length = torch.full_like(c, torch.inf), torch.ones_like(c)
        found = torch.zeros_like(c, dtype=torch.bool)
        for _ in range(steps):
            logits, gradient = self.model.gradient(trial, self.loss)
            hit = self._look(trial, logits)
            delta, step = trial - self.images, trial - z
            new_slope = gradient + 2 * norms.per_sample(c, delta) * delta
            new_value = c * _dot(delta, delta) + self.loss(logits)
            accepted = new_value <= value + _ENOUGH * _dot(slope, step)
            curvature.add(step, new_slope - slope, accepted & value.isfinite())
            chosen = norms.per_sample(accepted, z)
            z, slope = torch.where(chosen, trial, z), torch.where(chosen, new_slope, slope)
            value, found = torch.where(accepted, new_value, value), torch.where(accepted, hit, found)
            # Values at 0 or 1 that would leave [0, 1] are held.
            free = ~(((z <= 0) & (slope > 0)) | ((z >= 1) & (slope < 0)))
            direction = torch.where(chosen, -curvature.solve(slope * free) * free, direction)
            length = torch.where(accepted, 1.0, _SHORTER * length)
            trial = (z + norms.per_sample(length, z) * direction).clamp(0, 1)
        return found

    def _look(self, z: Tensor, logits: Tensor) -> Tensor:
        """Where the goal is reached; updates the best images."""
        hit = reached(logits, self.goal, targeted=self.targeted)
        size = norms.size(z - self.images, "l2")
        better = hit & (size < self.size)
        self.best = torch.where(norms.per_sample(better, z), z, self.best)
        self.size = torch.where(better, size, self.size)
        return hit

    def loss(self, logits: Tensor) -> Tensor:
        """The cross-entropy to the target, or to all classes but the label together, shape (N,)."""
        if self.targeted:
            return -loss_function("ce", self.goal, targeted=True)(logits)
        others = logits.scatter(1, self.goal[:, None], -torch.inf)
        return logits.logsumexp(1) - others.logsumexp(1)


class _Curvature:
    """L-BFGS's estimate of the Hessian from the last steps, per image (Nocedal & Wright, algorithm 7.4)."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, step: Tensor, change: Tensor, valid: Tensor) -> None:
        """A step and the change of the slope along it; left out per image where not valid, or not convex."""
        product = _dot(step, change)
        valid = valid & (product > 1e-10 * _dot(change, change))
        inverse = torch.where(valid, 1 / product, 0.0)
        self.pairs = [*self.pairs, (step, change, inverse)][-_MEMORY:]

    def solve(self, slope: Tensor) -> Tensor:
        """The inverse of the Hessian times the slope; of length 1 where nothing is known of the Hessian."""
        q, weights = slope, list[Tensor]()
        scale = torch.zeros_like(slope[:, 0, 0, 0])
        for step, change, inverse in reversed(self.pairs):
            weights.append(inverse * _dot(step, q))
            q = q - norms.per_sample(weights[-1], q) * change
            newest = 1 / (inverse * _dot(change, change))
            scale = torch.where((scale == 0) & (inverse > 0), newest, scale)
        scale = torch.where(scale == 0, 1 / norms.size(slope, "l2").clamp_min(1e-12), scale)
        q = norms.per_sample(scale, q) * q
        for (step, change, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            q = q + norms.per_sample(weight - inverse * _dot(change, q), q) * step
        return q


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return norms.flat(a * b).sum(1)
