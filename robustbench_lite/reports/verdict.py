"""Section 1 of the page: the outcome in sentences."""

from __future__ import annotations

from robustbench_lite.reports import breaking, words
from robustbench_lite.reports.view import Values, View


def values(view: View) -> Values:
    """Sentences, the most important first."""
    told = [*words.verdict(view.run, view.results), *map(breaking.sentence, view.record.breaking_points)]
    return {"headline": told[0], "told": told[1:]}
