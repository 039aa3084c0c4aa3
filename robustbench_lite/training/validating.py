"""How good a network is after an epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from robustbench_lite.intervals import Groups, proportion_interval
from robustbench_lite.training.objective import Objective
from robustbench_lite.training.tensors import Tensors


class Validated(NamedTuple):
    """Means over the validation images; None: not asked for.

    ``loss`` is the cross-entropy in nats, of what the network is trained for: of clean images, or of clean and
    shifted ones. ``robust_accuracy`` is that under the attack of validation, ``shift_accuracy`` under the shifts.
    """

    loss: float
    accuracy: float
    robust_accuracy: float | None = None
    shift_accuracy: float | None = None


@torch.no_grad()
def validated(objective: Objective, data: Tensors, batch_size: int) -> Validated:
    """Loss and accuracies on validation images (N, C, H, W) in [0, 1], the same draws in every epoch."""
    objective.network.eval()
    loss, right = 0.0, 0
    for start in range(0, len(data.labels), 4 * batch_size):
        chunk = slice(start, start + 4 * batch_size)
        images, labels = data.images[chunk], data.labels[chunk]
        logits = objective.forward(images)
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(1) == labels).sum())
    return Validated(loss / len(data.labels), right / len(data.labels))


@torch.no_grad()
def right_answers(objective: Objective, data: Tensors, batch_size: int) -> npt.NDArray[np.bool_]:
    """Which images (N,) the network, as it is, gets right."""
    objective.network.eval()
    batches = zip(*(torch.split(part, 4 * batch_size) for part in (data.images, data.labels)), strict=True)
    parts = [objective.forward(images).argmax(1) == labels for images, labels in batches]
    return torch.cat(parts).cpu().numpy()


def shares(right: npt.NDArray[np.bool_], groups: Groups) -> dict[str, Any]:
    """What a history says of an accuracy: n, the share, and its 95 % interval."""
    interval = proportion_interval(right, groups)
    return {"n": len(right), "accuracy": float(right.mean()), "ci_low": interval.low, "ci_high": interval.high}
