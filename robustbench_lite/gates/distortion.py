"""How large the smallest change is that fools the network: the median over all images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustbench_lite.gates.bounds import Array, Change, Design, Estimate, clopper_bounds, design
from robustbench_lite.gates.metric import Metric, Subject, checked, groups_of, of_class
from robustbench_lite.gates.resampling import Statistic, resampled_change
from robustbench_lite.gates.rule import GateSettings
from robustbench_lite.gates.tables import Table
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
        lost = _lost_at(rows, _norm(table, subject), "")
        value = _median(lost)
        units = design((lost > value).astype(float), groups_of(rows, table))
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

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``, by resampling; without bounds where no median can be told in some draw."""
        norm = _norm(table, subject)
        rows = checked(
            of_class(table.pairs(baseline, subject.conditions[0], (*_COLUMNS, norm)), subject.label), subject
        )
        sides = [_lost_at(rows, norm, end) for end in ("_before", "")]

        def statistic(lost: Array) -> Statistic:
            order = np.argsort(lost, kind="stable")

            def median(weights: Array) -> Array:
                summed = weights[:, order].cumsum(axis=1)
                return np.asarray(lost[order][(summed >= summed[:, -1:] / 2).argmax(axis=1)])

            return median

        return resampled_change(
            statistic(sides[0]),
            statistic(sides[1]),
            n=len(rows),
            strata=rows["label"].to_numpy(),
            groups=groups_of(rows, table),
            least=len(rows),
            limits=self.limits,
            scale=max(_median(side) for side in sides),
        )


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
