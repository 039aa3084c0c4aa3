"""Decoupled direction and norm: the smallest l2 perturbation in few steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import LossName, Target, check_target, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

# Measured on a robust MNIST network: 0.2, 0.4, 0.6 and 0.8 give medians of 2.03, 1.82, 1.78 and 1.88.
_FIRST_GAMMA = 0.4


@dataclass(frozen=True)
class DDN(Attack):
    """Decoupled direction and norm: a search for the smallest l2 perturbation, on a sphere that breathes.

    Rony et al., *Decoupling direction and norm for efficient gradient-based L2 adversarial attacks and
    defenses*, CVPR 2019, algorithm 1: a step along the gradient turns the perturbation, a sphere sets its
    length; the radius shrinks by gamma while the image fools the network and grows by gamma while it does not.
    The steps fall from 1 to 0.01 along a cosine, as in the paper; so does gamma unless it is given, which found
    smaller changes on the networks that were tried (docs/attacks.md).

    The last iterate is looked at too, and a radius never exceeds the way to the furthest corner of [0, 1].

    Args:
        steps: gradient steps.
        gamma: share by which the radius changes at every step; 0.05 in the paper. By default it falls from 0.4
            to 0.004.
        init_norm: the first radius, on the [0, 1] scale.
        levels: grey values that images are rounded to after every step, 256 in the paper; None does not round.
        loss: ``ce``, the paper's, or another of PGD's.
        target: a class index, ``least-likely``, or (``loss=ce``) a probability per class; None leaves the label.
    """

    steps: int = 100
    gamma: float | None = None
    init_norm: float = 1.0
    levels: int | None = None
    loss: LossName = "ce"
    target: Target = None
    minimal = True

    def __post_init__(self) -> None:
        check_target(self.target, self.loss)
        if self.steps < 1:
            raise InputError(f"ddn: steps={self.steps} is out of range.", "It must be at least 1.")
        if self.gamma is not None and not 0 < self.gamma < 1:
            raise InputError(f"ddn: gamma={self.gamma} is out of range.", "It must be between 0 and 1.")
        if not 0 < self.init_norm < math.inf:
            raise InputError(f"ddn: init_norm={self.init_norm} is out of range.", "It must be positive.")
        if self.levels is not None and self.levels < 2:
            raise InputError(f"ddn: levels={self.levels} is out of range.", "It must be at least 2.")

    @property
    def norm(self) -> str:
        return "l2"

    def max_cost(self) -> Cost:
        # One look at the last iterate; a target costs one at the unchanged image.
        return Cost(self.steps + 1 + (self.target is not None), self.steps)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        goal, targeted = goal_of(self.target, model, images, labels)
        loss = loss_function(self.loss, goal, targeted=targeted)
        furthest = norms.size(torch.maximum(images, 1 - images), "l2")
        radius = torch.full_like(furthest, self.init_norm)
        best, best_size = images.clone(), torch.full_like(furthest, torch.inf)
        z = images
        for step in range(self.steps + 1):
            if step == self.steps:
                logits = model(z)
            else:
                logits, gradient = model.gradient(z, loss)
            delta = z - images
            size = norms.size(delta, "l2")
            hit = reached(logits, goal, targeted=targeted)
            better = norms.per_sample(hit & (size < best_size), z)
            best = torch.where(better, z, best)
            best_size = torch.where(hit, torch.minimum(size, best_size), best_size)
            if step == self.steps:
                break
            fall = 0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2
            delta = delta + fall * _direction(gradient, streams, step)
            gamma = _FIRST_GAMMA * fall if self.gamma is None else self.gamma
            radius = torch.minimum(radius * torch.where(hit, 1 - gamma, 1 + gamma), furthest)
            delta = delta * norms.per_sample(radius / norms.size(delta, "l2").clamp_min(1e-12), delta)
            z = self._rounded((images + delta).clamp(0, 1))
        return best

    def _rounded(self, z: Tensor) -> Tensor:
        return z if self.levels is None else (z * (self.levels - 1)).round() / (self.levels - 1)


def _direction(gradient: Tensor, streams: Streams, step: int) -> Tensor:
    """The gradient at unit length; where it is zero, a random direction, as in the paper."""
    zero = (norms.size(gradient, "linf") == 0).nonzero()[:, 0]  # the one look from the host in a step
    if len(zero):
        noise = streams[zero].normal(gradient.shape[1:], step, like=gradient)
        gradient = gradient.index_copy(0, zero, noise)
    return norms.steepest(gradient, "l2")
