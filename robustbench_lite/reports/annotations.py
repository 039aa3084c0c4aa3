"""A gate's verdicts as annotations of a CI job: workflow commands of GitHub, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from robustbench_lite.gates.verdict import GateReport, GateResult
from robustbench_lite.reports.safe import annotation, annotation_property, short

Style = Literal["github", "none"]
_MOST = 10  # of errors, and of warnings, in one step: GitHub shows no more


def style_of(environment: Mapping[str, str]) -> Style:
    """What the CI job that we run in understands."""
    return "github" if environment.get("GITHUB_ACTIONS") == "true" else "none"


def workflow_commands(report: GateReport, style: Style) -> list[str]:
    """Lines for stdout, as they are: an error for each FAIL and ERROR, a warning for each INCONCLUSIVE.

    What the verdict warns of is one warning more, the first.

    A rule of level warn gives a warning at most. Beyond ten of a kind the last one counts the others.
    """
    if style == "none":
        return []
    told = [result for result in report.results if result.verdict != "PASS"]
    told.sort(key=lambda result: ("ERROR", "FAIL", "INCONCLUSIVE").index(result.verdict))
    errors = [result for result in told if result.rule.level == "fail" and result.verdict != "INCONCLUSIVE"]
    warnings = [result for result in told if result not in errors]
    general = [_line("warning", "gate", short(" ".join(report.warnings), 1000))] if report.warnings else []
    return [*_lines("error", errors), *general, *_lines("warning", warnings, _MOST - len(general))]


def _lines(command: str, results: list[GateResult], most: int = _MOST) -> list[str]:
    shown = results if len(results) <= most else results[: most - 1]
    lines = [
        _line(
            command, f"{result.verdict}: {short(result.rule.id)}", short(f"{result.words} {result.remedy}", 1000)
        )
        for result in shown
    ]
    if len(results) > len(shown):
        names = ", ".join(short(result.rule.id, 50) for result in results[len(shown) :])
        lines.append(_line(command, f"{len(results) - len(shown)} more rules", short(names, 1000)))
    return lines


def _line(command: str, title: str, message: str) -> str:
    return f"::{command} title={annotation_property(title)}::{annotation(message.strip())}"
