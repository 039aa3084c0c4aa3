"""Section 1 of the page: may this build be released? The verdict of the rules, and what was measured."""

from __future__ import annotations

from typing import NamedTuple

from robustbench_lite.gates.verdict import GateReport, Verdict
from robustbench_lite.reports import breaking, rules, words
from robustbench_lite.reports.view import Values, View


class Judged(NamedTuple):
    """The rules and what came of them, as the page tells it; without rules the verdict is empty."""

    about: str  # whom it is about on a page of several runs
    verdict: Verdict | None
    shape: str
    sentence: str
    because: str
    rows: list[rules.Row]
    warnings: list[str]
    confidence: float
    corrected: bool = False  # for how many comparisons there are


class Told(NamedTuple):
    """What was measured in one run, in sentences."""

    mark: str
    sentences: list[str]
    attacked: bool
    as_8bit: bool


def values(views: list[View]) -> Values:
    """One verdict for every set of rules that was applied, and what was measured, run by run."""
    found: list[tuple[GateReport | None, list[View]]] = []
    for view in views:
        same = next((one for one in found if one[0] is view.gates), None)
        if same is None:
            found.append((view.gates, [view]))
        else:
            same[1].append(view)
    warned = sum(len(view.warnings) for view in views)
    return {
        "judged": [_judged(report, about, len(views)) for report, about in found],
        "told": list(map(_told, views)),
        "warned": warned,
        "warned_at": [(f"{view.prefix}untested", f"{view.mark}2") for view in views if view.warnings],
    }


def _judged(report: GateReport | None, about: list[View], n_views: int) -> Judged:
    marks = words.join([view.mark for view in about]) if n_views > 1 else ""
    if report is None:
        sentence = "Not decided: no rule was applied."
        return Judged(marks, None, "?", sentence, _no_rules(about), [], [], 0.95)
    sentence, because = rules.decision(report)
    return Judged(
        marks,
        report.verdict,
        rules.SHAPES[report.verdict],
        sentence,
        because,
        rules.rows(report),
        report.warnings,
        report.settings.confidence,
        report.settings.correction != "none",
    )


def _no_rules(about: list[View]) -> str:
    runs = "These runs were" if len(about) > 1 else "This run was"
    return (
        f"{runs} measured and not judged. No rule says here whether what was measured is good enough; rb gate "
        "judges a run by the rules of a configuration."
    )


def _told(view: View) -> Told:
    sentences = [*words.verdict(view.run, view.results), *map(breaking.sentence, view.record.breaking_points)]
    return Told(view.mark, sentences, view.attacked, view.record.as_8bit)
