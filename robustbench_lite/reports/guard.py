"""What a detector does for the classifier beside it: a table for the terminal, curves for the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from robustbench_lite.reports import alarms
from robustbench_lite.reports.severity import BOTTOM, LEFT, RIGHT, TOP
from robustbench_lite.reports.table import fitting
from robustbench_lite.reports.view import Values, View
from robustbench_lite.reports.words import Result, number, percent
from robustbench_lite.runs import Run

MOST_CURVES = 12  # of a page
_TOPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of a drawing's axis of risks

NOTE = (
    "Passes: share of the images that the detector lets through. Accuracy: of those. Caught: share of the wrong "
    "predictions that it flags. False alarms: share of the right ones that it flags. Slips: share of all images "
    "that are wrong and let through. AURC: mean risk over all coverages, images left out by outlier score; beside "
    "it, by the network's own confidence"
)


def about(run: Run) -> list[str]:
    """Which detector it is, and what it promises; empty without one."""
    found = run.record.detector
    if found is None:
        return []
    members = ", ".join(f"{weight:g} × {spec}" for spec, weight in found.members.items() if weight)
    ends = f"{percent(found.false_alarms_promised_low)} to {percent(found.false_alarms_promised_high)}"
    return [
        f"Detector {found.folder or 'from Python'}: {members}; threshold {number(found.threshold)} nats.",
        f"It promises {percent(found.false_alarms_promised)} false alarms on images as those that it was "
        f"calibrated with; "
        f"thresholds from {found.n_calibrated} images realise {ends} (95\N{NO-BREAK SPACE}% of them).",
    ]


def guard_tables(run: Run, results: list[Result], width: int = 140) -> list[Table]:
    """What the detector lets through and flags, condition by condition, in at most ``width`` characters."""
    shown = [r for r in results if r["detector"]]
    if not shown or run.record.detector is None:
        return []
    columns = fitting(_COLUMNS, shown, width)
    more = "" if len(columns) == len(_COLUMNS) else "; more columns in a wider terminal"
    table = Table(
        title=Text(" ".join(about(run))),
        caption=Text(NOTE + more),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("condition", overflow="fold")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for result in shown:
        table.add_row(Text(result["condition"]), *(Text(value(result)) for _, value in columns))
    return [table]


def _share(name: str) -> Callable[[Result], str]:
    return lambda result: percent(result["detector"][name])


def _ends(result: Result) -> str:
    found = result["detector"]
    if found["accuracy_passed"] is None:
        return "–"
    return f"{100 * found['accuracy_passed_low']:.1f} – {100 * found['accuracy_passed_high']:.1f}"


_COLUMNS: list[tuple[str, Callable[[Result], str]]] = [
    ("passes", _share("passed")),
    ("accuracy", _share("accuracy_passed")),
    ("95 % interval", _ends),
    ("caught", _share("caught")),
    ("slips", _share("slipped")),
    ("false alarms", _share("false_alarm_rate")),
    ("AURC", lambda r: f"{r['detector']['aurc']:.3f}"),
    ("by confidence", lambda r: f"{r['detector']['aurc_confidence']:.3f}"),
]


class Section(NamedTuple):
    """What the page says of the detector."""

    about: list[str]
    note: str
    curves: list[RiskCurve]
    left_out: int


class RiskCurve(NamedTuple):
    """Risk against coverage under one condition: where things are in the drawing, and what it says."""

    name: str
    by_score: str  # corners, as SVG writes them
    by_confidence: str
    threshold: float  # x of the share that passes
    xs: list[tuple[float, str]]  # places and labels of the axes
    ys: list[tuple[float, str]]
    summary: str


def values(view: View) -> Values:
    """Section 7 of the page."""
    return {
        "guard": section(view.run, view.results),
        "promise": alarms.promise(view),
        "histograms": alarms.histograms(view),
    }


def section(run: Run, results: list[Result]) -> Section | None:
    """All of it, with a drawing for every condition as far as they go on a page; None without a detector."""
    judged = [r for r in results if r["detector"]]
    if not judged:
        return None
    curves = [_drawn(r) for r in judged[:MOST_CURVES]]
    return Section(about(run), NOTE, curves, len(judged) - len(curves))


def _drawn(result: Result) -> RiskCurve:
    found = result["detector"]
    points = found["curve"]
    most = max(max(p["risk"], p["risk_confidence"]) for p in points)
    top = next(t for t in _TOPS if t >= most - 1e-9)

    def x(coverage: float) -> float:
        return LEFT + (RIGHT - LEFT) * coverage

    def y(risk: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * risk / top

    def line(risk: str) -> str:
        return " ".join(f"{x(p['coverage']):.1f},{y(p[risk]):.1f}" for p in points)

    half = points[(len(points) - 1) // 2]
    summary = (
        f"Risk at {percent(half['coverage'], 0)} coverage: {percent(half['risk'])} by outlier score, "
        f"{percent(half['risk_confidence'])} by confidence; at full coverage {percent(points[-1]['risk'])}. "
        f"AURC {found['aurc']:.3f} by outlier score, {found['aurc_confidence']:.3f} by confidence, "
        f"{found['aurc_best']:.3f} at best."
    )
    return RiskCurve(
        result["condition"],
        line("risk"),
        line("risk_confidence"),
        x(found["passed"]),
        [(x(k / 4), f"{25 * k}") for k in range(5)],
        [(y(top * k / 4), f"{100 * top * k / 4:.3g} %") for k in range(5)],
        summary,
    )
