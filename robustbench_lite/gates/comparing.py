"""What a rule compares: every number that it is about, with the limit that it is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from robustbench_lite.errors import InputError
from robustbench_lite.gates.bounds import Change, Estimate
from robustbench_lite.gates.metric import Metric, Subject, Unmeasured
from robustbench_lite.gates.metrics import metric_of
from robustbench_lite.gates.rule import RELATIVE, GateSettings, Rule
from robustbench_lite.gates.tables import Table
from robustbench_lite.gates.trusting import Obstacle, of_conditions, of_rows, of_run
from robustbench_lite.pairing import check_pairs

BoundName = Literal["min", "max", "max_drop", "max_rise"]


@dataclass(frozen=True)
class Comparison:
    """One number against one limit; or why there is none."""

    rule: Rule
    metric: Metric
    run: str
    subject: Subject
    bound: BoundName | None
    limit: float | None
    estimate: Estimate | None
    change: Change | None = None
    obstacle: Obstacle | None = None

    def evidence_against(self) -> float:
        """p of the test that the limit is kept: small where it is broken; 1 where there is no number."""
        if self.estimate is None or self.limit is None:
            return 1.0
        below = self.bound == "min"
        return self.estimate.p_below(self.limit) if below else self.estimate.p_above(self.limit)


def comparisons(rule: Rule, table: Table, baseline: Table | None, settings: GateSettings) -> list[Comparison]:
    """All of a rule in one run; empty if nothing in it is what the rule is about.

    Args:
        rule: whose metric is known.
        table: the run.
        baseline: what it is compared with; None where none was given.
        settings: shared.
    """
    metric, run = metric_of(rule.metric), str(table.run.path)
    reference = baseline if rule.metric in RELATIVE else None

    def error(obstacle: Obstacle, subject: Subject) -> Comparison:
        return Comparison(rule, metric, run, subject, None, None, None, obstacle=obstacle)

    everything = Subject(metric.looks_at(rule.where), ())
    try:
        subjects = metric.subjects(table, rule.where, reference)
    except Unmeasured as unmeasured:
        return [error(Obstacle(unmeasured.what.rstrip("."), unmeasured.remedy), everything)]
    if not subjects:
        return []
    obstacle = of_run(table.record, settings) or _obstacle_of_metric(metric, table, "the run")
    if _is_change(rule) or reference is not None:
        obstacle = obstacle or _obstacle_of_baseline(metric, table, baseline, settings)
    if obstacle is not None:
        return [error(obstacle, everything)]
    specs = [spec for s in subjects for spec in s.conditions]
    table.read(("index",) if _is_change(rule) else ("index", *metric.needs()), specs)
    found: list[Comparison] = []
    for subject in subjects:
        reason = of_conditions(table.record, subject.conditions, settings) or of_rows(table, subject.conditions)
        if reason is None and baseline is not None and (_is_change(rule) or reference is not None):
            reason = _obstacle_of_pair(subject, baseline, settings)
        if reason is not None:
            found.append(error(reason, subject))
            continue
        try:
            found += _measured(rule, metric, table, baseline, reference, subject, settings)
        except Unmeasured as unmeasured:
            found.append(error(Obstacle(unmeasured.what.rstrip("."), unmeasured.remedy), subject))
    return found


def _is_change(rule: Rule) -> bool:
    return rule.max_drop is not None or rule.max_rise is not None


def _measured(
    rule: Rule,
    metric: Metric,
    table: Table,
    baseline: Table | None,
    reference: Table | None,
    subject: Subject,
    settings: GateSettings,
) -> list[Comparison]:
    run = str(table.run.path)
    if not _is_change(rule):
        estimate = metric.estimate(table, subject, settings, reference)
        limits: Sequence[tuple[BoundName, float | None]] = (("min", rule.min), ("max", rule.max))
        return [
            Comparison(rule, metric, run, subject, bound, limit, estimate)
            for bound, limit in limits
            if limit is not None
        ]
    assert baseline is not None
    change = metric.change(table, baseline, subject, settings)
    both: Sequence[tuple[BoundName, float | None, Estimate]] = (
        ("max_drop", rule.max_drop, change.fall),
        ("max_rise", rule.max_rise, change.rise),
    )
    return [
        Comparison(rule, metric, run, subject, bound, limit, estimate, change)
        for bound, limit, estimate in both
        if limit is not None
    ]


def _obstacle_of_metric(metric: Metric, table: Table, called: str) -> Obstacle | None:
    if metric.detector and table.record.detector is None:
        return Obstacle(f"{called} has no detector, which {metric.name} is about", "Run it with --detector.")
    return None


def _obstacle_of_baseline(
    metric: Metric, table: Table, baseline: Table | None, settings: GateSettings
) -> Obstacle | None:
    if baseline is None:
        return Obstacle("there is no baseline to compare with", "Name one in the rule, or give --baseline RUN.")
    if baseline.record.id == table.record.id:
        return Obstacle("the run is the baseline itself", "Evaluate the new build in a run of its own.")
    try:
        check_pairs(table.run, baseline.run)
    except InputError as error:
        return Obstacle(error.what.rstrip("."), error.remedy)
    found = of_run(baseline.record, settings, "the baseline")
    return found or _obstacle_of_metric(metric, baseline, "the baseline")


def _obstacle_of_pair(subject: Subject, baseline: Table, settings: GateSettings) -> Obstacle | None:
    known = {c.spec for c in baseline.record.conditions}
    missing = [spec for spec in subject.conditions if spec not in known]
    if missing:
        return Obstacle(
            f"the baseline {baseline.run.path} has no {missing[0]}",
            "Run the baseline's network under the same conditions.",
        )
    found = of_conditions(baseline.record, subject.conditions, settings, "the baseline")
    return found or of_rows(baseline, subject.conditions, "the baseline")


def left_out(rule: Rule, tables: Sequence[Table], baseline: Table | None) -> list[Comparison]:
    """What a rule about changes is about in its baseline, and no run has: nobody knows how far that fell."""
    if baseline is None or not _is_change(rule):
        return []
    metric = metric_of(rule.metric)
    try:
        subjects = metric.subjects(baseline, rule.where, None)
    except Unmeasured:
        return []
    known = {condition.spec for table in tables for condition in table.record.conditions}
    missing = dict.fromkeys(spec for s in subjects for spec in s.conditions if spec not in known)
    return [
        Comparison(rule, metric, str(tables[0].run.path), Subject(spec, ()), None, None, None, obstacle=obstacle)
        for spec in missing
        for obstacle in [Obstacle(f"no run has {spec}, which the baseline has", "Run the same conditions.")]
    ]
