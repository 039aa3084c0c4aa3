"""Any callable that returns scores, as a network without weights and without a gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustbench_lite.descriptions import describe
from robustbench_lite.errors import InputError, RbError


class ScoreFunction(nn.Module):
    """Images (N, C, H, W) → scores (N, K), from a function of one's own; what it returns is checked.

    Args:
        function: is given a float32 tensor on the CPU, a copy, and returns a tensor, an array or nested lists of
            numbers.

    Raises:
        InputError: it fails, or returns anything but N rows of at least two finite numbers.
    """

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.name = getattr(function, "__qualname__", type(function).__qualname__)

    def forward(self, images: Tensor) -> Tensor:
        n = len(images)
        try:
            out = self.function(images.detach().cpu().clone())
        except RbError:
            raise
        except Exception as error:  # it is somebody else's program
            reason = " ".join(str(error).split()).rstrip(".")
            raise InputError(
                f"the function {self.name} fails on {n} images of shape {tuple(images.shape[1:])}: "
                f"{type(error).__name__}{': ' if reason else ''}{reason}.",
                "Mend it.",
            ) from error
        scores, got = _numbers(out)
        if scores is not None and scores.dim() == 2 and len(scores) == n and scores.shape[1] >= 2:
            bad = int((~scores.isfinite().all(1)).sum())
            if bad == 0:
                return scores.to(images.device)
            got = f"NaN or infinity for {bad} of {n} images"
        elif scores is not None:
            got = f"numbers of shape {tuple(scores.shape)} for {n} images"
        raise InputError(
            f"the function {self.name} returns {got}.",
            f"Return scores of shape ({n}, number of classes), higher for a likelier class, all finite.",
        )


def _numbers(out: Any) -> tuple[Tensor | None, str]:
    """What a function returned as a tensor, or None and what it is instead."""
    if isinstance(out, Tensor):
        return out.detach().float(), ""
    try:
        array = np.asarray(out)
    except ValueError:  # rows of different lengths
        return None, f"a {type(out).__name__} of no shape"
    if array.dtype.kind not in "fiub":
        return None, "nothing (None)" if out is None else f"a {type(out).__name__} that holds no numbers"
    return torch.as_tensor(array.astype(np.float32)), ""


def as_network(network: nn.Module | Callable[[Tensor], Any]) -> nn.Module:
    """A network as it is, and a function as one."""
    if isinstance(network, nn.Module):
        return network
    if isinstance(network, type) or not callable(network):
        raise InputError(
            f"a Classifier needs a network or a function, not {network!r:.80}.", "Give one that is built."
        )
    return ScoreFunction(network)


def takes_images(function: object) -> bool:
    """Whether this is a function whose one argument without a default is ``images``: no factory, but a scorer."""
    if not inspect.isfunction(function):
        return False
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    return needed == ["images"]


def attacks_on_scores() -> str:
    """The attacks that need no gradient, for people."""
    return ", ".join(entry.name for entry in describe("attack") if entry.scores_only)
