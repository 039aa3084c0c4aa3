"""How large the smallest change is that fools the network: the median over all images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.gates.bounds import Array, Change, Design, Estimate, apart, clopper_bounds, design
from robustbench_lite.gates.metric import Metric, Subject, Unmeasured, checked, groups_of, of_class
from robustbench_lite.gates.rule import GateSettings
from robustbench_lite.gates.tables import Table
from robustbench_lite.intervals import Groups
from robustbench_lite.records import ConditionRecord

_COLUMNS = ("correct", "attacked")


@dataclass(frozen=True)
class MedianDistortion(Metric):
    """The budget at which half of the images are lost: an image that is wrong as it is counts 0, one that none was
    found for infinitely far. The bounds are two of the sizes: the sign test turned round, as exact as its
    binomial.
    """

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ("label", *_COLUMNS, "linf", "l2", "l1", "l0")

    def suits(self, condition: ConditionRecord) -> str:
        """As ``Metric.suits``."""
        free = any(threat.minimal for threat in condition.threat_model)
        return "" if free else "it does not look for the smallest change, as cw, ddn, fmn or deepfool do"

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``."""
        rows = checked(of_class(table.rows(self.needs(), subject.conditions[0]), subject.label), subject)
        return median_estimate(_lost_at(rows, _norm(table, subject), ""), groups_of(rows, table))

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``: see ``fall_of_the_median``."""
        columns = (*_COLUMNS, norm := _norm(table, subject))
        rows = checked(of_class(table.pairs(baseline, subject.conditions[0], columns), subject.label), subject)
        before, after = (_lost_at(rows, norm, end) for end in ("_before", ""))
        groups, medians = groups_of(rows, table), (_median(before), _median(after))
        if min(medians) == math.inf:
            raise Unmeasured(
                f"neither network loses half of the images under {subject.name}: there are no medians to compare.",
                "Hold robust_accuracy to max_drop, under an attack with a budget.",
            )
        return Change(
            fall_of_the_median(before, after, groups), fall_of_the_median(after, before, groups), *medians
        )


def median_estimate(lost: Array, groups: Groups) -> Estimate:
    """The median of sizes, with the bounds of ``MedianDistortion``.

    Args:
        lost: (N,) sizes from 0 to infinity, N > 0.
        groups: (N,) or None.
    """
    value = _median(lost)
    units = design((lost > value).astype(float), groups)
    if units is None:
        return Estimate(value, len(lost), lambda a: 0.0, lambda a: math.inf)
    ascending, n = np.sort(lost), len(lost)

    def lower(alpha: float) -> float:
        place = math.floor(n * (1 - _majority(units, alpha)) + 1e-9)
        return float(ascending[place]) if place >= 0 else 0.0

    def upper(alpha: float) -> float:
        place = math.ceil(n * _majority(units, alpha) - 1e-9) - 1
        return float(ascending[place]) if place < n else math.inf

    return Estimate(value, n, lower, upper, units.effective)


def fall_of_the_median(before: Array, after: Array, groups: Groups) -> Estimate:
    """How far the median falls, on the same images.

    MOVER (Zou and Donner, Statistics in Medicine 2008): the distances of both medians' bounds, put together as
    standard errors are, with the correlation of the two. That of medians is the one of whether images are above
    them (Bahadur, Annals of Mathematical Statistics 1966). Where one median is infinite: both networks' bounds, at
    half the level each.

    Args:
        before: (N,) sizes from 0 to infinity, N > 0.
        after: (N,), of the same images.
        groups: (N,) or None.
    """
    one, other = median_estimate(before, groups), median_estimate(after, groups)
    if not math.isfinite(one.value - other.value):
        found = apart(one, other)
        return replace(
            found,
            lower=lambda a: _known(found.lower(a), -math.inf),
            upper=lambda a: _known(found.upper(a), math.inf),
        )
    related = _correlation(before > one.value, after > other.value, groups)
    value = one.value - other.value

    def distance(first: float, second: float) -> float:
        if not math.isfinite(first + second):
            return math.inf
        first, second = max(first, 0.0), max(second, 0.0)
        return math.sqrt(first**2 + second**2 - 2 * related * first * second)

    return Estimate(
        value,
        one.n,
        lambda a: value - distance(one.value - one.lower(a), other.upper(a) - other.value),
        lambda a: value + distance(one.upper(a) - one.value, other.value - other.lower(a)),
        one.effective,
    )


def _known(bound: float, otherwise: float) -> float:
    return otherwise if math.isnan(bound) else bound


def _correlation(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], groups: Groups) -> float:
    """Of two shares on the same images, or groups, and of two more that differ: never quite 1."""
    codes = np.arange(len(one)) if groups is None else pd.factorize(pd.Series(groups), use_na_sentinel=False)[0]
    x, y = (np.bincount(codes, side - side.mean()) for side in (one, other))
    more = (len(one) / len(x)) ** 2 / 2
    return float(((x * y).sum() - more) / math.sqrt(((x**2).sum() + more) * ((y**2).sum() + more)))


def _norm(table: Table, subject: Subject) -> str:
    condition = next(c for c in table.record.conditions if c.spec == subject.conditions[0])
    return next(threat.norm for threat in reversed(condition.threat_model) if threat.minimal)


def _lost_at(rows: pd.DataFrame, norm: str, end: str) -> Array:
    size = np.where(rows[f"attacked{end}"] == 1, rows[f"{norm}{end}"], 0.0)
    return np.asarray(np.where(rows[f"correct{end}"] == 1, np.inf, size), dtype=float)


def _median(values: Array) -> float:
    return float(np.sort(values)[math.ceil(len(values) / 2) - 1])


def _majority(units: Design, alpha: float) -> float:
    """The smallest share whose lower bound is above a half; above 1 where there is none."""
    low, high = 0.5, 1.0
    if clopper_bounds(1 - 1e-12, units)[0](alpha) <= 0.5:
        return 2.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if clopper_bounds(middle, units)[0](alpha) > 0.5 else (middle, high)
    return high
