"""Section 3 of the page: the clean images against every condition, and published sets."""

from __future__ import annotations

from robustbench_lite.corruption_error import suite_errors
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
    return {
        "sizes": _SIZES,
        "shows": {column: any(r[column] for r in view.results) for column in _OPTIONAL},
        "left_out": len(view.record.conditions) - len(view.usual.record.conditions),
        "flips": classes.flips(view.sweeps),
        "suites": [(found, suites.means(found)) for found in suite_errors(view.run, view.baseline)],
        "suites_note": suites.NOTE,
    }
