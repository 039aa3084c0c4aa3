"""Accuracy against severity: which conditions belong to one curve, and where its points are drawn."""

from __future__ import annotations

from typing import NamedTuple

from robustbench_lite.errors import InputError
from robustbench_lite.reports.words import Result, number, percent
from robustbench_lite.specs import Call, format_call, parse

WIDTH, HEIGHT = 300, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 288, 14, 150  # the box of the curve within the drawing


class Point(NamedTuple):
    """A point of a curve in the drawing, with its interval and what it says in words."""

    x: float
    y: float
    low: float
    high: float
    words: str


class Curve(NamedTuple):
    """One condition over its severities or budgets, 0 being the clean images."""

    name: str
    points: list[Point]
    ticks: list[tuple[float, str]]  # x and label
    summary: str
    axis: str = "severity"

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


def curves(results: list[Result]) -> list[Curve]:
    """A curve for every shift of which at least two severities above 0 were evaluated."""
    clean = next((r for r in results if r["kind"] == "clean"), None)
    by_name: dict[str, dict[float, Result]] = {}
    for result in results:
        name = _without_severity(result)
        if name is not None:
            by_name.setdefault(name, {})[float(result["severity"])] = result
    found = []
    for name, levels in by_name.items():
        if sum(severity > 0 for severity in levels) >= 2:
            at_zero = {} if clean is None else {0.0: clean}
            found.append(_curve(name, dict(sorted({**at_zero, **levels}.items()))))
    return found


def _without_severity(result: Result) -> str | None:
    """What the severities of one shift have in common, or None for what is no shift."""
    if result["kind"] != "shift" or result["severity"] is None:
        return None
    try:
        calls = parse(result["condition"])
    except InputError:
        return None
    return " + ".join(
        format_call(Call(c.name, {k: v for k, v in c.arguments.items() if k != "severity"})) for c in calls
    )


def _curve(name: str, levels: dict[float, Result]) -> Curve:
    end = max(5.0, *levels)

    def x(severity: float) -> float:
        return LEFT + (RIGHT - LEFT) * severity / end

    points = [
        Point(x(s), y(r["accuracy"]), y(r["ci_low"]), y(r["ci_high"]), _words(s, r)) for s, r in levels.items()
    ]
    ticks = [(x(s), f"{s}") for s in range(int(end) + 1)]
    return Curve(name, points, ticks, "Accuracy: " + "; ".join(p.words for p in points) + ".")


def y(share: float) -> float:
    """Height of an accuracy in the drawing, in which 0 is at the top."""
    return BOTTOM - (BOTTOM - TOP) * share


def _words(severity: float, result: Result) -> str:
    where = "as they are" if severity == 0 else f"severity {number(severity)}"
    return f"{where} {percent(result['accuracy'])} ({percent(result['ci_low'])} to {percent(result['ci_high'])})"
