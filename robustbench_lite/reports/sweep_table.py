"""What the comparison has no room for: the numbers of every shift, severity by severity, for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from robustbench_lite.reports.words import Result, number
from robustbench_lite.runs import Run
from robustbench_lite.sweeps import Sweep, sweeps

_CAPTION = (
    "drop: 95 % interval of the points lost; ECE: difference between confidence and accuracy, 0 to 1; Brier: "
    "error of the probabilities, 0 to 2; worst class: that of the lowest accuracy; flips: images whose prediction "
    "differs from that at the severity before"
)
_FEW = 3  # shifts that get a table each
_OVERVIEW = (
    "lowest: the lowest accuracy, and its severity; worst class, ECE (difference between confidence and accuracy) "
    "and Brier (error of the probabilities, 0 to 2) there. Severity by severity: rb report, or --json"
)
_MEAN = "mean: accuracy from the area under the curve, from the mildest to the strongest, with its 95 % interval; "
_FILLED = "; filled: pixels that the shift invented, median"


def sweep_tables(run: Run, results: list[Result]) -> list[Table]:
    """One table per shift that has a severity, in at most 80 characters if the classes have short names.

    Of more than three shifts there is one table, with a row for each.
    """
    by_condition = {r["condition"]: r for r in results}
    found = sweeps(run)
    if len(found) > _FEW or (len(found) > 1 and all(len(sweep.levels) <= 2 for sweep in found)):
        return [_overview(found, by_condition)]
    tables = [_table(sweep, by_condition) for sweep in found]
    if tables:
        filled = any(r["filled"] is not None for r in results)
        tables[-1].caption = Text(_CAPTION + (_FILLED if filled else ""))
        tables[-1].caption_justify = "left"
    return tables


def _table(sweep: Sweep, results: dict[str, Result]) -> Table:
    levels = [(level, results[level.condition]) for level in sweep.levels]
    title = sweep.shift
    if len(sweep.levels) > 2:  # of one severity and the clean images it would say little
        reach = f"severity {number(sweep.levels[0].severity)} to {number(sweep.levels[-1].severity)}"
        area = f"{_share(sweep.area)} (95 % interval {100 * sweep.area_low:.1f} – {100 * sweep.area_high:.1f})"
        title = f"{sweep.shift}: mean accuracy over {reach} {area}, from the area under the curve"
    table = Table(title=Text(title), title_justify="left")
    some_filled = any(r["filled"] is not None for _, r in levels)
    table.add_column("severity", justify="right", no_wrap=True)
    for name in ("drop, 95 %", "ECE", "Brier"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("worst class", overflow="fold")
    table.add_column("flips", justify="right", no_wrap=True)
    if some_filled:
        table.add_column("filled", justify="right", no_wrap=True)
    for level, r in levels:
        drop = "" if r["drop_low"] is None else f"{_points(r['drop_low'])} – {_points(r['drop_high'])}"
        worst = r["worst_class"]
        cells = [
            number(level.severity),
            drop,
            f"{r['ece']:.3f}",
            f"{r['brier']:.3f}",
            f"{worst['class_name']}: {_share(worst['accuracy'])}",
            _share(level.flips),
            *([_share(r["filled"])] if some_filled else []),
        ]
        table.add_row(*map(Text, cells))
    return table


def _overview(found: list[Sweep], results: dict[str, Result]) -> Table:
    curves = any(len(sweep.levels) > 2 for sweep in found)
    table = Table(caption=Text((_MEAN if curves else "") + _OVERVIEW), caption_justify="left")
    table.add_column("shift", overflow="fold", min_width=13)
    for name in (*(("mean", "95 %") if curves else ()), "lowest", "at"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("worst class", overflow="fold")
    for name in ("ECE", "Brier"):
        table.add_column(name, justify="right", no_wrap=True)
    for sweep in found:
        lowest = min(sweep.levels, key=lambda level: level.accuracy)
        r = results[lowest.condition]
        cells = [
            sweep.shift,
            *([_share(sweep.area), f"{100 * sweep.area_low:.1f} – {100 * sweep.area_high:.1f}"] if curves else []),
            _share(lowest.accuracy),
            number(lowest.severity),
            f"{r['worst_class']['class_name']}: {_share(r['worst_class']['accuracy'])}",
            f"{r['ece']:.2f}",
            f"{r['brier']:.2f}",
        ]
        table.add_row(*map(Text, cells))
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{round(100 * value, 1) + 0:.1f}".replace("-", "−")  # + 0: no minus before 0.0
