"""Metrics that are no mean over images: the worst class, calibration, how well a score tells errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.gates.bounds import Array, Change, Design, Estimate, apart, design, fall, share
from robustbench_lite.gates.metric import Metric, Subject, Unmeasured, checked, finite, groups_of, of_class
from robustbench_lite.gates.resampling import Statistic, resampled_change
from robustbench_lite.gates.rule import GateSettings
from robustbench_lite.gates.tables import Table
from robustbench_lite.intervals import Groups
from robustbench_lite.metrics import BINS, calibration_error

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class WorstClass(Metric):
    """The lowest accuracy of any class that has images.

    A lower bound of the truly worst class needs no correction, since the smallest of the classes' bounds is not
    above its own; the upper one is the smallest upper bound, of all classes together (Bonferroni).
    """

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ("label", "correct")

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``; ``n`` is that of the worst class."""
        rows = checked(of_class(table.rows(self.needs(), subject.conditions[0]), subject.label), subject)
        classes = [
            share(part["correct"].to_numpy(), groups_of(part, table), settings.proportion)
            for _, part in rows.groupby("label")
        ]
        lowest = min(classes, key=lambda one: one.value)
        return Estimate(
            lowest.value,
            lowest.n,
            lambda alpha: min(one.lower(alpha) for one in classes),
            lambda alpha: min(one.upper(alpha / len(classes)) for one in classes),
        )

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``: see ``fall_of_the_lowest``."""
        columns = ("correct",)
        rows = checked(of_class(table.pairs(baseline, subject.conditions[0], columns), subject.label), subject)
        parts = [part for _, part in rows.groupby("label")]
        before, after = (
            [(part[name].to_numpy(), groups_of(part, table)) for part in parts]
            for name in ("correct_before", "correct")
        )
        return Change(
            fall_of_the_lowest(before, after),
            fall_of_the_lowest(after, before),
            min(float(right.mean()) for right, _ in before),
            min(float(right.mean()) for right, _ in after),
        )


Class = tuple[npt.NDArray[Any], Groups]
"""Whether the images of a class are right, and their groups."""


def fall_of_the_lowest(before: Sequence[Class], after: Sequence[Class]) -> Estimate:
    """How far the lowest accuracy of any class falls, on the same images.

    It falls at least as far as the class that was truly lowest before, and at most as far as the one that is truly
    lowest after. Four fifths of the level are for the fall of such a class, whichever it is among those that may
    be the lowest; one fifth is for the lowest not to be among these. Below, the level is shared with the distance
    between what was lowest before and after, which knows more where one class falls below all others.

    Args:
        before: of every class.
        after: likewise, of the same images.
    """
    falls = [fall(b, a, groups) for (b, groups), (a, _) in zip(before, after, strict=True)]
    shares = [[share(*one) for one in side] for side in (before, after)]
    value = min(one.value for one in shares[0]) - min(one.value for one in shares[1])

    def candidates(side: list[Estimate], alpha: float) -> list[Estimate]:
        least = min(one.upper(alpha / 10 / len(side)) for one in side)
        return [f for f, one in zip(falls, side, strict=True) if one.lower(alpha / 10) <= least]

    return Estimate(
        value,
        sum(one.n for one in falls),
        lambda alpha: max(
            min(one.lower(0.4 * alpha) for one in candidates(shares[0], alpha / 2)),
            min(one.lower(alpha / 4) for one in shares[0])
            - min(one.upper(alpha / 4 / len(shares[1])) for one in shares[1]),
        ),
        lambda alpha: max(one.upper(0.8 * alpha) for one in candidates(shares[1], alpha)),
    )


@dataclass(frozen=True)
class Calibration(Metric):
    """Expected calibration error: ``metrics.calibration_error``.

    Its bins' gaps are means over images, and it is the sum of their sizes. With the signs that the gaps have in
    truth that sum is one mean, and never above what is found: so the upper bound is that of one mean. What is
    found is above the truth by at most the sum of the gaps' own errors, which is a Lipschitz function of Gaussian
    ones: its quantile is at most its expectation and as many standard errors (Borell, Inventiones 1975;
    Tsirelson, Ibragimov and Sudakov, 1976). Both hold for any network, and are wide for a well calibrated one.
    """

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ("label", "prediction", "confidence")

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``."""
        rows = checked(of_class(table.rows(self.needs(), subject.conditions[0]), subject.label), subject)
        return ece_estimate(_confidence(rows, ""), _right(rows, ""), groups_of(rows, table))

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``: each network's bounds at half the level."""
        columns = ("prediction", "confidence")
        rows = checked(of_class(table.pairs(baseline, subject.conditions[0], columns), subject.label), subject)
        groups = groups_of(rows, table)
        before, after = (ece_estimate(_confidence(rows, e), _right(rows, e), groups) for e in ("_before", ""))
        return Change(apart(before, after), apart(after, before), before.value, after.value)


def ece_estimate(confidence: Array, right: Array, groups: Groups) -> Estimate:
    """The expected calibration error, with the bounds of ``Calibration``.

    Args:
        confidence: (N,) of the predictions.
        right: (N,) of 0 and 1.
        groups: (N,) or None.
    """
    error, gaps = calibration_error(confidence, right).error, confidence - right
    units = design(gaps, groups)
    if units is None:
        return Estimate(error, len(gaps), lambda a: 0.0, lambda a: 1.0)
    n = units.effective
    square = (n * float((gaps**2).mean()) + 2) / (n + 2)  # two images more, as for shares that change
    place = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
    inside = np.bincount(place, gaps**2) / len(gaps) - (np.bincount(place, gaps) / len(gaps)) ** 2
    chance = float(np.sqrt(2 / np.pi * np.maximum(inside, 0) / n).sum())
    return Estimate(
        error,
        len(gaps),
        lambda a: max(0.0, error - chance - units.quantile(a) * math.sqrt(square / n)),
        lambda a: min(1.0, error + units.quantile(a) * math.sqrt(max(square - error**2, 0) / n)),
        n,
    )


@dataclass(frozen=True)
class ErrorAuroc(Metric):
    """Probability that a wrongly classified image has a higher outlier score than a rightly classified one.

    The bounds are those of DeLong, DeLong and Clarke-Pearson (Biometrics 1988; of groups Obuchowski, Biometrics
    1997) on the logit scale, or of Newcombe's score interval (Statistics in Medicine 2006, method 5), whichever
    is further.
    """

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ("label", "correct", "outlier")

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``."""
        rows = checked(of_class(table.rows(self.needs(), subject.conditions[0]), subject.label), subject)
        scores, wrong = _scores(rows, "", subject)
        return auroc_estimate(scores, wrong, groups_of(rows, table))

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``, by resampling."""
        columns = ("correct", "outlier")
        rows = checked(of_class(table.pairs(baseline, subject.conditions[0], columns), subject.label), subject)
        sides = [_scores(rows, end, subject) for end in ("_before", "")]

        def statistic(side: tuple[Array, Array]) -> Statistic:
            scores, wrong = side
            order, starts, _ = _sorted(scores)

            def auroc(weights: Array) -> Array:
                ordered = weights[:, order]
                above = np.add.reduceat(ordered * wrong[order], starts, axis=1)
                below = np.add.reduceat(ordered * (1 - wrong[order]), starts, axis=1)
                pairs = above.sum(axis=1) * below.sum(axis=1)
                won = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
                return np.asarray(np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0))

            return auroc

        return resampled_change(
            statistic(sides[0]),
            statistic(sides[1]),
            n=len(rows),
            strata=rows["label"].to_numpy(),
            groups=groups_of(rows, table),
            least=int(min(min(wrong.sum(), (1 - wrong).sum()) for _, wrong in sides)),
            limits=self.limits,
        )


def auroc_estimate(scores: Array, wrong: Array, groups: Groups) -> Estimate:
    """The AUROC of scores for errors, with the bounds of ``ErrorAuroc``.

    Args:
        scores: (N,).
        wrong: (N,) of 0 and 1, some of each.
        groups: (N,) or None.
    """
    _, place = np.unique(scores, return_inverse=True)
    bad, good = np.bincount(place, wrong), np.bincount(place, 1 - wrong)
    m, n = float(bad.sum()), float(good.sum())
    below_good, below_bad = good.cumsum() - good / 2, bad.cumsum() - bad / 2
    value = float((bad * below_good).sum() / (m * n))
    # What each image adds to the deviation of the whole from the truth.
    pull = np.where(wrong == 1, (below_good[place] / n - value) / m, (1 - below_bad[place] / m - value) / n)
    units: Design | None = Design(len(scores), None)
    if groups is not None:
        codes, names = pd.factorize(pd.Series(groups), use_na_sentinel=False)
        if len(names) < len(scores):
            units = None if len(names) == 1 else Design(len(names), len(names) - 1)
            pull = np.bincount(codes, pull)
            m, n = (float(len(np.unique(codes[wrong == side]))) for side in (1, 0))
    if units is None:
        return Estimate(value, len(scores), lambda a: 0.0, lambda a: 1.0)
    correction = len(pull) / (len(pull) - 1) if len(pull) > 1 else 1.0
    error = math.sqrt(float((pull**2).sum()) * correction)

    def end(alpha: float, sign: int) -> float:
        z = units.quantile(alpha)
        score = _newcombe(value, m, n, z, sign)
        if not 0 < value < 1:
            return score
        logit = math.log(value / (1 - value)) + sign * z * error / (value * (1 - value))
        found = 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))
        return (min, max)[sign > 0](found, score)

    return Estimate(value, len(scores), lambda a: end(a, -1), lambda a: end(a, 1))


def _newcombe(value: float, m: float, n: float, z: float, sign: int) -> float:
    """The end of the score interval on one side of the value."""
    if z <= 0:
        return value
    star = (m + n) / 2 - 1
    near, far = value, float(sign > 0)
    for _ in range(50):
        theta = (near + far) / 2
        spread = theta * (1 - theta) * (1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (m * n)
        near, far = (theta, far) if (theta - value) ** 2 < z * z * spread else (near, theta)
    return far


def _scores(rows: pd.DataFrame, end: str, subject: Subject) -> tuple[Array, Array]:
    wrong = 1 - rows[f"correct{end}"].to_numpy(dtype=float)
    if not 0 < wrong.sum() < len(wrong):
        which = "wrong" if wrong.any() else "right"
        raise Unmeasured(
            f"all images are {which} under {subject.name}: a score has nothing to tell.", "Take more images."
        )
    return finite(rows[f"outlier{end}"].to_numpy(dtype=float, na_value=np.nan), "the outlier score"), wrong


def _confidence(rows: pd.DataFrame, end: str) -> Array:
    return finite(rows[f"confidence{end}"].to_numpy(dtype=float, na_value=np.nan), "confidence")


def _right(rows: pd.DataFrame, end: str) -> Array:
    return np.asarray(rows[f"prediction{end}"].to_numpy() == rows["label"].to_numpy(), dtype=float)


def _sorted(keys: npt.NDArray[Any]) -> tuple[Places, Places, Places]:
    """An order in which equal keys stand together, where each begins in it, and how many there are of each."""
    order = np.argsort(keys, kind="stable")
    _, starts, sizes = np.unique(np.asarray(keys)[order], return_index=True, return_counts=True)
    return order, starts, sizes
