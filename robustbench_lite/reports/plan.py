"""What a run would do and how long it may take, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def plan_table(plan: Mapping[str, Any]) -> Table:
    """What every condition, and all of them, may cost at the most, and how long they may take."""
    from rich.table import Table
    from rich.text import Text

    rows, n = plan["conditions"], plan["n"]
    table = Table(title=f"{plan['model']} on {plan['data']}, {n} images", title_justify="left", show_footer=True)
    searched = any("severities" in row for row in rows)
    table.add_column("condition", overflow="fold", footer="in total")
    if searched:
        table.add_column("severities at most", justify="right")
    for kind in ("forwards", "gradients"):
        total = sum(row[f"{kind}_per_sample"] for row in rows) * n
        table.add_column(f"{kind} at most", justify="right", footer=str(total))
    attacked = any(row["attacks"] for row in rows)
    table.add_column("time", justify="right", footer=_time(plan["expected_seconds"]))
    if attacked:
        table.add_column("time at most", justify="right", footer=_time(plan["seconds"]))
    for row in rows:
        table.add_row(
            Text(row["condition"]),
            *([str(row.get("severities", ""))] if searched else []),
            str(row["forwards_per_sample"] * n),
            str(row["gradients_per_sample"] * n),
            _time(row["expected_seconds"]),
            *([_time(row["seconds"])] if attacked else []),
        )
    return table


def time_told(rows: Sequence[Mapping[str, Any]], timed: int) -> str:
    """The time in a sentence: of what takes as long as it takes, and of attacks, which may stop long before.

    Args:
        rows: of the plan.
        timed: images that were timed; 0 if the network is a function, which is not called.
    """
    if not timed:
        return "time: no estimate, for the network is a function, and a call of it may cost something"
    told = f"about {duration(sum(row['seconds'] or 0 for row in rows if not row['attacks']))}"
    attacks = [row for row in rows if row["attacks"]]
    if attacks:
        most = duration(sum(row["seconds"] or 0 for row in attacks))
        likely = [row["expected_seconds"] for row in attacks]
        if None in likely:
            told += f", and at most {most} for attacks, less the more images are fooled,"
        else:
            told += f", and about {duration(sum(likely))} for attacks (at most {most}),"
    if any(row["seconds"] is None for row in rows):
        told += ", and the search for the worst case"
    return f"time: {told} on this machine (measured on {timed} images)"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``2.5 h``: as exact as an estimate is."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            count = seconds / length
            return f"{count:.0f} {unit}" if count >= 10 or unit == "min" else f"{count:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1g} s"  # of 9.6 the latter makes 1e+01
