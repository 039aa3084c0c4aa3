"""What networks return."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from robustbench_lite.classifiers.scores import attacks_on_scores
from robustbench_lite.errors import InputError


def logits_of(out: Any, n: int) -> Tensor:
    """The tensor of logits in whatever the network returns."""
    if isinstance(out, dict) and "logits" in out:
        out = out["logits"]
    elif hasattr(out, "logits"):  # transformers' outputs, GoogLeNet and Inception in train mode
        out = out.logits
    elif isinstance(out, (tuple, list)) and out:
        out = out[0]
    if not isinstance(out, Tensor) or out.dim() != 2 or len(out) != n or out.shape[1] < 2:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise InputError(
            f"the network returns {got} for {n} images; logits of shape ({n}, number of classes) are needed.",
            "Give a classifier.",
        )
    return out.float()


def with_graph(logits: Tensor) -> Tensor:
    """The logits, if they depend on the images in a way that has a gradient."""
    if not logits.requires_grad:
        raise InputError(
            "the network has no gradient with respect to its images, which this attack needs.",
            "Remove what cuts it: rounding, argmax, torch.no_grad, numpy; "
            f"or take an attack on scores: {attacks_on_scores()}.",
        )
    return logits
