"""Breaking points in words, and as a table for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from robustbench_lite.records import BreakingPoint
from robustbench_lite.reports.words import number, physical
from robustbench_lite.runs import Run
from robustbench_lite.sweeps import without_severity


def place(point: BreakingPoint) -> str:
    """The severity, or that beyond which none was evaluated."""
    return f"above {number(point.severities[-1])}" if point.severity is None else severity(point.severity)


def ends(point: BreakingPoint) -> str:
    """The interval."""
    return f"{severity(point.ci_low)} – " + (
        f"above {number(point.severities[-1])}" if point.ci_high is None else severity(point.ci_high)
    )


def severity(value: float) -> str:
    """A severity with two digits, which is what a search is worth."""
    return f"{value:.2f}"


def values_at(run: Run, point: BreakingPoint) -> list[str]:
    """What the severity of a breaking point sets, such as ``exposure_ev -0.91``."""
    same = (c for c in run.record.conditions if without_severity(c) == point.shift)
    return next((physical(c) for c in same if c.severity == point.severity), [])


def sentence(point: BreakingPoint) -> str:
    """All of it in words."""
    share = f"{100 * point.share:g}\N{NO-BREAK SPACE}%"
    where = (
        f"does not fall below {share} of the clean one until severity {number(point.severities[-1])}"
        if point.severity is None
        else f"falls below {share} of the clean one at severity {severity(point.severity)}"
    )
    others = [note for note in point.notes if not note.startswith("does not fall")]
    more = "".join(f" ({note})" for note in others)
    return f"{point.shift}: the accuracy {where}, 95\N{NO-BREAK SPACE}% interval {ends(point)}{more}."


def breaking_tables(run: Run) -> list[Table]:
    """One table, or none without a search for breaking points."""
    points = run.record.breaking_points
    if not points:
        return []
    table = Table(
        title=Text(f"Severity at which the accuracy falls below {100 * points[0].share:g} % of the clean one"),
        caption=Text(
            f"found to {points[0].tolerance:g}; interval: severities at which it does not differ significantly; "
            "the tables leave out the severities of the search, --json has them"
        ),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("shift", overflow="fold")
    table.add_column("severity", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("evaluated", justify="right", no_wrap=True)
    table.add_column("there", overflow="fold")
    table.add_column("note", overflow="fold")
    for point in points:
        notes, there = "; ".join(point.notes), ", ".join(values_at(run, point))
        cells = (point.shift, place(point), ends(point), str(len(point.severities)), there, notes)
        table.add_row(*map(Text, cells))
    return [table]
