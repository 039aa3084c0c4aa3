"""How many images the rules of a gate need, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from robustbench_lite.gates.planning import Plan
from robustbench_lite.reports.safe import short, terminal


def plan_table(plans: Sequence[Plan]) -> Table:
    """A row for every comparison: the images it has, those that a PASS takes, and the truth that this assumes."""
    table = Table(
        title=Text(f"Images for a PASS with a probability of {100 * plans[0].power:.0f} %" if plans else ""),
        title_justify="left",
    )
    for name in ("rule", "condition", "n", "needed", "if the truth is"):
        table.add_column(name, justify="right" if name in ("n", "needed") else "left", overflow="fold")
    for plan in plans:
        of = f", {plan.class_name}" if plan.class_name else ""
        needed = "no number" if plan.needed is None else str(plan.needed)
        texts = (plan.rule, f"{plan.condition}{of}", str(plan.n), needed, plan.assumed)
        table.add_row(*(Text(terminal(short(text, 200))) for text in texts))
    return table
