"""Accuracy against severity: where the points of a shift's curve are drawn, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_lite.records import BreakingPoint
from robustbench_lite.reports import breaking
from robustbench_lite.reports.view import Values, View
from robustbench_lite.reports.words import number, percent
from robustbench_lite.sweeps import Level, Sweep, sweeps

WIDTH, HEIGHT = 300, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 288, 14, 150  # the box of the curve within the drawing


class Point(NamedTuple):
    """A point of a curve in the drawing, with its interval and what it says in words."""

    x: float
    y: float
    low: float
    high: float
    words: str


class Mark(NamedTuple):
    """A breaking point in the drawing: the height that is sought, the interval, and the place if there is one."""

    y: float
    low: float
    high: float
    x: float | None


class Curve(NamedTuple):
    """One condition over its severities or budgets, 0 being the clean images."""

    name: str
    points: list[Point]
    ticks: list[tuple[float, str]]  # x and label
    summary: str
    axis: str = "severity"
    note: str = ""  # a line below the drawing
    mark: Mark | None = None
    other: str = ""  # corners of the baseline's curve

    @property
    def line(self) -> str:
        """Corners of the curve, as SVG writes them."""
        return " ".join(f"{p.x:.1f},{p.y:.1f}" for p in self.points)

    @property
    def band(self) -> str:
        """Corners of the area between the ends of the intervals."""
        upper = [f"{p.x:.1f},{p.high:.1f}" for p in self.points]
        lower = [f"{p.x:.1f},{p.low:.1f}" for p in reversed(self.points)]
        return " ".join([*upper, *lower])


def values(view: View) -> Values:
    """Section 4 of the page: a drawing for every shift."""
    others = [] if view.baseline is None else sweeps(view.baseline, fine=True)
    return {"curves": curves(sweeps(view.run, fine=True), view.record.breaking_points, others)}


def curves(found: list[Sweep], points: Sequence[BreakingPoint] = (), others: Sequence[Sweep] = ()) -> list[Curve]:
    """A curve for every shift of which at least two severities above 0 were evaluated, with its breaking point.

    Args:
        found: the shifts of the run.
        points: its breaking points.
        others: the shifts of the baseline, of which the same are drawn beside.
    """
    breaks = {point.shift: point for point in points}
    beside = {sweep.shift: sweep for sweep in others}
    return [
        _curve(sweep, breaks.get(sweep.shift), beside.get(sweep.shift))
        for sweep in found
        if sum(level.severity > 0 for level in sweep.levels) >= 2
    ]


def _curve(sweep: Sweep, point: BreakingPoint | None, other: Sweep | None) -> Curve:
    end = max(5.0, sweep.levels[-1].severity)
    shown = [] if other is None else [level for level in other.levels if level.severity <= end]

    def x(severity: float) -> float:
        return LEFT + (RIGHT - LEFT) * severity / end

    points = [
        Point(x(level.severity), y(level.accuracy), y(level.ci_low), y(level.ci_high), _words(level))
        for level in sweep.levels
    ]
    ticks = [(x(s), f"{s}") for s in range(int(end) + 1)]
    ends = f"{percent(sweep.area_low)} to {percent(sweep.area_high)}"
    area = f"Mean accuracy over the range {percent(sweep.area)} ({ends})."
    words = "Accuracy: " + "; ".join(p.words for p in points) + ". " + area
    dashed = " ".join(f"{x(level.severity):.1f},{y(level.accuracy):.1f}" for level in shown)
    if dashed:
        words += " Baseline: " + "; ".join(map(_words, shown)) + "."
    if point is None:
        return Curve(sweep.shift, points, ticks, words, note=area, other=dashed)
    high = end if point.ci_high is None else point.ci_high
    at = None if point.severity is None else x(point.severity)
    mark = Mark(y(point.share * sweep.levels[0].accuracy), x(point.ci_low), x(high), at)
    told = breaking.sentence(point)
    return Curve(sweep.shift, points, ticks, f"{words} {told}", note=f"{told} {area}", mark=mark, other=dashed)


def y(share: float) -> float:
    """Height of an accuracy in the drawing, in which 0 is at the top."""
    return BOTTOM - (BOTTOM - TOP) * share


def _words(level: Level) -> str:
    where = "as they are" if level.severity == 0 else f"severity {number(level.severity)}"
    return f"{where} {percent(level.accuracy)} ({percent(level.ci_low)} to {percent(level.ci_high)})"
