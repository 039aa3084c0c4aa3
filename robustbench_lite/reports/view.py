"""What the sections of the page see of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from robustbench_lite.comparison import Difference, differences
from robustbench_lite.errors import InputError
from robustbench_lite.gates.stored import GATE_FILE, read_gate
from robustbench_lite.gates.verdict import GateReport
from robustbench_lite.metrics import summarise
from robustbench_lite.pairing import check_pairs
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
        gates: what came of the rules that it was judged by, or None.
        notes: what else is to be warned of.
        mark: what its headings begin with on a page of several runs, and its ids: A, B, …; empty for one alone.
    """

    run: Run
    baseline: Run | None = None
    gates: GateReport | None = None
    notes: tuple[str, ...] = ()
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
    def of(self) -> str:
        """Ends the names of landmarks, which must differ on a page of several runs."""
        return f" of run {self.mark}" if self.mark else ""

    @property
    def name(self) -> str:
        """What the run is called beside others."""
        return f"{self.mark} {words.short(self.record.model.spec)}".strip()

    @cached_property
    def warnings(self) -> list[str]:
        """Everything that stands against the numbers."""
        return [*words.warnings(self.run), *self.notes]

    @cached_property
    def changes(self) -> dict[str, Difference]:
        """By condition, what differs from the baseline on the same images; empty without one."""
        return {} if self.baseline is None else {d.condition: d for d in differences(self.run, self.baseline)}

    @property
    def attacked(self) -> bool:
        """Whether there is an attack among the conditions."""
        return any(c.threat_model for c in self.record.conditions)


def views(runs: Sequence[Run], baseline: Run | None, gates: Sequence[GateReport] | None) -> list[View]:
    """The runs of a page; of several, the first is the baseline of the others unless one is given.

    Raises:
        InputError: no run, the same run twice, or a baseline on other images.
    """
    if not runs:
        raise InputError("there is no run to report.", "Give at least one run folder.")
    ids = [run.record.id for run in runs]
    for i, run in enumerate(runs):
        if ids[i] in ids[:i]:
            raise InputError(
                f"{runs[ids.index(ids[i])].path} and {run.path} are the same run ({ids[i]}).",
                "Give each run once; a copy of it says nothing new.",
            )
    if baseline is not None:
        for run in runs:
            check_pairs(run, baseline)
        if len(runs) == 1 and baseline.record.id == ids[0]:
            raise InputError(
                f"--baseline {baseline.path} is the run itself ({ids[0]}).",
                "Give the run that it is to be beside.",
            )
    found, judged = [], _judged(runs, gates)
    for i, run in enumerate(runs):
        report, notes = judged[i]
        other = baseline if baseline is not None else runs[0]
        beside = other.record.id != run.record.id and _same_images(run, other)
        found.append(View(run, other if beside else None, report, notes, mark_of(i) if len(runs) > 1 else ""))
    return found


def mark_of(place: int) -> str:
    """A, B, … Z, R27, …"""
    return chr(ord("A") + place) if place < 26 else f"R{place + 1}"


def _same_images(run: Run, other: Run) -> bool:
    mine, theirs = run.record.data, other.record.data
    return (mine.manifest_sha256, mine.class_names) == (theirs.manifest_sha256, theirs.class_names)


Judged = tuple[
    GateReport | None, tuple[str, ...]
]  # what came of the rules for a run, and what is to be said of it


def _judged(runs: Sequence[Run], gates: Sequence[GateReport] | None) -> list[Judged]:
    """For every run the rules that it was judged by: those of its own folder, or of another run's here."""
    stored: list[Judged] = [(None, ())] * len(runs) if gates is not None else [_stored(run) for run in runs]
    known = [report for report, _ in stored if report is not None] if gates is None else list(gates)
    found = []
    for run, (own, notes) in zip(runs, stored, strict=True):
        others = (report for report in known if run.record.id in report.run_ids)
        found.append((own or next(others, None), notes))
    return found


def _stored(run: Run) -> Judged:
    """What ``gate.json`` of its folder says of a run, and why nothing where there is one."""
    try:
        report = read_gate(run.path)
    except InputError as error:
        return None, (f"The verdict of the rules is not shown. {error}",)
    if report is not None and run.record.id not in report.run_ids:
        return None, (f"{run.path / GATE_FILE} is about another run, and not shown.",)
    return report, ()


def _threat(condition: ConditionRecord) -> dict[str, Any]:
    norm = condition.threat_model[-1].norm if condition.threat_model else None
    return {"threat": words.threat(condition), "norm": norm}
