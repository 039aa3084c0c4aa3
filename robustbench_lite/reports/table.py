"""The comparison table for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.table import Table
from rich.text import Text

from robustbench_lite.metrics import summarise
from robustbench_lite.runs import Run


def comparison_table(run: Run) -> Table:
    """Clean against every condition. Columns that no condition of the run fills are left out."""
    results = summarise(run)
    data = run.record.data
    table = Table(
        title=Text(f"{run.record.model.spec} on {data.spec}, {data.split} split"),
        caption=_caption(results),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("condition", overflow="fold")
    columns = [column for column in _COLUMNS if any(column[1](r) for r in results)]
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        # Text, not str: a file name or spec in brackets is no markup.
        table.add_row(Text(result["condition"]), *(Text(value(result)) for _, value in columns))
    return table


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _drop(result: dict[str, Any]) -> str:
    none = result["kind"] == "clean" or result["drop"] is None
    return "" if none else f"{100 * result['drop']:+.1f}"


_COLUMNS: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("n", lambda r: str(r["n"])),
    ("accuracy", lambda r: _percent(r["accuracy"])),
    ("95 % interval", lambda r: f"{100 * r['ci_low']:.1f} – {100 * r['ci_high']:.1f}"),
    ("drop", _drop),
    ("sure when wrong", lambda r: _percent(r["confidence_when_wrong"])),
    ("median l2", lambda r: _number(r["median_l2"])),
    ("median linf", lambda r: _number(r["median_linf"])),
    ("gradients", lambda r: _number(r["gradients_per_sample"]) if r["gradients_per_sample"] else ""),
]


def _caption(results: list[dict[str, Any]]) -> str:
    parts = ["drop: points lost against clean, on the same images"]
    if any(r["gradients_per_sample"] for r in results):
        parts.append("gradients: per image")
    if any(r["kind"] in ("attack", "chain") for r in results):
        parts.append("accuracy under attack is an upper bound: a stronger attack may find more")
    return "; ".join(parts)
