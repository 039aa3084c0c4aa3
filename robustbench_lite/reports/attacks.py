"""Section 8 of the page: accuracy against eps, the shares of a portfolio, and the trust checks."""

from __future__ import annotations

from robustbench_lite.reports import budgets, trust
from robustbench_lite.reports.view import Values, View

ALL_OPEN = 4  # tables of checks


def values(view: View) -> Values:
    """Curves, shares and checks; each is empty where the run has none. Checks that triggered are unfolded."""
    checked = trust.sections(view.run)
    return {
        "curves": budgets.curves(view.results),
        "kills": budgets.kills(view.run, view.results),
        "checked": checked,
        "checks_summary": trust.summary(view.run),
        "told": {about: trust.counted(checks) for about, checks in checked},
        "opened": [
            about
            for about, checks in checked
            if len(checked) <= ALL_OPEN or any(check.status == "triggered" for check in checks)
        ],
    }
