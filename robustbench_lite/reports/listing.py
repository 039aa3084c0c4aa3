"""Lists for the terminal: what is registered, and what a run would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from robustbench_lite.registry import Description


def print_listing(console: Console, found: Mapping[str, Sequence[Description]]) -> None:
    """Every kind with its names, one line each, and their parameters."""
    from rich.padding import Padding
    from rich.text import Text

    for kind, listed in found.items():
        console.print(Text(kind, style="bold"))
        for entry in listed:
            console.print(Padding(Text.assemble((f"{entry.name:15}", "cyan"), entry.summary), (0, 0, 0, 2)))
            if entry.parameters:
                parameters = ", ".join(
                    name if default == "required" else f"{name}={default}"
                    for name, default in entry.parameters.items()
                )
                console.print(Padding(Text(parameters, style="dim"), (0, 0, 0, 17)))
        console.print()


def plan_table(plan: Mapping[str, Any]) -> Table:
    """What every condition may cost at the most."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{plan['model']} on {plan['data']}, {plan['n']} images", title_justify="left")
    table.add_column("condition", overflow="fold")
    table.add_column("forwards at most", justify="right")
    table.add_column("gradients at most", justify="right")
    for row in plan["conditions"]:
        table.add_row(
            Text(row["condition"]),
            str(row["forwards_per_sample"] * plan["n"]),
            str(row["gradients_per_sample"] * plan["n"]),
        )
    return table
