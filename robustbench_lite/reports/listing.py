"""Lists for the terminal: what is registered, and what a run would do."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from robustbench_lite import descriptions, registry
from robustbench_lite.descriptions import Description
from robustbench_lite.names import FAMILIES

if TYPE_CHECKING:
    from rich.table import Table

KINDS = {
    "attacks": "attack",
    "shifts": "shift",
    "models": "model",
    "data": "data",
    "generators": "generator",
    "defences": "defence",
    "scores": "score",
}
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
        family = (-1, "")
        for entry in sorted(listed, key=_family) if kind == "shifts" else listed:
            if kind == "shifts" and _family(entry) != family:
                family = _family(entry)
                lines.append(f" {family[1]}")
            parameters = ", ".join(
                name if default == "required" else f"{name}={default}"
                for name, default in entry.parameters.items()
            )
            lines += _wrapped(f"  {entry.name:15} {entry.summary}", width)
            lines += _wrapped(_INDENT + parameters, width) if parameters else []
        lines.append("")
    return "\n".join(lines)


def _family(entry: Description) -> tuple[int, str]:
    """Where the shifts of a risk stand in the list, and its name: our risks first, the published sets last."""
    name = registry.family(entry.name)
    known = [*FAMILIES, name] if name != "suite" else [*FAMILIES, "", name]
    return known.index(name), name


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
