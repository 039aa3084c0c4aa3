"""The inner maximisation of adversarial training: all steps are taken, whether the network is fooled or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_lite import norms
from robustbench_lite.errors import InputError
from robustbench_lite.types import Model

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier

L1_SHARE = 0.01
"""Share of the values of an image that a step in l1 changes."""


@contextmanager
def steered(classifier: Classifier, images: Tensor) -> Iterator[Model]:
    """The network as the attack sees it, frozen in eval mode: its cheaper copy where there is one.

    The copy may be wrong in the last digits, which here decides nothing.
    """
    with classifier.frozen():
        yield classifier.draft(images) or classifier


def climb(
    model: Model,
    images: Tensor,
    start: Tensor,
    loss: Callable[[Tensor], Tensor],
    eps: float,
    norm: str,
    steps: int,
    step_size: float,
) -> Tensor:
    """Images (N, C, H, W) in [0, 1] within the budget, after so many steps along the steepest direction.

    Args:
        model: what gradients are taken of.
        images: (N, C, H, W) in [0, 1].
        start: (N, C, H, W), where it begins, as a change of the images.
        loss: logits (N, K) → (N,), to be raised.
        eps: size of the budget.
        norm: ``linf``, ``l2`` or ``l1``.
        steps: gradients.
        step_size: length of each step in the norm.
    """
    z = _inside(images, images + start, eps, norm)
    for _ in range(steps):
        _, gradient = model.gradient(z, loss)
        direction = _sparse(gradient, z) if norm == "l1" else norms.steepest(gradient, norm)
        z = _inside(images, z + step_size * direction, eps, norm)
    return z


def _inside(images: Tensor, z: Tensor, eps: float, norm: str) -> Tensor:
    return (images + norms.project(z - images, eps, norm)).clamp(0, 1)


def _sparse(gradient: Tensor, z: Tensor) -> Tensor:
    """The signs of the largest hundredth of the gradient, of l1 norm 1.

    Tramèr & Boneh, *Adversarial training and robustness for multiple perturbations*, NeurIPS 2019, section 4.1:
    the steepest direction is a single pixel, which takes hundreds of steps. Values that the edge of [0, 1] holds
    are left out.
    """
    held = ((z <= 0) & (gradient < 0)) | ((z >= 1) & (gradient > 0))
    g = norms.flat(gradient.masked_fill(held, 0.0))
    count = max(1, round(L1_SHARE * g.shape[1]))
    top = g.abs().topk(count, dim=1).indices
    direction = torch.zeros_like(g).scatter_(1, top, g.gather(1, top).sign() / count)
    return direction.view_as(gradient)


def cross_entropy(labels: Tensor) -> Callable[[Tensor], Tensor]:
    """The loss of each image, for labels (N,) or shares of the classes (N, K)."""
    return lambda logits: F.cross_entropy(logits, labels, reduction="none")


def check_budget(name: str, eps: float | None, norm: str) -> None:
    """Raise InputError if eps is given and can be none to train with."""
    if eps is not None and norms.check_eps(eps, norm) == 0:
        raise InputError(f"{name}: eps=0 attacks nothing.", "Give a larger one, or leave --adversarial out.")


def check_steps(name: str, steps: int, step_size: float | None) -> None:
    """Raise InputError if an argument is out of range."""
    if steps < 1:
        raise InputError(f"{name}: steps={steps} is out of range.", "It must be at least 1.")
    if step_size is not None and not 0 < step_size < math.inf:
        raise InputError(f"{name}: step_size={step_size} is out of range.", "It must be positive.")
