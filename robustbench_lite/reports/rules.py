"""What a gate's rules ask, in words, and the rows of the page's gate table."""

from __future__ import annotations

from typing import NamedTuple

from robustbench_lite.gates import wording
from robustbench_lite.gates.rule import Rule
from robustbench_lite.gates.verdict import GateReport, GateResult, Match, Verdict
from robustbench_lite.reports.safe import short
from robustbench_lite.reports.words import number

SHAPES: dict[Verdict, str] = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ERROR": "!"}
MATCHES_SHOWN = 12

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
    worst_first = sorted(result.matches, key=lambda match: (_ORDER.index(match.verdict), wording.margin(match)))
    lines = _checks_once([_line(rule, match, several) for match in worst_first])
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
    from robustbench_lite.gates.metrics import METRICS  # late, as in _unit

    where = rule.where
    parts = [rule.metric.replace("_", " ")]
    if where.condition is not None:
        parts.append(f"under {where.condition}")
    elif where.kind is None and rule.metric in METRICS and METRICS[rule.metric].looks_at(where) == "clean":
        parts.append("under clean")
    if where.kind is not None:
        parts.append(f"of kind {where.kind}")
    if where.severity is not None:
        parts.append(f"at severity {number(where.severity)}")
    if where.class_ is not None:
        parts.append(f"for class {where.class_}")
    return " ".join(parts)


def limit(rule: Rule) -> str:
    """``at least 90.0 %``, or ``a fall of at most 1.0 point against runs/main``."""
    unit = _unit(rule)
    against = f" against {rule.baseline}" if rule.baseline else ""
    bounds = [bound for bound in ("min", "max", "max_drop", "max_rise") if getattr(rule, bound) is not None]
    return " and ".join(wording.asked(rule, bound, unit) for bound in bounds) + against


def _line(rule: Rule, match: Match, several: bool) -> Line:
    unit, change = _unit(rule), match.bound in ("max_drop", "max_rise")
    none = match.ci_low is None and match.ci_high is None
    return Line(
        match.verdict,
        _where(match, several),
        wording.written(match.value, unit, change=change),
        "–" if none else wording.between(match.ci_low, match.ci_high, unit, change=change),
        str(match.n),
        match.words,
        match.value is None
        or match.bound not in ("min", "max")
        or (rule.min_n is not None and match.n < rule.min_n),
    )


def _checks_once(lines: list[Line]) -> list[Line]:
    """What a trust check saw is told under the first of its conditions alone."""
    seen: set[str] = set()
    told = []
    for line in lines:
        check = line.words.partition(" triggered on ")[0] if line.words.startswith(wording.TRIGGERED) else ""
        again = line.verdict == "ERROR" and check in seen
        told.append(line._replace(words=f"{check} triggered on {line.condition}, too.") if again else line)
        seen |= {check} - {""}
    return told


def _where(match: Match, several: bool) -> str:
    """Under what condition, for which class, and in which of several runs."""
    parts = [
        match.condition,
        f"class {match.class_name}" if match.class_name else "",
        match.run if several else "",
    ]
    return ", ".join(filter(None, parts))


def decision(report: GateReport) -> tuple[str, str]:
    """The verdict as a sentence, and why: how many rules it rests on, and those that it is due to."""
    binding = [result for result in report.results if result.rule.level == "fail"]
    due = [result.rule.id for result in binding if result.verdict == report.verdict]
    told = [r.rule.id for r in report.results if r.rule.level == "warn" and r.verdict != "PASS"]
    which = "binding " * (len(binding) < len(report.results))  # or the count is not that of the table's rows
    count = f"{len(due)} of {len(binding)} {which}rule{'s' * (len(binding) != 1)}"
    are = "is" if len(due) == 1 else "are"
    names = _listed(due)
    sentence, because = {
        "PASS": ("Fit for release by its rules.", _all_kept(due, which)),
        "FAIL": ("Not to be released.", f"{count} {are} broken: {names}."),
        "INCONCLUSIVE": (
            "Not decided.",
            f"{count} can be neither confirmed nor refuted with so few images: {names}.",
        ),
        "ERROR": (
            "Not to be released: it was not judged.",
            f"{count} could not be applied: {names}. A rule that was not applied does not count as kept."
            if report.results
            else "There was no rule to apply.",
        ),
    }[report.verdict]
    other = {"ERROR": "not applied", "FAIL": "broken", "INCONCLUSIVE": "undecided"}
    counts = {v: sum(r.verdict == v for r in binding) for v in other if v != report.verdict}
    others = ", ".join(f"{n} more {other[v]}" for v, n in counts.items() if n)
    more = f" Also: {others}." if others else ""
    more += f" Not kept, but meant as a warning only: {_listed(told)}." if told else ""
    if report.results and not binding:
        return "Not decided.", "All rules only warn." + more
    return sentence, because + more


def _all_kept(names: list[str], which: str) -> str:
    if len(names) > 1:
        return f"All {len(names)} {which}rules are kept."
    return f"Its one rule is kept: {_listed(names)}." if names else ""


def _unit(rule: Rule) -> str:
    """Late, because metrics bring SciPy, which a page without rules does not need."""
    from robustbench_lite.gates.metrics import METRICS

    return METRICS[rule.metric].unit if rule.metric in METRICS else "number"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(short(name, 60) for name in names[:5]) + more
