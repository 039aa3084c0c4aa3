"""Metrics of the published sets: mean corruption error, alone and as a share of that of another network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robustbench_lite.corruption_error import Resampled, resampled_errors, suites_of
from robustbench_lite.errors import InputError
from robustbench_lite.gates.bounds import Array, Change, Estimate
from robustbench_lite.gates.matching import fits
from robustbench_lite.gates.metric import Metric, Subject, Unmeasured
from robustbench_lite.gates.resampling import bounded
from robustbench_lite.gates.rule import GateSettings, Where
from robustbench_lite.gates.tables import Table


@dataclass(frozen=True)
class CorruptionMean(Metric):
    """One of the means of ``corruption_error.suite_errors``, by resampling images, or groups."""

    which: Literal["mean_error", "mce", "relative_mce"] = "mean_error"

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ()

    def subjects(self, table: Table, where: Where, reference: Table | None) -> list[Subject]:
        """As ``Metric.subjects``: one per set; ``where.condition`` is its spec without corruption and severity."""
        return [
            Subject(suite, ("clean", *specs))
            for suite, specs in suites_of(table.run).items()
            if where.condition is None or fits(where.condition, suite)
        ]

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``."""
        found = _drawn(table, reference, subject)
        values: Array | None = getattr(found, self.which)
        if values is None:
            raise Unmeasured(
                f"{self.name} is a share of another network's errors, and there is none to compare with.",
                "Give a baseline with the same set: baseline in the rule, or --baseline.",
            )
        return self._bounded(values, found)

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``, of the mean error alone: the others are changes already."""
        if self.which != "mean_error":
            raise Unmeasured(f"{self.name} compares two networks already.", "Give max, and the baseline.")
        found = _drawn(table, baseline, subject)
        assert found.reference is not None
        falls = found.reference - found.mean_error
        wide = (-1.0, 1.0)
        fall, rise = (bounded(float(v[0]), v[1:], found.n, found.groups, found.n, wide) for v in (falls, -falls))
        return Change(fall, rise, float(found.reference[0]), float(found.mean_error[0]))

    def _bounded(self, values: Array, found: Resampled) -> Estimate:
        return bounded(float(values[0]), values[1:], found.n, found.groups, found.n, self.limits)


def _drawn(table: Table, reference: Table | None, subject: Subject) -> Resampled:
    try:
        return resampled_errors(table.run, subject.name, None if reference is None else reference.run)
    except InputError as error:
        raise Unmeasured(error.what, error.remedy) from None
