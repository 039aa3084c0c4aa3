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
_FILLED = "; filled: pixels that the shift invented, median"


def sweep_tables(run: Run, results: list[Result]) -> list[Table]:
    """One table per shift that has a severity, in at most 80 characters if the classes have short names."""
    by_condition = {r["condition"]: r for r in results}
    tables = [_table(sweep, by_condition) for sweep in sweeps(run)]
    if tables:
        filled = any(r["filled"] is not None for r in results)
        tables[-1].caption = Text(_CAPTION + (_FILLED if filled else ""))
        tables[-1].caption_justify = "left"
    return tables


def _table(sweep: Sweep, results: dict[str, Result]) -> Table:
    levels = [(level, results[level.condition]) for level in sweep.levels]
    reach = f"severity {number(sweep.levels[0].severity)} to {number(sweep.levels[-1].severity)}"
    area = f"{_share(sweep.area)} (95 % interval {100 * sweep.area_low:.1f} – {100 * sweep.area_high:.1f})"
    table = Table(title=Text(f"{sweep.shift}: mean accuracy over {reach} {area}"), title_justify="left")
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
            f"{worst['class']}: {_share(worst['accuracy'])}",
            _share(level.flips),
            *([_share(r["filled"])] if some_filled else []),
        ]
        table.add_row(*map(Text, cells))
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{round(100 * value, 1) + 0:.1f}".replace("-", "−")  # + 0: no minus before 0.0
