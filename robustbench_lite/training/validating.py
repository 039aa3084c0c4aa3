"""How good a network is after an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_lite.intervals import Groups, proportion_interval, wilson
from robustbench_lite.rng import Streams
from robustbench_lite.training.objective import Objective
from robustbench_lite.training.on_demand import OnDemand
from robustbench_lite.training.recipe import PARTS, Recipe
from robustbench_lite.training.robust_validation import robust_accuracy
from robustbench_lite.training.shifting import ShiftRange, under_shifts
from robustbench_lite.training.tensors import Tensors

_CHUNK = 1024  # images that are shifted at a time


class Validated(NamedTuple):
    """Means over the validation images; None: not asked for.

    ``loss`` is the cross-entropy in nats, of what the network is trained for: of clean images, or the mean of
    those and of shifted ones. ``robust_accuracy`` is that under the attack of validation, ``shift_accuracy`` that
    under the shifts.
    """

    loss: float
    accuracy: float
    robust_accuracy: float | None = None
    shift_accuracy: float | None = None


class Sliced(Protocol):
    """Images (N, C, H, W) in [0, 1], taken a slice at a time."""

    def __getitem__(self, chunk: slice, /) -> Tensor: ...


@dataclass(frozen=True)
class Shifted:
    """Validation images under shifts, made when they are asked for; the same each time."""

    shifts: tuple[ShiftRange, ...]
    data: Tensors
    seed: int

    def __getitem__(self, chunk: slice, /) -> Tensor:
        return under_shifts(
            self.shifts, self.data.images[chunk], Streams(self.seed, "validation", self.data.ids[chunk])
        )


def shifted_images(recipe: Recipe, data: Tensors, seed: int) -> Sliced | None:
    """Validation images under the shifts; None if it learns from no shift.

    They are made once and for all if the images are in memory, and otherwise anew each time.
    """
    if not recipe.weights[PARTS.index("shift")]:
        return None
    shifted = Shifted(recipe.shifts, data, seed)
    if isinstance(data.images, OnDemand):
        return shifted
    out = torch.empty_like(data.images)
    for start in range(0, len(out), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        out[chunk] = shifted[chunk]
    return out


@torch.no_grad()
def validated(
    objective: Objective,
    data: Tensors,
    batch_size: int,
    shifted: Sliced | None = None,
    attacked: Tensors | None = None,
) -> Validated:
    """Loss and accuracies, in the same way after every epoch.

    Args:
        objective: with the network.
        data: validation images (N, C, H, W) in [0, 1].
        batch_size: of training; here it is more.
        shifted: the same images under shifts, if it learns from them.
        attacked: those of the images that are attacked, at the full budget, if it learns from attacked ones.
    """
    objective.network.eval()
    loss, accuracy = _mean(objective, data.images, data.labels, batch_size)
    shift_accuracy, robust = None, None
    if shifted is not None:
        under = _mean(objective, shifted, data.labels, batch_size)
        loss, shift_accuracy = (loss + under.loss) / 2, under.accuracy
    defence = objective.recipe.adversarial
    if attacked is not None and defence is not None:
        assert defence.eps is not None
        robust = robust_accuracy(objective.classifier, attacked, defence, defence.eps, objective.options.seed)
    return Validated(loss, accuracy, robust, shift_accuracy)


class _Mean(NamedTuple):
    loss: float
    accuracy: float


def _mean(objective: Objective, images: Sliced, labels: Tensor, batch_size: int) -> _Mean:
    loss, right = 0.0, 0
    for start in range(0, len(labels), 4 * batch_size):
        chunk = slice(start, start + 4 * batch_size)
        logits = objective.forward(images[chunk])
        loss += float(F.cross_entropy(logits, labels[chunk], reduction="sum"))
        right += int((logits.argmax(1) == labels[chunk]).sum())
    return _Mean(loss / len(labels), right / len(labels))


@torch.no_grad()
def right_answers(objective: Objective, data: Tensors, batch_size: int) -> npt.NDArray[np.bool_]:
    """Which images (N,) the network, as it is, gets right."""
    objective.network.eval()
    chunks = (slice(start, start + 4 * batch_size) for start in range(0, len(data.labels), 4 * batch_size))
    parts = [objective.forward(data.images[chunk]).argmax(1) == data.labels[chunk] for chunk in chunks]
    return torch.cat(parts).cpu().numpy()


def shares(right: npt.NDArray[np.bool_], groups: Groups) -> dict[str, Any]:
    """What a history says of an accuracy: n, the share, and its 95 % interval."""
    interval = proportion_interval(right, groups)
    return {"n": len(right), "accuracy": float(right.mean()), "ci_low": interval.low, "ci_high": interval.high}


def share(accuracy: float | None, n: int) -> dict[str, Any] | None:
    """The same of an accuracy on n images of which it is not known which were right; None if there is none."""
    if accuracy is None:
        return None
    interval = wilson(round(accuracy * n), n)
    return {"n": n, "accuracy": accuracy, "ci_low": interval.low, "ci_high": interval.high}
