"""What a sample of the data tells the adaptive portfolio about a network, before the first image is judged."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustbench_lite.attacks.losses import loss_function, margin
from robustbench_lite.attacks.square import Square
from robustbench_lite.checks import Alarm, masking_alarm
from robustbench_lite.norms import flat
from robustbench_lite.rng import Streams
from robustbench_lite.types import Model

_FEWEST = 8  # images that resist; with fewer, a median says nothing, and full budgets cost little
_MOST = 64  # images that the score-only search looks at
_QUERIES = 150


@dataclass(frozen=True)
class Reference:
    """One scale for the network, and whether its gradients can be believed.

    Args:
        slope: logits of margin per eps: how many an image that resists by a share of eps is ahead, per share. The
            median over the sample. Infinite: unknown, so every image gets the full budget.
        alarm: ``none``; ``soft``: scores alone got further than gradients on some images; ``hard``: the
            gradients mislead, so every image gets the full budget.
        because: what raised it.
    """

    slope: float
    alarm: Literal["none", "soft", "hard"]
    because: str = ""


# Without a sample nothing is known about the network.
UNKNOWN = Reference(math.inf, "soft", "no reference sample")


def slope_of(holds: Sequence[float], gaps: Sequence[float]) -> float:
    """Median of margin per share of eps, over images that resist."""
    slopes = [gap / hold for gap, hold in zip(gaps, holds, strict=True) if hold > 0]
    return statistics.median(slopes) if len(slopes) >= _FEWEST else math.inf


def masking(
    model: Model,
    images: Tensor,
    labels: Tensor,
    found: Tensor,
    streams: Streams,
    eps: float,
    norm: Literal["linf", "l2"],
) -> Alarm:
    """Whether gradients mislead, judged by images that resisted the gradient attacks.

    Args:
        model: the classifier.
        images, labels: (N, C, H, W) and (N,), all right.
        found: (N, C, H, W), where the gradient attacks came closest.
        streams: one per image.
        eps: the budget.
        norm: ``linf`` or ``l2``.
    """
    n = min(len(labels), _MOST)
    images, labels, found, streams = images[:n], labels[:n], found[:n], streams[range(n)]
    if n == 0:
        return masking_alarm(0)
    before, lead = margin(model(images), labels), margin(model(found), labels)
    again = margin(model(images), labels)
    slopes = [model.gradient(x, loss_function("margin", labels, targeted=False)).gradient for x in (images, found)]
    searched = Square(eps=eps, norm=norm, queries=_QUERIES)(model, images, labels, streams)
    reach = margin(model(searched), labels)
    return masking_alarm(
        n,
        beaten=int((reach > lead).sum()),
        fooled=int((reach >= 0).sum()),
        stuck=int((lead <= before + 1e-6).sum()),
        gradients=2 * n,
        zero=int((flat(torch.cat(slopes)) == 0).all(1).sum()),
        repeatable=torch.allclose(before, again, atol=1e-4, rtol=1e-3),
    )
