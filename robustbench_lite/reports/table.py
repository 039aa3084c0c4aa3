"""The comparison table for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.table import Table
from rich.text import Text

from robustbench_lite.metrics import summarise
from robustbench_lite.runs import Run

Result = dict[str, Any]  # an entry of metrics.summarise
_Column = tuple[str, Callable[[Result], str]]

_NEEDED = 4  # columns that are shown in the narrowest terminal
_AS_8BIT = "as 8-bit"
_CONDITION_WIDTH = 24  # columns are left out before the conditions get less


def comparison_table(run: Run, width: int = 140) -> Table:
    """Clean against every condition, in at most ``width`` characters.

    Columns that no condition of the run fills are left out, and the last ones where there is no room.
    """
    results = summarise(run)
    data = run.record.data
    filled = [column for column in _COLUMNS if any(column[1](r) for r in results)]
    if run.record.as_8bit:  # then everything is of 8 bits
        filled = [column for column in filled if column[0] != _AS_8BIT]
    columns = fitting(filled, results, width)
    unfinished = "" if run.record.status == "done" else f" ({run.record.status}: not all was done)"
    table = Table(
        title=Text(f"{run.record.model.spec} on {data.spec}, {data.split} split{unfinished}"),
        caption=Text(_caption(run, results, [name for name, _ in columns], complete=columns == filled)),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("condition", overflow="fold")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        # Text, not str: a file name or spec in brackets is no markup.
        table.add_row(Text(result["condition"]), *(Text(value(result)) for _, value in columns))
    return table


def fitting(columns: list[_Column], results: list[Result], width: int) -> list[_Column]:
    """The first columns, as many as there is room for beside the conditions, and never fewer than four."""
    room = width - 4 - min(_CONDITION_WIDTH, max((len(r["condition"]) for r in results), default=0))
    fitting: list[_Column] = []
    for name, value in columns:
        room -= 3 + max(len(name), *(len(value(r)) for r in results))
        if room < 0 and len(fitting) >= _NEEDED:
            break
        fitting.append((name, value))
    return fitting


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _accuracy(result: Result) -> str:
    # Below some thousand images a second digit would only look precise.
    return f"{100 * result['accuracy']:.{2 if result['n'] >= 5000 else 1}f} %"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _drop(result: Result) -> str:
    none = result["kind"] == "clean" or result["drop"] is None
    return "" if none else f"{100 * result['drop']:+.1f}"


def _queries(result: Result) -> str:
    """Of an attack that took no gradient."""
    scores_only = result["success_rate"] is not None and not result["gradients_per_sample"]
    return f"{result['forwards_per_sample']:.0f}" if scores_only else ""


_COLUMNS: list[_Column] = [
    ("n", lambda r: str(r["n"])),
    ("accuracy", _accuracy),
    ("doubts", lambda r: str(sum(check["status"] == "triggered" for check in r["checks"]) or "")),
    ("95 % interval", lambda r: f"{100 * r['ci_low']:.1f} – {100 * r['ci_high']:.1f}"),
    ("drop", _drop),
    ("queries", _queries),
    ("sure when wrong", lambda r: _percent(r["confidence_when_wrong"])),
    ("median l2", lambda r: _number(r["median_l2"])),
    ("median linf", lambda r: _number(r["median_linf"])),
    ("median l1", lambda r: _number(r["median_l1"])),
    ("median l0", lambda r: _number(r["median_l0"])),
    (_AS_8BIT, lambda r: f"{r['fooled_8bit']} of {r['fooled']}" if r["fooled"] else ""),
    ("gradients", lambda r: _number(r["gradients_per_sample"]) if r["gradients_per_sample"] else ""),
]


def _caption(run: Run, results: list[Result], columns: list[str], *, complete: bool) -> str:
    parts = ["drop: points lost against clean, on the same images"]
    if len({r["n"] for r in results}) > 1:
        parts[0] += " (the n of its row)"
    if (groups := run.record.data.n_groups) is not None:
        parts.append(f"intervals for {groups} groups" if groups > 1 else "one group only: it allows no interval")
    if "doubts" in columns:
        parts.append("doubts: trust checks that triggered, told below")
    if any(r["gradients_per_sample"] for r in results):
        parts.append("gradients: per image")
    if "queries" in columns:
        parts.append("queries: forward passes per image")
    if _AS_8BIT in columns:
        parts.append("as 8-bit: images of those that fooled the network that still do, saved with 8 bits")
    if run.record.as_8bit:
        parts.append("adversarial images were rounded to 8 bits")
    attacked = {c.spec for c in run.record.conditions if c.threat_model}
    if any(r["condition"] in attacked for r in results):
        parts.append("accuracy under attack is an upper bound: a stronger attack may find more")
    if not complete:
        parts.append("more columns in a wider terminal, or with --json")
    return "; ".join(parts)
