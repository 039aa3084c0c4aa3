"""Fast minimum norm: the smallest perturbation in l2, linf, l1 or l0, in few steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import ClassTarget, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

_DUAL = {"l2": "l2", "linf": "l1", "l1": "linf"}
# Where gamma starts if it is not given, and for l0 the step; measured on a robust MNIST network (docs/attacks.md).
_GAMMA = {"l2": 0.4, "linf": 0.2, "l1": 0.4, "l0": 0.05}
_L0_STEP = 20.0
# So long that the first projection keeps the values with the largest gains, whatever their room in [0, 1].
_L0_FIRST_STEP = 1e4


@dataclass(frozen=True)
class FMN(Attack):
    """Fast minimum norm: a search for the smallest perturbation, in a ball that breathes.

    Pintor et al., *Fast minimum-norm adversarial attacks through adaptive norm constraints*, NeurIPS 2021: a
    step uphill on the margin, then a projection into the ball. Until an adversarial image is known, the radius
    is the distance to the border of the linearised network; from then on it shrinks by gamma while the image
    fools the network, and grows by gamma while it does not. Steps and gamma fall to 1 % along a cosine.

    Four things differ, and found more on a robust network (docs/attacks.md): by default steps are as
    long as the radius, in linf along the sign; gamma starts higher; the radius also grows by gamma until the
    first success, since the linearised border alone can be approached without end; for l0 the first radius is
    the exact answer for the linearised network in [0, 1], and ball and box are projected onto together.

    Args:
        norm: ``l2``, ``linf``, ``l1`` or ``l0``, the number of changed values (channels count apart).
        steps: gradient steps.
        step_size: length in l2 of the first step, as in the paper (1, for linf 10). By default as long as the
            radius; for l0 20 after a first one to the linearised answer.
        gamma: share by which the radius first changes, 0.05 in the paper. By default 0.4 (l2, l1), 0.2 (linf)
            or 0.05 (l0).
        target: a class index or ``least-likely``; None leaves the label.
    """

    norm: Literal["l2", "linf", "l1", "l0"] = "l2"
    steps: int = 100
    step_size: float | None = None
    gamma: float | None = None
    target: ClassTarget = None
    minimal = True

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("l2", "linf", "l1", "l0"))
        if self.steps < 1:
            raise InputError(f"fmn: steps={self.steps} is out of range.", "It must be at least 1.")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise InputError(f"fmn: step_size={self.step_size} is out of range.", "It must be positive.")
        if self.gamma is not None and not 0 < self.gamma < 1:
            raise InputError(f"fmn: gamma={self.gamma} is out of range.", "It must be between 0 and 1.")

    def max_cost(self) -> Cost:
        # One look at the last iterate; a target costs one at the unchanged image.
        return Cost(self.steps + 1 + (self.target is not None), self.steps)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        goal, targeted = goal_of(self.target, model, images, labels)
        lead = loss_function("margin", goal, targeted=targeted)
        furthest = norms.size(torch.maximum(images, 1 - images), self.norm)
        radius = torch.zeros_like(furthest)
        best, best_size = images.clone(), torch.full_like(furthest, torch.inf)
        z = images
        for step in range(self.steps):
            fall = 0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2
            logits, gradient = model.gradient(z, lead)
            hit = reached(logits, goal, targeted=targeted)
            best, best_size = self._better(images, z, hit, best, best_size)
            grown, shrunk = self._changed(radius, fall)
            border = self._border(images, z, lead(logits), gradient)
            outside = torch.where(best_size.isfinite(), grown, torch.maximum(grown, border))
            radius = torch.where(hit, torch.minimum(shrunk, best_size), outside).minimum(furthest)
            delta = z - images + self._step(gradient, radius, fall)
            z = (images + self._project(delta, radius, images)).clamp(0, 1)
        return self._better(images, z, reached(model(z), goal, targeted=targeted), best, best_size)[0]

    def _better(
        self, images: Tensor, z: Tensor, hit: Tensor, best: Tensor, best_size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The smaller of the best images so far and the iterates that reached the goal, and their sizes."""
        size = norms.size(z - images, self.norm)
        better = hit & (size < best_size)
        return torch.where(norms.per_sample(better, z), z, best), torch.where(better, size, best_size)

    def _changed(self, radius: Tensor, fall: float) -> tuple[Tensor, Tensor]:
        """The radius grown, and shrunk; for l0 by whole numbers, at least one."""
        gamma = (_GAMMA[self.norm] if self.gamma is None else self.gamma) * fall
        grown, shrunk = radius * (1 + gamma), radius * (1 - gamma)
        if self.norm != "l0":
            return grown, shrunk
        return torch.maximum(radius + 1, grown.floor()), torch.minimum(radius - 1, shrunk.floor()).clamp_min(1)

    def _border(self, images: Tensor, z: Tensor, lead: Tensor, gradient: Tensor) -> Tensor:
        """Size of the perturbation that would reach the goal if the network were linear from z on, (N,)."""
        if self.norm == "l0":
            return _fewest(images, z, lead, gradient)
        slope = norms.size(gradient, _DUAL[self.norm])
        return norms.size(z - images, self.norm) + (lead.abs() / slope).nan_to_num(nan=0.0)

    def _step(self, gradient: Tensor, radius: Tensor, fall: float) -> Tensor:
        if self.norm == "l0" or self.step_size is not None:
            length = self.step_size or (_L0_STEP if fall < 1 else _L0_FIRST_STEP)
            return length * fall * norms.steepest(gradient, "l2")
        direction = norms.steepest(gradient, "linf" if self.norm == "linf" else "l2")
        return norms.per_sample(fall * radius, gradient) * direction

    def _project(self, delta: Tensor, radius: Tensor, images: Tensor) -> Tensor:
        if self.norm == "l0":
            return norms.project_l0(delta, radius, images)
        return norms.project(delta, radius, self.norm)


def _fewest(images: Tensor, z: Tensor, lead: Tensor, gradient: Tensor) -> Tensor:
    """The fewest values that must change for the goal if the network is linear: the largest gains in [0, 1]."""
    x, g = norms.flat(images), norms.flat(gradient)
    gains = torch.where(g > 0, (1 - x) * g, -x * g).sort(dim=1, descending=True).values.cumsum(1)
    short = (norms.flat(z - images) * g).sum(1) - lead  # how far the linearised network is below 0 at the image
    return 1 + (gains < short[:, None]).sum(1).to(lead.dtype)
