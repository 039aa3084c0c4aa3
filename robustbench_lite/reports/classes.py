"""Which classes suffer, what they are taken for, and how often predictions flip, for the page."""

from __future__ import annotations

from typing import Any, NamedTuple

from robustbench_lite.reports.class_losses import losses
from robustbench_lite.reports.view import Values, View
from robustbench_lite.reports.words import Result
from robustbench_lite.sweeps import Sweep

SHOWN = 12  # classes that fit beside each other


class ByClass(NamedTuple):
    """A table of accuracy: a row per condition, a column per class; a class without images is None."""

    names: list[str]
    rows: list[tuple[str, list[dict[str, Any] | None]]]
    left_out: int


def values(view: View) -> Values:
    """Section 5 of the page: the classes that lose most, confusions, and the accuracy of every class."""
    return {"losses": losses(view.usual), "by_class": by_class(view.results)}


def by_class(results: list[Result]) -> ByClass:
    """The classes in their order; of more than fit, those whose mean accuracy over the conditions is lowest."""
    found: dict[str, list[float]] = {}
    for result in results:
        for entry in result["classes"]:
            found.setdefault(entry["class_name"], []).append(entry["accuracy"])
    weakest = sorted(found, key=lambda name: sum(found[name]) / len(found[name]))[:SHOWN]
    names = [name for name in found if name in weakest]
    rows = []
    for result in results:
        known = {entry["class_name"]: entry for entry in result["classes"]}
        rows.append((str(result["condition"]), [known.get(name) for name in names]))
    return ByClass(names, rows, len(found) - len(names))


def flips(found: list[Sweep]) -> dict[str, float]:
    """By condition, the share of the images whose prediction differs from that at the severity before."""
    return {
        level.condition: level.flips
        for sweep in found
        for level in sweep.levels
        if level.severity > 0 and level.flips is not None
    }
