"""Lists for the terminal: what is registered, and what a run would do."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from robustbench_lite import descriptions, registry
from robustbench_lite.descriptions import Description
from robustbench_lite.names import FAMILIES
from robustbench_lite.specs import without
from robustbench_lite.suites import Suite, suites

if TYPE_CHECKING:
    from robustbench_lite.config.schema import SuiteConfig

KINDS = {
    "attacks": "attack",
    "shifts": "shift",
    "models": "model",
    "data": "data",
    "generators": "generator",
    "defences": "defence",
    "scores": "score",
}
SUITES, METRICS = "suites", "metrics"
LISTS = (*KINDS, METRICS, SUITES)
_SHORT, _LONG = 15, 24  # columns that names take, at the least and at the most


class MetricLine(NamedTuple):
    """What a rule of a gate can be about."""

    name: str
    about: str
    better: str  # higher, lower, or neither: empty
    takes: str  # what the run must have


Entry = Description | Suite | MetricLine


def describe(what: str = "", own: Mapping[str, SuiteConfig] | None = None) -> dict[str, list[Entry]]:
    """What is registered, under the plural of its kind, and the suites; nothing named: all of it but the metrics.

    Args:
        what: one of ``LISTS``, or empty.
        own: the ``suites`` of a configuration.
    """
    found: dict[str, list[Entry]] = {
        name: [*descriptions.describe(kind)] for name, kind in KINDS.items() if what in ("", name)
    }
    if what == METRICS:  # not among all, since it takes pandas to import, which is longer than the list to print
        from robustbench_lite.gates.metrics import METRICS as known

        return {METRICS: [MetricLine(m.name, m.about, m.better, m.takes) for m in known.values()]}
    return {**found, SUITES: [*suites(own).values()]} if what in ("", SUITES) else found


def print_listing(what: str = "", own: Mapping[str, SuiteConfig] | None = None) -> None:
    """Every kind with its names, one line each, and their parameters, as plain text on stdout."""
    sys.stdout.write(listing(describe(what, own), shutil.get_terminal_size((120, 24)).columns))


def listing(found: Mapping[str, Sequence[Entry]], width: int) -> str:
    """The text of the list."""
    lines = []
    for kind, listed in found.items():
        lines.append(kind)
        names = min(_LONG, max([_SHORT, *(len(entry.name) for entry in listed)]))
        indent = " " * (names + 3)
        family = (-1, "")
        for entry in sorted(listed, key=_family) if kind == "shifts" else listed:
            if isinstance(entry, Suite):
                lines += _suite(entry, width, names)
                continue
            if isinstance(entry, MetricLine):
                better = f"; {entry.better} is better" if entry.better else ""
                lines += _wrapped(f"  {entry.name:{names}} {entry.about}", width, indent)
                lines += _wrapped(f"{indent}takes {entry.takes}{better}", width, indent)
                continue
            if kind == "shifts" and _family(entry) != family:
                family = _family(entry)
                lines.append(f" {family[1]}")
            parameters = ", ".join(
                name if default == "required" else f"{name}={default}"
                for name, default in entry.parameters.items()
            )
            lines += _wrapped(f"  {entry.name:{names}} {entry.summary}", width, indent)
            lines += _wrapped(indent + parameters, width, indent) if parameters else []
        lines.append("")
    return "\n".join(lines)


def _suite(suite: Suite, width: int, names: int) -> list[str]:
    """The name and for whom it is; then what is in it, all severities of a shift as one."""
    inside = dict.fromkeys(without(condition, "severity") for condition in suite.conditions)
    indent = " " * (names + 3)
    texts = (
        f"  {suite.name:{names}} {suite.about}",
        f"{indent}{len(suite.conditions)} conditions: {', '.join(inside)}",
    )
    # One's own may say anything; a terminal is to show it, not to obey it.
    return [
        line
        for text in texts
        for line in _wrapped("".join(c if c.isprintable() else " " for c in text), width, indent)
    ]


def _family(entry: Entry) -> tuple[int, str]:
    """Where the shifts of a risk stand in the list, and its name: our risks first, the published sets last."""
    name = registry.family(entry.name)
    known = [*FAMILIES, name] if name != "suite" else [*FAMILIES, "", name]
    return known.index(name), name


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
