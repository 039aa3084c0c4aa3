"""Metrics that are a mean of one number per image: of shares, under one condition or over several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustbench_lite.gates.bounds import Array, Change, Estimate, fall, share
from robustbench_lite.gates.metric import (
    Metric,
    Subject,
    Unmeasured,
    checked,
    finite,
    groups_of,
    of_class,
)
from robustbench_lite.gates.resampling import Statistic, resampled_change
from robustbench_lite.gates.rule import GateSettings, Where
from robustbench_lite.gates.tables import Table
from robustbench_lite.intervals import Groups
from robustbench_lite.records import ConditionRecord
from robustbench_lite.significance import mcnemar


@dataclass(frozen=True)
class Mean(Metric):
    """The mean of a column over the images, between 0 and ``most``."""

    column: str = "correct"
    most: float = 1.0
    attacks_only: bool = False

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ("index", "label", self.column)

    def suits(self, condition: ConditionRecord) -> str:
        """As ``Metric.suits``."""
        if self.attacks_only and not condition.threat_model:
            return "it is no attack"
        if self.attacks_only and any(t.minimal for t in condition.threat_model):
            return "it has no budget; its number is median_distortion"
        return ""

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``."""
        values, groups = self._one_table(table, subject)
        return share(values, groups, settings.proportion).scaled(self.most)

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``."""
        before, after, groups = self._two_tables(table, baseline, subject)
        broken = mended = p_change = None
        if self.column == "correct" and len(subject.conditions) == 1:
            broken, mended = int((before > after).sum()), int((before < after).sum())
            p_change = mcnemar(broken, mended) if groups is None else None
        return Change(
            fall(before, after, groups).scaled(self.most),
            fall(after, before, groups).scaled(self.most),
            float(before.mean()) * self.most,
            float(after.mean()) * self.most,
            broken,
            mended,
            p_change,
        )

    def _one_table(self, table: Table, subject: Subject) -> tuple[Array, Groups]:
        parts = [table.rows(self.needs(), spec) for spec in subject.conditions]
        rows = checked(of_class(parts[0], subject.label), subject)
        total = np.zeros(len(rows))
        for part, weight in zip(parts, subject.weights, strict=True):
            here = of_class(part, subject.label)
            if len(here) != len(rows) or not np.array_equal(here["index"].to_numpy(), rows["index"].to_numpy()):
                here = here.set_index("index").reindex(rows["index"])
            total += weight * self._values(here[self.column])
        return total, groups_of(rows, table)

    def _two_tables(self, table: Table, baseline: Table, subject: Subject) -> tuple[Array, Array, Groups]:
        before = after = np.zeros(0)
        rows = pd.DataFrame()
        for spec, weight in zip(subject.conditions, subject.weights, strict=True):
            here = checked(of_class(table.pairs(baseline, spec, (self.column,)), subject.label), subject)
            if not len(rows):
                rows, before, after = here, np.zeros(len(here)), np.zeros(len(here))
            elif not np.array_equal(here["index"].to_numpy(), rows["index"].to_numpy()):
                raise Unmeasured(f"{spec} is about other images than the rest.", "Run the conditions together.")
            before = before + weight * self._values(here[f"{self.column}_before"])
            after = after + weight * self._values(here[self.column])
        return before, after, groups_of(rows, table)

    def _values(self, column: pd.Series) -> Array:
        return finite(column.to_numpy(dtype=float, na_value=np.nan), self.column) / self.most


@dataclass(frozen=True)
class MeanOverConditions(Mean):
    """The same over several conditions together: every image counts with its mean over them."""

    def subjects(self, table: Table, where: Where, reference: Table | None) -> list[Subject]:
        """As ``Metric.subjects``: one, of all conditions that fit."""
        found = self.conditions(table.record, where)
        if where.condition is None and where.kind is None:
            found = [c for c in found if c.kind != "clean"]
        if not found:
            return []
        specs = tuple(c.spec for c in found)
        name = specs[0] if len(specs) == 1 else f"{len(specs)} conditions"
        template = super().subjects(table, where.model_copy(update={"condition": specs[0]}), reference)
        return [s._replace(name=name, conditions=specs, weights=(1 / len(specs),) * len(specs)) for s in template]


@dataclass(frozen=True)
class FalseAlarms(Metric):
    """The share of images that the detector flags among those that are classified right."""

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ("label", "correct", "flagged")

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``."""
        rows = checked(of_class(table.rows(self.needs(), subject.conditions[0]), subject.label), subject)
        rows = rows[rows["correct"] == 1]
        if not len(rows):
            raise Unmeasured(f"no image is right under {subject.name}.", "Check the network: rb doctor.")
        return share(rows["flagged"].to_numpy(), groups_of(rows, table), settings.proportion)

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``: by resampling, since other images are right for each network."""
        rows = checked(
            of_class(table.pairs(baseline, subject.conditions[0], ("correct", "flagged")), subject.label), subject
        )
        sides = []
        for end in ("_before", ""):
            right, flagged = (rows[f"{name}{end}"].to_numpy(dtype=float) for name in ("correct", "flagged"))
            if not right.any():
                raise Unmeasured(f"no image is right under {subject.name}.", "Check the network: rb doctor.")
            sides.append((right * flagged, right))

        def statistic(side: tuple[Array, Array]) -> Statistic:
            return lambda weights: (weights @ side[0]) / np.maximum(weights @ side[1], 1e-12)

        return resampled_change(
            statistic(sides[0]),
            statistic(sides[1]),
            n=len(rows),
            strata=rows["label"].to_numpy(),
            groups=groups_of(rows, table),
            least=int(min(side[1].sum() for side in sides)),
            limits=self.limits,
        )
