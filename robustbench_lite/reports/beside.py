"""Several runs side by side: a table with columns of their own, and their curves in one drawing."""

from __future__ import annotations

from typing import NamedTuple

from robustbench_lite.reports.budgets import reach, round_values
from robustbench_lite.reports.severity import LEFT, RIGHT, y
from robustbench_lite.reports.view import Values, View
from robustbench_lite.reports.words import number
from robustbench_lite.sweeps import sweeps

STYLES = 6  # of lines: colour, dashes and marks together


class Legend(NamedTuple):
    """What a line stands for."""

    mark: str
    name: str
    style: int


class Line(NamedTuple):
    """The curve of one run in the drawing."""

    style: int
    corners: str
    points: list[tuple[float, float]]


class Overlay(NamedTuple):
    """One shift or attack, the curves of all runs that have it."""

    name: str
    axis: str
    ticks: list[tuple[float, str]]
    lines: list[Line]
    summary: str
    cut: bool = False  # points of larger budgets are told, and not drawn


def values(views: list[View]) -> Values:
    """The table by condition, the drawings, and what the runs do not share."""
    specs = list(dict.fromkeys(str(r["condition"]) for view in views for r in view.results))
    by_run = [{str(r["condition"]): r for r in view.results} for view in views]
    return {
        "views": views,
        "against": _against(views),
        "legend": [Legend(v.mark, v.record.model.spec, i % STYLES) for i, v in enumerate(views)],
        "table": [(spec, [found.get(spec) for found in by_run]) for spec in specs],
        "overlays": [*_severities(views), *_budgets(views)],
        "unlike": _unlike(views),
    }


def _against(views: list[View]) -> str:
    """What the differences are differences to; empty without any."""
    other = next((view.baseline for view in views if view.changes), None)
    if other is None:
        return ""
    return next((view.mark for view in views if view.run is other), "the baseline")


def _unlike(views: list[View]) -> list[str]:
    """What makes runs hard to compare, beside their networks."""
    first, found = views[0].record, []
    for view in views[1:]:
        record = view.record
        if record.data.manifest_sha256 != first.data.manifest_sha256:
            found.append(f"{view.mark} was measured on other images than A: their numbers are not paired.")
        elif record.data.class_names != first.data.class_names:
            found.append(f"{view.mark} has other classes than A: their numbers are not paired.")
        if record.seed != first.seed:
            found.append(f"{view.mark} has another seed than A ({record.seed} and {first.seed}).")
        if record.as_8bit != first.as_8bit:
            found.append(f"Of {view.mark} and A only one rounded its adversarial images to 8 bits.")
    return found


def _severities(views: list[View]) -> list[Overlay]:
    by_shift: dict[str, list[tuple[int, list[tuple[float, float]]]]] = {}
    for i, view in enumerate(views):
        for sweep in sweeps(view.run, fine=True):
            if sum(level.severity > 0 for level in sweep.levels) >= 2:
                points = [(level.severity, level.accuracy) for level in sweep.levels]
                by_shift.setdefault(sweep.shift, []).append((i, points))
    shared = {name: curves for name, curves in by_shift.items() if len(curves) > 1}
    return [_overlay(name, "severity", curves, views, least=5.0) for name, curves in shared.items()]


def _budgets(views: list[View]) -> list[Overlay]:
    by_attack: dict[tuple[str, str], list[tuple[int, list[tuple[float, float]]]]] = {}
    for i, view in enumerate(views):
        for result in view.results:
            if result["curve"]:
                points = [(p["eps"], p["accuracy"]) for p in result["curve"]]
                by_attack.setdefault((result["condition"], f"eps ({result['norm']})"), []).append((i, points))
    shared = {name: curves for name, curves in by_attack.items() if len(curves) > 1}
    return [_overlay(name, axis, curves, views, least=0.0) for (name, axis), curves in shared.items()]


def _overlay(
    name: str, axis: str, curves: list[tuple[int, list[tuple[float, float]]]], views: list[View], least: float
) -> Overlay:
    ends = [reach(points) if least == 0 else points[-1][0] for _, points in curves]
    end = max([least, *ends])
    ticks = [(LEFT + (RIGHT - LEFT) * value / end, number(value)) for value in round_values(end)]
    lines, told = [], []
    for i, points in curves:
        places = [(LEFT + (RIGHT - LEFT) * at / end, y(share)) for at, share in points if at <= end]
        lines.append(Line(i % STYLES, " ".join(f"{a:.1f},{b:.1f}" for a, b in places), places))
        told.append(f"{views[i].mark}: " + ", ".join(f"{number(at)} {100 * share:.1f} %" for at, share in points))
    return Overlay(
        name,
        axis,
        ticks,
        lines,
        f"Accuracy at {axis}. {'; '.join(told)}.",
        any(points[-1][0] > end for _, points in curves),
    )
