"""Losses that attacks raise: one value per image, larger where the goal is nearer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_lite.errors import InputError

LossName = Literal["ce", "margin"]
Target = int | Literal["least-likely"] | None


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest other logit minus the logit of the label, shape (N,). Positive: the label has lost."""
    own = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return others - own


def loss_function(name: LossName, goal: Tensor, *, targeted: bool) -> Callable[[Tensor], Tensor]:
    """The loss of a batch.

    Args:
        name: ``ce``, the cross-entropy (Goodfellow et al., ICLR 2015), or ``margin``, the difference of logits
            (Carlini & Wagner, IEEE S&P 2017), whose gradient does not fade where the network is sure.
        goal: (N,) the labels to leave, or, targeted, the classes to reach.
        targeted: whether ``goal`` is to be reached.
    """
    sign = -1 if targeted else 1
    if name == "ce":
        return lambda logits: sign * F.cross_entropy(logits, goal, reduction="none")
    return lambda logits: sign * margin(logits, goal)


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
