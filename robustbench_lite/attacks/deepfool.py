"""DeepFool: to the nearest border of the linearised network, again and again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

# Added to the distance of a border: one that is reached to the last digit is not crossed.
_BEYOND = 1e-6
_HALVINGS = 10


@dataclass(frozen=True)
class DeepFool(Attack):
    """DeepFool: a small perturbation, by steps to the nearest border of the linearised network.

    Moosavi-Dezfooli, Fawzi & Frossard, *DeepFool: a simple and accurate method to fool deep neural networks*,
    CVPR 2016, algorithm 2. The sum of the steps, longer by overshoot, is added to the image; an image is
    finished, and costs nothing more, as soon as it fools the network. Not random.

    The paper has no box. Here values that are at 0 or 1, and would leave [0, 1], are left out of the
    linearisation, and the sum is of the steps as they were after clipping; without that, 7 of 100 images of a
    robust network are not fooled (docs/attacks.md). In the end the way is shortened by ten halvings.

    Args:
        norm: ``l2`` or ``linf``.
        steps: linearisations; each costs one gradient for every class but the label.
        candidates: classes that are looked at, the label and those most likely on the unchanged image.
        overshoot: share by which the sum of the steps is lengthened.
    """

    norm: Literal["l2", "linf"] = "l2"
    steps: int = 50
    candidates: int = 10
    overshoot: float = 0.02
    minimal = True

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("l2", "linf"))
        for name, low in (("steps", 1), ("candidates", 2)):
            if getattr(self, name) < low:
                raise InputError(
                    f"deepfool: {name}={getattr(self, name)} is out of range.", f"It must be at least {low}."
                )
        if not 0 <= self.overshoot < math.inf:
            raise InputError(f"deepfool: overshoot={self.overshoot} is out of range.", "It must be at least 0.")

    def max_cost(self) -> Cost:
        # The class ranking, and one look at the images of every step; each gradient goes forward too.
        gradients = self.steps * (self.candidates - 1)
        return Cost(1 + self.steps + gradients + _HALVINGS, gradients)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        logits = model(images)
        others = logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
        rivals = others[:, : min(self.candidates, logits.shape[1]) - 1]
        result, active = images.clone(), torch.arange(len(images), device=images.device)
        x, z, moved = images, images, torch.zeros_like(images)
        for _ in range(self.steps):
            moved = moved + self._step(model, z, labels[active], rivals[active])
            z = (x + (1 + self.overshoot) * moved).clamp(0, 1)
            moved = torch.where((z > 0) & (z < 1), moved, z - x)
            logits = model(z)
            hit = (logits.argmax(1) != labels[active]) | ~logits.isfinite().all(1)
            if hit.any():  # the one look from the host in a step
                result[active[hit]] = z[hit]
                active, x, z, moved = (t[~hit] for t in (active, x, z, moved))
                if len(active) == 0:
                    break
        return self._shortened(model, images, result, labels)

    def _shortened(self, model: Model, images: Tensor, result: Tensor, labels: Tensor) -> Tensor:
        """The way from the image to the result halved again and again, as long as it fools the network."""
        delta, best = result - images, result
        low, high = torch.zeros(len(images), device=images.device), torch.ones(len(images), device=images.device)
        for _ in range(_HALVINGS):
            share = (low + high) / 2
            z = (images + norms.per_sample(share, images) * delta).clamp(0, 1)
            logits = model(z)
            hit = (logits.argmax(1) != labels) | ~logits.isfinite().all(1)
            best = torch.where(norms.per_sample(hit, z), z, best)
            low, high = torch.where(hit, low, share), torch.where(hit, share, high)
        return best

    def _step(self, model: Model, z: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
        """The shortest perturbation to one of the linearised borders, (N, C, H, W)."""
        n, k = rivals.shape
        own, rival = labels.repeat_interleave(k)[:, None], rivals.reshape(-1, 1)

        def lead(logits: Tensor) -> Tensor:
            return (logits.gather(1, rival) - logits.gather(1, own))[:, 0]

        repeated = z.repeat_interleave(k, dim=0)
        logits, gradient = model.gradient(repeated, lead)
        gradient = gradient * ~(((repeated <= 0) & (gradient < 0)) | ((repeated >= 1) & (gradient > 0)))
        slope = norms.size(gradient, "l1" if self.norm == "linf" else "l2")
        distance = torch.where(slope > 0, lead(logits).abs() / slope, torch.inf).view(n, k)
        nearest, which = distance.min(1)
        chosen = gradient.view(n, k, *z.shape[1:])[torch.arange(n, device=z.device), which]
        length = torch.where(nearest.isfinite(), nearest + _BEYOND, 0.0)
        return norms.per_sample(length, z) * norms.steepest(chosen, self.norm)
