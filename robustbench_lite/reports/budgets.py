"""Accuracy against eps, and which attack of a portfolio did it: tables for the terminal, a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from robustbench_lite.metrics import robust_accuracy
from robustbench_lite.records import ConditionRecord
from robustbench_lite.reports.severity import LEFT, RIGHT, Curve, Point, y
from robustbench_lite.reports.words import Result, number, percent
from robustbench_lite.runs import Run
from robustbench_lite.specs import format_value

SHOWN = 5  # budgets in a table for the terminal


class Kills(NamedTuple):
    """One attack of a portfolio: on how many of the attacked images it fooled the network, and their share."""

    condition: str
    member: str
    fooled: int
    share: float


def kills(run: Run, results: list[Result]) -> list[Kills]:
    """What every attack of every portfolio did, the most successful first."""
    attacked = run.samples.groupby("condition", sort=False)["attacked"].sum()
    return [
        Kills(r["condition"], member, round(share * int(attacked[r["condition"]])), share)
        for r in results
        for member, share in r["kills"].items()
    ]


def detail_tables(run: Run, results: list[Result]) -> list[Table]:
    """What the comparison has no room for: robust accuracy at a few budgets, and the shares of a portfolio."""
    by_norm: dict[str, list[ConditionRecord]] = {}
    for condition in run.record.conditions:
        if condition.curve:
            by_norm.setdefault(condition.threat_model[0].norm, []).append(condition)
    tables = [_curve_table(run, norm, found) for norm, found in by_norm.items()]
    shares = kills(run, results)
    return [*tables, _kill_table(shares)] if shares else tables


def _curve_table(run: Run, norm: str, conditions: list[ConditionRecord]) -> Table:
    budgets = _some_budgets(conditions, run.record.data.eps.get(norm))
    table = _table(f"Accuracy against eps ({norm})", "condition")
    for eps in budgets:
        table.add_column(_short(eps), justify="right", no_wrap=True)
    for condition in conditions:
        rows = run.samples[run.samples["condition"] == condition.spec]
        points = robust_accuracy(rows, norm, budgets, grouped=run.record.data.n_groups is not None)
        table.add_row(Text(condition.spec), *(f"{100 * p.accuracy:.1f} %" for p in points))
    return table


def _some_budgets(conditions: list[ConditionRecord], usual: float | None) -> list[float]:
    """The usual budget, and others that are spread over what was found."""
    known = sorted({p.eps for c in conditions for p in c.curve if p.eps > 0})
    wanted = SHOWN - (usual is not None)
    places = np.linspace(0, len(known) - 1, wanted + 2).round().astype(int)[1:-1]
    chosen = {float(f"{known[i]:.2g}") for i in places} if known else set()
    return sorted(chosen | ({usual} if usual is not None else set()))


def _kill_table(shares: list[Kills]) -> Table:
    table = _table("Which attack fooled the network", "condition")
    table.add_column("attack", overflow="fold")
    table.add_column("fooled", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for k in shares:
        table.add_row(Text(k.condition), Text(k.member), str(k.fooled), f"{100 * k.share:.1f} %")
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=Text(title), title_justify="left")
    table.add_column(first, overflow="fold")
    return table


def curves(results: list[Result]) -> list[Curve]:
    """The drawing of every condition that has a curve; results with their ``norm``."""
    return [_drawn(r) for r in results if r["curve"]]


def _drawn(result: Result) -> Curve:
    found = result["curve"]
    end = reach([(p["eps"], p["accuracy"]) for p in found])

    def x(eps: float) -> float:
        return LEFT + (RIGHT - LEFT) * eps / end

    points = [
        Point(x(p["eps"]), y(p["accuracy"]), y(p["ci_low"]), y(p["ci_high"]), _words(p))
        for p in found
        if p["eps"] <= end
    ]
    ticks = [(x(value), number(value)) for value in round_values(end)]
    told = "Accuracy: " + "; ".join(map(_words, found)) + "."
    return Curve(result["condition"], points, ticks, told, f"eps ({result['norm']})")


def reach(points: Sequence[tuple[float, float]]) -> float:
    """Where the drawing of (eps, accuracy) ends: at a twentieth of the first accuracy, or with the last point.

    One image of many that takes a far larger change would press all others together at the left.
    """
    first = points[0][1]
    return next((eps for eps, share in points if eps > 0 and share <= first / 20), points[-1][0]) or 1.0


def round_values(end: float) -> list[float]:
    """Round numbers from 0 to the end of an axis."""
    step = round_step(end)
    return [k * step for k in range(int(end / step + 1e-9) + 1)]


def round_step(end: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are at most five steps."""
    power = 10.0 ** np.floor(np.log10(end / 5))
    return float(next(power * k for k in (1, 2, 5, 10) if power * k * 5 >= end * (1 - 1e-9)))


def _words(point: dict[str, float]) -> str:
    where = "as they are" if point["eps"] == 0 else f"eps {_short(point['eps'])}"
    return f"{where} {percent(point['accuracy'])} ({percent(point['ci_low'])} to {percent(point['ci_high'])})"


def _short(eps: float) -> str:
    exact = format_value(float(eps))
    return exact if "/" in exact else number(eps)
