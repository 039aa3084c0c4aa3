"""What the sections of the page see of a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from robustbench_lite.metrics import summarise
from robustbench_lite.records import ConditionRecord, RunRecord
from robustbench_lite.reports import words
from robustbench_lite.reports.words import Result
from robustbench_lite.runs import Run
from robustbench_lite.sweeps import Sweep, coarse, sweeps

Values = dict[str, Any]  # what a section's template is filled with, beside the view itself


@dataclass(frozen=True)
class View:
    """One run of a page; what several sections need is made once.

    Args:
        run: what is shown.
        baseline: what it is compared with, or None.
        mark: what its headings begin with on a page of several runs, and its ids: A, B, …; empty for one alone.
    """

    run: Run
    baseline: Run | None = None
    mark: str = ""

    @property
    def record(self) -> RunRecord:
        """The run's record."""
        return self.run.record

    @property
    def prefix(self) -> str:
        """Of every id of this run's sections."""
        return f"{self.mark.lower()}-" if self.mark else ""

    @cached_property
    def usual(self) -> Run:
        """The run without the severities that only the search for a breaking point came to."""
        return coarse(self.run)

    @cached_property
    def results(self) -> list[Result]:
        """The numbers of every usual condition, with its threat model in words and its norm."""
        conditions = {c.spec: c for c in self.record.conditions}
        return [{**r, **_threat(conditions[r["condition"]])} for r in summarise(self.usual)]

    @cached_property
    def sweeps(self) -> list[Sweep]:
        """Every shift over its usual severities."""
        return sweeps(self.run)

    @property
    def attacked(self) -> bool:
        """Whether there is an attack among the conditions."""
        return any(c.threat_model for c in self.record.conditions)


def _threat(condition: ConditionRecord) -> dict[str, Any]:
    norm = condition.threat_model[-1].norm if condition.threat_model else None
    return {"threat": words.threat(condition), "norm": norm}
