"""Metrics of a shift over its severities: the area under the accuracy, and where it breaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustbench_lite.gates.bounds import Change, Design, Estimate
from robustbench_lite.gates.matching import fits, has_wildcard, names
from robustbench_lite.gates.means import Mean
from robustbench_lite.gates.metric import Metric, Subject, Unmeasured, checked, groups_of, labels_of
from robustbench_lite.gates.rule import GateSettings, Where
from robustbench_lite.gates.tables import Table
from robustbench_lite.intervals import retention_score
from robustbench_lite.records import BreakingPoint, ConditionRecord
from robustbench_lite.sweeps import without_severity


@dataclass(frozen=True)
class Area(Mean):
    """The mean accuracy over the range of a shift's severities: that of ``sweeps.Sweep``."""

    def subjects(self, table: Table, where: Where, reference: Table | None) -> list[Subject]:
        """As ``Metric.subjects``: one per shift; ``where.condition`` is its spec without the severity."""
        record, found = table.record, []
        scans = {point.shift: point.scan for point in record.breaking_points}
        clean = next((c for c in record.conditions if c.kind == "clean"), None)
        for shift, levels in _shifts(table).items():
            if not _named(where.condition, shift, levels[0], table):
                continue
            specs = {c.severity: c.spec for c in levels if c.severity in scans.get(shift, [c.severity])}
            if clean is not None and levels[0].from_clean:
                specs[0.0] = clean.spec
            severities = sorted(float(s) for s in specs if s is not None)
            if len(severities) > 1:
                found.append((shift, tuple(specs[s] for s in severities), _weights(severities)))
        labels = labels_of(record, where.class_)
        return [Subject(*one, *label) for one in found for label in labels]


@dataclass(frozen=True)
class Breaking(Metric):
    """The severity at which a shift takes the accuracy below a share of the clean one: ``rb shift --until``.

    The bounds are severities that were evaluated: up to the lower one the accuracy is significantly above at every
    severity; at the upper one it is significantly below, at a level that is divided by the number of severities.
    """

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ("index", "correct")

    def subjects(self, table: Table, where: Where, reference: Table | None) -> list[Subject]:
        """As ``Metric.subjects``: one per shift; ``where.condition`` is its spec without the severity."""
        levels = _shifts(table)
        return [
            Subject(p.shift, ("clean", *(c.spec for c in levels[p.shift])))
            for p in table.record.breaking_points
            if p.shift in levels and _named(where.condition, p.shift, levels[p.shift][0], table)
        ]

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``."""
        point = next(p for p in table.record.breaking_points if p.shift == subject.name)
        rows = checked(table.rows(self.needs(), "clean"), subject).set_index("index")
        freedom = None
        if table.grouped:
            groups = rows["group"].nunique(dropna=False)
            freedom = None if groups == len(rows) else max(1, groups - 1)
        value = math.inf if point.severity is None else point.severity
        return breaking_estimate(value, Design(len(rows), freedom), _scores(table, point, rows), len(rows))

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """There is none."""
        raise Unmeasured(
            "how far a breaking point moved has no interval.", "Give min, or max_drop of the metric area."
        )


def breaking_estimate(value: float, units: Design, scores: Sequence[tuple[float, float]], n: int) -> Estimate:
    """A breaking point with the bounds of ``Breaking``.

    Args:
        value: the severity.
        units: whose quantile the scores are held to.
        scores: of every severity, ascending: by how many standard errors the accuracy is above the share.
        n: images.
    """

    def lower(alpha: float) -> float:
        held = 0.0
        for severity, score in scores:
            if score <= units.quantile(alpha):
                break
            held = severity
        return held

    def upper(alpha: float) -> float:
        beyond = (s for s, score in scores if score < -units.quantile(alpha / len(scores)))
        return next(beyond, math.inf)

    return Estimate(value, n, lower, upper)


def _scores(table: Table, point: BreakingPoint, clean: pd.DataFrame) -> list[tuple[float, float]]:
    """Of every severity, ascending: by how many standard errors the accuracy is above the share."""
    found = []
    for condition in _shifts(table)[point.shift]:
        rows = table.rows(("index", "correct"), condition.spec).set_index("index")
        before = clean.loc[rows.index]
        groups = groups_of(before, table)
        score = retention_score(
            before["correct"].to_numpy(dtype=float), rows["correct"].to_numpy(dtype=float), point.share, groups
        )
        found.append((float(condition.severity or 0.0), score.value))
    return sorted(found)


def _shifts(table: Table) -> dict[str, list[ConditionRecord]]:
    """The conditions of every shift above severity 0, by its spec without the severity."""
    found: dict[str, list[ConditionRecord]] = {}
    for condition in table.record.conditions:
        name = without_severity(condition)
        if name is not None and condition.severity:
            found.setdefault(name, []).append(condition)
    return found


def _named(pattern: str | None, shift: str, level: ConditionRecord, table: Table) -> bool:
    if pattern is None or pattern == shift:
        return True
    if has_wildcard(pattern):
        return fits(pattern, shift)
    # A pattern with a severity would choose a part of what the number is over.
    parameters = [{k: v for k, v in known.items() if k != "severity"} for known in level.parameters]
    whole = level.model_copy(update={"spec": shift, "severity": None, "parameters": parameters})
    return names(pattern, whole, table.record)


def _weights(severities: list[float]) -> tuple[float, ...]:
    """Of the trapezoidal rule, divided by the range."""
    steps = np.diff(severities)
    weights = np.zeros(len(severities))
    weights[:-1] += steps / 2
    weights[1:] += steps / 2
    return tuple(float(w) for w in weights / weights.sum())
