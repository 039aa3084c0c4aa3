"""Lists for the terminal: what is registered, and what a run would do."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from robustbench_lite import descriptions
from robustbench_lite.descriptions import Description

if TYPE_CHECKING:
    from rich.table import Table

KINDS = {"attacks": "attack", "shifts": "shift", "models": "model", "data": "data", "generators": "generator"}
_INDENT = " " * 18


def describe(what: str = "") -> dict[str, list[Description]]:
    """What is registered, under the plural of its kind; nothing named: all kinds."""
    return {name: descriptions.describe(kind) for name, kind in KINDS.items() if what in ("", name)}


def print_listing(what: str = "") -> None:
    """Every kind with its names, one line each, and their parameters, as plain text on stdout."""
    sys.stdout.write(listing(describe(what), shutil.get_terminal_size((120, 24)).columns))


def listing(found: Mapping[str, Sequence[Description]], width: int) -> str:
    """The text of the list."""
    lines = []
    for kind, listed in found.items():
        lines.append(kind)
        for entry in listed:
            parameters = ", ".join(
                name if default == "required" else f"{name}={default}"
                for name, default in entry.parameters.items()
            )
            lines += _wrapped(f"  {entry.name:15} {entry.summary}", width)
            lines += _wrapped(_INDENT + parameters, width) if parameters else []
        lines.append("")
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=_INDENT, break_on_hyphens=False)


def plan_table(plan: Mapping[str, Any]) -> Table:
    """What every condition may cost at the most."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{plan['model']} on {plan['data']}, {plan['n']} images", title_justify="left")
    table.add_column("condition", overflow="fold")
    searched = any("severities" in row for row in plan["conditions"])
    if searched:
        table.add_column("severities at most", justify="right")
    table.add_column("forwards at most", justify="right")
    table.add_column("gradients at most", justify="right")
    for row in plan["conditions"]:
        table.add_row(
            Text(row["condition"]),
            *([str(row.get("severities", ""))] if searched else []),
            str(row["forwards_per_sample"] * plan["n"]),
            str(row["gradients_per_sample"] * plan["n"]),
        )
    return table
