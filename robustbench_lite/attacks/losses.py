"""Losses that attacks raise: one value per image, larger where the goal is nearer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_lite.errors import InputError
from robustbench_lite.types import Model

LossName = Literal["ce", "margin", "dlr"]
ClassTarget = int | Literal["least-likely"] | None
"""The class that is to be reached; None leaves the label."""
Target = ClassTarget | tuple[float, ...]
"""The same, or a probability per class, a distribution that is to be reached."""

NEAR = 0.05
"""A wanted distribution is reached where no probability is further from it than this."""


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
        goal: (N,) the labels to leave, or, targeted, the classes to reach; for ``ce`` also (N, K), the
            distributions to reach.
        targeted: whether ``goal`` is to be reached.
    """
    sign = -1 if targeted else 1
    if name != "ce" and goal.dim() == 2:
        raise _no_class(name)
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


def check_target(target: Target, loss: LossName = "ce") -> None:
    """Raise InputError if the target is a distribution that is none, or that the loss cannot be steered to."""
    if not isinstance(target, tuple):
        return
    if loss != "ce":
        raise _no_class(loss)
    if not all(share >= 0 for share in target) or not abs(sum(target) - 1) <= 1e-3:
        raise InputError(
            f"target={target} is no probability distribution.",
            "Give one number per class, none negative, that add up to 1.",
        )


def _no_class(loss: str) -> InputError:
    return InputError(f"the loss {loss} needs a class as target, not a distribution.", "Set loss=ce.")


def wanted(target: Target, logits: Tensor) -> Tensor | None:
    """The class (N,), or the distribution (N, K), that every image is to be taken for; None: only not its label.

    Args:
        target: a class index, ``least-likely`` (on the unchanged image), a probability per class, or None.
        logits: (N, K) of the unchanged images.
    """
    if target is None:
        return None
    if target == "least-likely":
        return logits.argmin(1)
    classes = logits.shape[1]
    if isinstance(target, tuple):
        if len(target) != classes:
            raise InputError(
                f"target has {len(target)} probabilities: the network has {classes} classes.",
                "Give one per class.",
            )
        return logits.new_tensor(target).expand_as(logits)
    if not 0 <= target < classes:
        raise InputError(f"target={target} is no class: the network has {classes}.", f"Give 0 to {classes - 1}.")
    return torch.full((len(logits),), target, device=logits.device)


def goal_of(target: Target, model: Model, images: Tensor, labels: Tensor) -> tuple[Tensor, bool]:
    """What an attack is to leave (the labels) or to reach, and whether it is to be reached.

    With a target this looks at the images once.
    """
    if target is None:
        return labels, False
    goal = wanted(target, model(images))
    assert goal is not None
    return goal, True


def reached(logits: Tensor, goal: Tensor, *, targeted: bool) -> Tensor:
    """(N,) bool: the prediction left the label, or, targeted, is the wanted class. NaN logits leave the label.

    A wanted distribution (goal is (N, K)) is reached where no probability is further from it than ``NEAR``.
    """
    if goal.dim() == 2:
        return (logits.softmax(1) - goal).abs().amax(1) <= NEAR
    hit = (logits.argmax(1) == goal) & logits.isfinite().all(1)
    return hit if targeted else ~hit
