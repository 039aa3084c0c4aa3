"""Losses that attacks raise: one value per image, larger where the goal is nearer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_lite.errors import InputError

LossName = Literal["ce", "margin", "dlr"]
Target = int | Literal["least-likely"] | None


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest other logit minus the logit of the label, shape (N,). Positive: the label has lost."""
    own = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return others - own


def loss_function(name: LossName, goal: Tensor, *, targeted: bool) -> Callable[[Tensor], Tensor]:
    """The loss of a batch.

    Args:
        name: ``ce``, the cross-entropy (Goodfellow et al., ICLR 2015); ``margin``, the difference of logits
            (Carlini & Wagner, IEEE S&P 2017), whose gradient does not fade where the network is sure; or
            ``dlr``, the margin in units of the spread of the largest logits (see ``spread``).
        goal: (N,) the labels to leave, or, targeted, the classes to reach.
        targeted: whether ``goal`` is to be reached.
    """
    sign = -1 if targeted else 1
    if name == "ce":
        return lambda logits: sign * F.cross_entropy(logits, goal, reduction="none")
    if name == "dlr":
        return lambda logits: sign * margin(logits, goal) / spread(logits, targeted=targeted)
    return lambda logits: sign * margin(logits, goal)


def loss_towards(name: LossName, labels: Tensor, rivals: Tensor) -> Callable[[Tensor], Tensor]:
    """The loss that lets one given class, (N,), overtake the label, (N,), whatever becomes of the others.

    Names as for ``loss_function``; ``dlr`` is equation 7 of Croce & Hein (ICML 2020).
    """
    if name == "ce":
        return loss_function("ce", rivals, targeted=True)

    def lead(logits: Tensor) -> Tensor:
        return (logits.gather(1, rivals[:, None]) - logits.gather(1, labels[:, None]))[:, 0]

    if name == "dlr":
        return lambda logits: lead(logits) / spread(logits, targeted=True)
    return lead


def spread(logits: Tensor, *, targeted: bool) -> Tensor:
    """What the DLR loss divides by, shape (N,): with it, the loss does not change when all logits are scaled.

    Croce & Hein (ICML 2020), the logits sorted z₁ ≥ z₂ ≥ …: z₁ - z₃, and, targeted, z₁ - (z₃ + z₄) / 2. With
    three classes a targeted loss divides by z₁ - (z₂ + z₃) / 2, for with z₁ - z₃ it would be constant when the
    third is to overtake the first. With two classes nothing but the sign is left of a difference that is freed of
    its scale: there it is 1, and the loss is the margin.
    """
    classes = logits.shape[1]
    if classes == 2:
        return torch.ones_like(logits[:, 0])
    top = logits.topk(min(classes, 4), dim=1).values
    below = top[:, -2:].mean(1) if targeted else top[:, 2]
    return top[:, 0] - below + 1e-12


def ranked_rivals(logits: Tensor, labels: Tensor, most: int) -> Tensor:
    """The classes other than the label, the likeliest first, shape (N, at most ``most``)."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    order = others.argsort(dim=1, descending=True, stable=True)
    return order[:, : min(most, logits.shape[1] - 1)]


def target_classes(target: Target, logits: Tensor) -> Tensor | None:
    """The class that every image is to be taken for, or None for an untargeted attack.

    Args:
        target: a class index, ``least-likely`` (on the unchanged image), or None.
        logits: (N, K) of the unchanged images.
    """
    if target is None:
        return None
    if target == "least-likely":
        return logits.argmin(1)
    if not 0 <= target < logits.shape[1]:
        raise InputError(
            f"target={target} is no class: the network has {logits.shape[1]}.",
            f"Give 0 to {logits.shape[1] - 1}.",
        )
    return torch.full((len(logits),), target, device=logits.device)


def reached(logits: Tensor, goal: Tensor, *, targeted: bool) -> Tensor:
    """(N,) bool: the prediction left the label, or, targeted, is the wanted class. NaN logits leave the label."""
    hit = (logits.argmax(1) == goal) & logits.isfinite().all(1)
    return hit if targeted else ~hit
