"""Section 3 of the page: the clean images against every condition, and published sets."""

from __future__ import annotations

from robustbench_lite.corruption_error import SuiteError, suite_errors
from robustbench_lite.errors import InputError
from robustbench_lite.reports import classes, suites
from robustbench_lite.reports.view import Values, View

_SIZES = ("l2", "linf", "l1", "l0")
_OPTIONAL = (
    "confidence_when_wrong",
    *(f"median_{norm}" for norm in _SIZES),
    "fooled",
    "gradients_per_sample",
    "filled",
)


def values(view: View) -> Values:
    """The results, and which of the columns that not every run has are shown."""
    found, note = _suites(view)
    return {
        "sizes": _SIZES,
        "shows": {column: any(r[column] for r in view.results) for column in _OPTIONAL},
        "left_out": len(view.record.conditions) - len(view.usual.record.conditions),
        "flips": classes.flips(view.sweeps),
        "changes": view.changes,
        "beyond_chance": sum(change.beyond_chance for change in view.changes.values()),
        "suites": [(suite, suites.means(suite)) for suite in found],
        "suites_note": f"{suites.NOTE}.{note}",
    }


def _suites(view: View) -> tuple[list[SuiteError], str]:
    """The published sets, against the baseline if it has them too, and why not otherwise."""
    found = suite_errors(view.run)
    if not found or view.baseline is None:
        return found, ""
    try:
        return suite_errors(view.run, view.baseline), ""
    except InputError as error:
        return found, f" Not against the baseline: {error}"
