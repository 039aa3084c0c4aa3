"""Section 8 of the page: accuracy against eps, the shares of a portfolio, and the trust checks."""

from __future__ import annotations

from robustbench_lite.reports import budgets, trust
from robustbench_lite.reports.view import Values, View


def values(view: View) -> Values:
    """Curves, shares and checks; each is empty where the run has none."""
    return {
        "curves": budgets.curves(view.results),
        "kills": budgets.kills(view.run, view.results),
        "checked": trust.sections(view.run),
        "checks_summary": trust.summary(view.run),
    }
