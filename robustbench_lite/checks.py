"""May these numbers be trusted? Pure functions; each returns a sentence that says what is wrong, or None."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_lite.types import Model


def probability_outputs(logits: Tensor) -> str | None:
    """Whether the network returns probabilities or log-probabilities where logits are needed.

    Gradients through a softmax vanish where the network is sure, so attacks fail and it looks robust.
    """
    total = logits.sum(1)
    if ((logits >= 0) & (logits <= 1)).all() and torch.allclose(total, torch.ones_like(total), atol=1e-3):
        kind = "probabilities (a softmax at the end)"
    elif (logits <= 0).all() and torch.allclose(logits.logsumexp(1), torch.zeros_like(total), atol=1e-3):
        kind = "log-probabilities (a log-softmax at the end)"
    else:
        return None
    return f"the network returns {kind}, not logits: attacks may fail for that alone. Remove the last layer."


def random_outputs(model: Model, images: Tensor) -> str | None:
    """Whether the same images give other logits the second time."""
    first, second = model(images), model(images)
    if torch.allclose(first, second, atol=1e-5, rtol=1e-4):
        return None
    return "the network answers the same images differently each time: single numbers mean little."


def bad_gradients(bad: int, zero: int, gradients: int) -> str | None:
    """Whether an attack was blind: gradients that were not finite, or more than 5 % exactly zero."""
    if bad:
        return f"{bad} of {gradients} gradients were not finite: robust accuracy is not to be trusted."
    if zero > 0.05 * gradients:
        return (
            f"{zero} of {gradients} gradients were exactly zero: the attack was blind there, "
            "and robust accuracy is not to be trusted. Try loss=margin."
        )
    return None


def no_better_than_majority(right: int, counts: list[int], class_names: tuple[str, ...]) -> str | None:
    """Whether the clean accuracy is not clearly above that of always naming the most frequent class.

    Clearly: in a one-sided binomial test at 5 %. Data of one class tell nothing.
    """
    from scipy.stats import binomtest

    n, most = sum(counts), max(counts)
    if n > most and right < n and binomtest(right, n, most / n, alternative="greater").pvalue > 0.05:
        name = class_names[counts.index(most)]
        return (
            f"clean accuracy {right / n:.1%} is not clearly above always saying {name!r} "
            f"({max(counts) / sum(counts):.1%}): check --mean/--std, the class order and the weights."
        )
    return None
