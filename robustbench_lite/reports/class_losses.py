"""What every class loses under every condition, and which confusions come of it. From the rows of a run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.intervals import Interval, paired_interval, proportion_interval
from robustbench_lite.reports.words import class_name
from robustbench_lite.runs import Run

MOST = 20  # classes in the table
NAMED = 3  # classes and confusions named for each condition
_ERROR_RATE = 0.05

_COLUMNS = ["index", "group", "label", "condition", "prediction", "correct"]

Counts = npt.NDArray[np.int64]


class ClassLoss(NamedTuple):
    """One class under one condition: images, how many of them are right before and after, and points lost.

    ``interval`` is that of the loss (Bonett and Price), ``after_interval`` that of the accuracy under the
    condition, each for itself. ``beyond_chance``: the loss is above 0 also at Bonferroni's level for all classes
    under all conditions.
    """

    name: str
    condition: str
    n: int
    before: int
    after: int
    loss: float
    interval: Interval
    after_interval: Interval
    beyond_chance: bool


class Confusion(NamedTuple):
    """Images of one class that are taken for another: before and after, of n."""

    label: str
    prediction: str
    n: int
    before: int
    after: int


class ConditionLosses(NamedTuple):
    """The classes that lose most under a condition, and the confusions that grew most; empty if none did."""

    condition: str
    classes: list[ClassLoss]
    confusions: list[Confusion]


class Losses(NamedTuple):
    """All of a run.

    ``worst`` has every class once, under the condition that costs it most, the largest loss first, and at most
    ``MOST`` of ``n_classes``. An attack without a budget takes part only if there is nothing else: that it
    succeeds says little.
    """

    worst: list[ClassLoss]
    conditions: list[ConditionLosses]
    n_classes: int
    unbounded: bool  # conditions were left out of ``worst``

    @property
    def looks(self) -> int:
        """How many classes under how many conditions were looked at."""
        return self.n_classes * len(self.conditions)


class _Paired(NamedTuple):
    """One condition against the clean images, image by image, and its counts by class."""

    condition: str
    labels: Counts  # (N,) places among the classes
    before: npt.NDArray[Any]  # (N,) of 0 and 1
    after: npt.NDArray[Any]
    groups: npt.NDArray[Any] | None
    n: Counts  # (K,)
    loss: npt.NDArray[np.float64]  # (K,) points lost as a share; -inf for a class without images
    confusions: list[tuple[int, int, int, int]]  # class, prediction, before, after


def losses(run: Run) -> Losses | None:
    """What classes lose against the clean images, on the same ones; None without these, or without conditions."""
    parts = dict(iter(run.samples[_COLUMNS].groupby("condition", sort=False)))
    clean = parts.pop("clean", None)
    if clean is None:
        return None
    clean, grouped = clean.sort_values("index"), run.record.data.n_groups is not None
    known = np.unique(clean["label"].to_numpy(int))
    compared = [_paired(str(spec), clean, rows, known, grouped=grouped) for spec, rows in parts.items()]
    found = [paired for paired in compared if paired is not None]
    if not found:
        return None
    names = [class_name(run.record, label) for label in known.tolist()]
    level = 1 - _ERROR_RATE / (len(known) * len(found))
    conditions = [
        ConditionLosses(
            paired.condition,
            [_class_loss(paired, k, names[k], level) for k in _worst(paired.loss, NAMED) if paired.loss[k] > 0],
            [
                Confusion(names[k], class_name(run.record, to), int(paired.n[k]), before, after)
                for k, to, before, after in paired.confusions
            ],
        )
        for paired in found
    ]
    free = {c.spec for c in run.record.conditions if any(t.minimal for t in c.threat_model)}
    bounded = [paired for paired in found if paired.condition not in free] or found
    table = np.stack([paired.loss for paired in bounded])
    shown = [k for k in _worst(table.max(axis=0), MOST) if np.isfinite(table[:, k]).any()]
    worst = [_class_loss(bounded[int(table[:, k].argmax())], k, names[k], level) for k in shown]
    return Losses(worst, conditions, len(known), len(bounded) < len(found))


def _worst(loss: npt.NDArray[np.float64], most: int) -> list[int]:
    """Places of the largest, the largest first."""
    found: list[int] = np.argsort(-loss, kind="stable")[:most].tolist()
    return found


def _paired(
    condition: str, clean: pd.DataFrame, rows: pd.DataFrame, known: Counts, *, grouped: bool
) -> _Paired | None:
    """``clean`` ascends by index; rows of images that it lacks are left out."""
    indices, here = clean["index"].to_numpy(), rows["index"].to_numpy()
    place = np.searchsorted(indices, here).clip(max=len(indices) - 1)
    there = indices[place] == here
    if not there.any():
        return None
    rows, place = rows[there], place[there]
    labels = np.searchsorted(known, clean["label"].to_numpy(int)[place])
    before, after = clean["correct"].to_numpy()[place], rows["correct"].to_numpy()
    n = np.bincount(labels, minlength=len(known))
    fall = np.bincount(labels, before.astype(float) - after, minlength=len(known))
    loss = np.where(n > 0, fall / np.maximum(n, 1), -np.inf)
    predictions = clean["prediction"].to_numpy(int)[place], rows["prediction"].to_numpy(int)
    groups = rows["group"].to_numpy() if grouped else None
    return _Paired(condition, labels, before, after, groups, n, loss, _grown(labels, known, *predictions))


def _grown(labels: Counts, known: Counts, before: Counts, after: Counts) -> list[tuple[int, int, int, int]]:
    """The confusions that more images have than before, the largest growth first."""
    lowest = int(min(before.min(), after.min()))  # -1 where the logits were not finite
    width = int(max(before.max(), after.max())) - lowest + 1
    counts = []
    for predictions in (before, after):
        wrong = predictions != known[labels]
        cells = labels[wrong] * width + predictions[wrong] - lowest
        counts.append(np.bincount(cells, minlength=len(known) * width))
    growth = counts[1] - counts[0]
    grown = np.flatnonzero(growth > 0)
    largest = grown[np.argsort(-growth[grown], kind="stable")[:NAMED]].tolist()
    return [(cell // width, cell % width + lowest, int(counts[0][cell]), int(counts[1][cell])) for cell in largest]


def _class_loss(paired: _Paired, k: int, name: str, level: float) -> ClassLoss:
    mine = paired.labels == k
    before, after = paired.before[mine], paired.after[mine]
    groups = None if paired.groups is None else paired.groups[mine]
    return ClassLoss(
        name,
        paired.condition,
        int(mine.sum()),
        int(before.sum()),
        int(after.sum()),
        float(paired.loss[k]),
        paired_interval(before, after, groups),
        proportion_interval(after, groups),
        paired_interval(before, after, groups, level).low > 0,
    )
