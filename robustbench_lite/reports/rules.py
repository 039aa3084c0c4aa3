"""What a gate's rules ask, in words, and the rows of the page's gate table."""

from __future__ import annotations

import math
from typing import NamedTuple

from robustbench_lite.gates.rule import Rule
from robustbench_lite.gates.verdict import GateReport, GateResult, Match, Verdict
from robustbench_lite.gates.wording import exactly, margin
from robustbench_lite.reports.words import number, percent

SHAPES: dict[Verdict, str] = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ERROR": "!"}
MATCHES_SHOWN = 12

_NO_SHARES = {"breaking_point", "brier", "median_distortion"}
_ORDER: tuple[Verdict, ...] = ("ERROR", "FAIL", "INCONCLUSIVE", "PASS")


class Line(NamedTuple):
    """One rule under one condition of one run, as text."""

    verdict: Verdict
    condition: str
    value: str
    interval: str
    n: str
    words: str
    more: bool  # whether the words say what the columns do not


class Row(NamedTuple):
    """One rule; its own numbers are those of the match that decides."""

    verdict: Verdict
    id: str
    asked: str
    limit: str
    note: str
    only_told: bool  # of level warn
    value: str
    interval: str
    n: str
    words: str
    remedy: str
    lines: list[Line]  # where it looked at several conditions or runs, the worst first
    left_out: int


def rows(report: GateReport) -> list[Row]:
    """The rules, the worst first; after those that bind, those that only warn."""
    several = len(report.runs) > 1
    found = [_row(result, several) for result in report.results]
    return sorted(found, key=lambda row: (row.only_told, _ORDER.index(row.verdict)))


def _row(result: GateResult, several: bool) -> Row:
    rule = result.rule
    worst_first = sorted(result.matches, key=lambda match: (_ORDER.index(match.verdict), margin(match)))
    lines = [_line(rule, match, several) for match in worst_first]
    decisive = lines[0] if lines else Line(result.verdict, "", "–", "–", "–", "", more=True)
    needed = "" if result.needed is None else f" About {result.needed} images would decide."
    told = needed if str(result.needed) not in result.remedy else ""
    return Row(
        result.verdict,
        rule.id,
        asked(rule),
        limit(rule),
        rule.note,
        rule.level == "warn",
        decisive.value,
        decisive.interval,
        decisive.n,
        result.words,
        f"{result.remedy}{told}".strip(),
        lines[:MATCHES_SHOWN] if len(lines) > 1 else [],
        max(0, len(lines) - MATCHES_SHOWN),
    )


def asked(rule: Rule) -> str:
    """What is measured, and where: ``accuracy under night(severity=3), class scratch``."""
    where = rule.where
    parts = [rule.metric.replace("_", " ")]
    if where.condition is not None:
        parts.append(f"under {where.condition}")
    if where.kind is not None:
        parts.append(f"of kind {where.kind}")
    if where.severity is not None:
        parts.append(f"at severity {number(where.severity)}")
    if where.class_ is not None:
        parts.append(f"for class {where.class_}")
    return " ".join(parts)


def limit(rule: Rule) -> str:
    """``at least 90.0 %``, or ``falls by at most 1 point against runs/main``."""
    against = f" against {rule.baseline}" if rule.baseline else ""
    share = rule.metric not in _NO_SHARES
    bounds = (
        ("at least ", rule.min, False, ""),
        ("at most ", rule.max, False, ""),
        ("falls by at most ", rule.max_drop, True, against),
        ("rises by at most ", rule.max_rise, True, against),
    )
    return " and ".join(
        f"{word}{exactly(v, share=share, change=change)}{end}" for word, v, change, end in bounds if v is not None
    )


def _line(rule: Rule, match: Match, several: bool) -> Line:
    form = _value if rule.max_drop is None and rule.max_rise is None else _change
    ends = [form(rule, end) for end in (match.low, match.high)]
    return Line(
        match.verdict,
        _where(match, several),
        form(rule, match.value),
        "–" if match.low is None and match.high is None else " to ".join(ends),
        str(match.n),
        match.words,
        match.value is None
        or match.bound not in ("min", "max")
        or (rule.min_n is not None and match.n < rule.min_n),
    )


def _where(match: Match, several: bool) -> str:
    """Under what condition, for which class, and in which of several runs."""
    parts = [
        match.condition,
        f"class {match.class_name}" if match.class_name else "",
        match.run if several else "",
    ]
    return ", ".join(filter(None, parts))


def _value(rule: Rule, value: float | None) -> str:
    return number(value) if _unwritten(rule, value) else percent(value)


def _change(rule: Rule, value: float | None) -> str:
    if value is None or _unwritten(rule, value):
        return number(value)
    points = f"{100 * value:.1f}".replace("-", "−")
    return f"{points} point{'s' * (points != '1.0')}"


def _unwritten(rule: Rule, value: float | None) -> bool:
    """Whether a number is not written as per cent."""
    return rule.metric in _NO_SHARES or value is None or not math.isfinite(value)
