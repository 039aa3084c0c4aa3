"""Pure functions of the rows of one shift over its severities: the curve, its area, and predictions that flip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from robustbench_lite.errors import InputError
from robustbench_lite.intervals import proportion_interval
from robustbench_lite.records import ConditionRecord
from robustbench_lite.runs import Run
from robustbench_lite.specs import without


class Level(NamedTuple):
    """One severity of a shift.

    ``flips`` is the share of the images whose prediction differs from that at the severity before; None at
    the first.
    """

    severity: float
    condition: str
    accuracy: float
    ci_low: float
    ci_high: float
    flips: float | None


class Sweep(NamedTuple):
    """One shift over its severities, ascending.

    Severity 0 is the clean images, unless an argument was given that changes them at severity 0 already.

    ``area`` is the mean accuracy over the range of the severities, the curve taken as straight in between: the
    area under it by the trapezoidal rule, divided by the range. It is over the images that were seen at every
    severity.
    """

    shift: str  # the spec without its severity
    levels: list[Level]
    area: float
    area_low: float
    area_high: float


def sweeps(run: Run, *, fine: bool = False) -> list[Sweep]:
    """Every shift of the run that has rows at a severity above 0, in the order of the run.

    Severities that only the search for a breaking point came to are left out, unless ``fine``, and from the area.
    """
    clean = next((c for c in run.record.conditions if c.kind == "clean"), None)
    rows = {str(spec): part.set_index("index") for spec, part in run.samples.groupby("condition", sort=False)}
    usual = {c.spec for c in coarse(run).record.conditions}
    by_shift: dict[str, dict[float, str]] = {}
    for condition in run.record.conditions:
        name = without_severity(condition)
        if name is not None and condition.severity is not None and condition.spec in rows:
            begins_clean = condition.from_clean and clean is not None and clean.spec in rows
            levels = by_shift.setdefault(name, {0.0: clean.spec} if clean and begins_clean else {})
            levels[condition.severity] = condition.spec
    grouped, found = run.record.data.n_groups is not None, []
    for name, levels in by_shift.items():
        ascending = dict(sorted(levels.items()))
        some = {severity: spec for severity, spec in ascending.items() if spec in usual}
        if max(some, default=0) > 0:
            shown = _levels(ascending if fine else some, rows, grouped=grouped)
            found.append(Sweep(name, shown, *_area(some, rows, grouped=grouped)))
    return found


def without_severity(condition: ConditionRecord) -> str | None:
    """What the severities of one shift have in common, or None for what is no shift with a severity."""
    if condition.kind != "shift" or condition.severity is None:
        return None
    try:
        return without(condition.spec, "severity")
    except InputError:
        return None


def coarse(run: Run) -> Run:
    """The run without the severities that only the search for a breaking point came to."""
    scans = {point.shift: point.scan for point in run.record.breaking_points}
    kept = [
        c
        for c in run.record.conditions
        if (name := without_severity(c)) not in scans or c.severity in scans[str(name)]
    ]
    if len(kept) == len(run.record.conditions):
        return run  # a copy of a million rows is not free
    rows = run.samples[run.samples["condition"].isin({c.spec for c in kept})]
    return run.replace(record=run.record.model_copy(update={"conditions": kept}), samples=rows)


def _levels(levels: dict[float, str], rows: dict[str, pd.DataFrame], *, grouped: bool) -> list[Level]:
    found: list[Level] = []
    before: pd.DataFrame | None = None
    for severity, spec in levels.items():
        here = rows[spec]
        groups = here["group"].to_numpy() if grouped else None
        low, high = proportion_interval(here["correct"].to_numpy(), groups)
        flips = None if before is None else _flips(before, here)
        found.append(Level(severity, spec, float(here["correct"].mean()), low, high, flips))
        before = here
    return found


def _flips(before: pd.DataFrame, here: pd.DataFrame) -> float | None:
    both = before["prediction"].to_frame("before").join(here["prediction"].rename("here"), how="inner")
    return float((both["before"] != both["here"]).mean()) if len(both) else None


def _area(levels: dict[float, str], rows: dict[str, pd.DataFrame], *, grouped: bool) -> tuple[float, float, float]:
    """The area, and its interval over the images: every image has an area of its own, and this is their mean."""
    correct = pd.concat([rows[spec]["correct"] for spec in levels.values()], axis=1, join="inner")
    steps = np.diff(list(levels))
    weights = np.concatenate(([0.0], steps)) + np.concatenate((steps, [0.0]))
    # One severity alone, without the clean images, has no range: its accuracy is the mean.
    weights = weights / weights.sum() if len(levels) > 1 else np.ones(1)
    areas = correct.to_numpy(float) @ weights
    groups = rows[levels[max(levels)]].loc[correct.index, "group"].to_numpy() if grouped else None
    low, high = proportion_interval(areas, groups)
    return float(areas.mean()), low, high
