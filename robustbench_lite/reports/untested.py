"""Section 2 of the page: what the run warned of, and what it says nothing about."""

from __future__ import annotations

from robustbench_lite.reports import words
from robustbench_lite.reports.view import Values, View


def values(view: View) -> Values:
    """Two lists of sentences."""
    return {"warnings": words.warnings(view.run), "untested": words.untested(view.run)}
