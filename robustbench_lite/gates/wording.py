"""Verdicts in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robustbench_lite.gates.matching import has_wildcard
from robustbench_lite.gates.rule import Rule
from robustbench_lite.gates.verdict import Match, Verdict

TRIGGERED = "the trust check "  # what the sentence about one that triggered begins with
_LIMITS = {
    "min": "at least {}",
    "max": "at most {}",
    "max_drop": "a fall of at most {}",
    "max_rise": "a rise of at most {}",
}


def written(value: float | None, unit: str, *, change: bool = False) -> str:
    """A number of a metric as people read it: shares as per cent, changes of them in points."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "beyond all" if value > 0 else "below all"
    found = f"{100 * value:.2f}{_tail(change)}" if unit == "share" else f"{value:.4g}"
    return found.replace("-", "−")


def between(low: float | None, high: float | None, unit: str, *, change: bool = False) -> str:
    """Two bounds, with their unit once: ``57.65 to 67.49 %``."""
    first, last = (written(end, unit, change=change) for end in (low, high))
    tail = _tail(change)
    return f"{first.removesuffix(tail) if last.endswith(tail) else first} to {last}"


def asked(rule: Rule, bound: str, unit: str) -> str:
    """A limit of a rule in words, with all its digits: ``at least 99.95 %``."""
    change = bound in ("max_drop", "max_rise")
    return _LIMITS[bound].format(exactly(getattr(rule, bound), share=unit == "share", change=change))


def _tail(change: bool) -> str:
    return " points" if change else " %"


def exactly(limit: float, *, share: bool, change: bool = False) -> str:
    """A limit as it was asked for: rounded, 99.95 % would be asked for as 100 %."""
    if not share or math.isinf(limit):
        return f"{limit:.10g}"
    digits = f"{100 * limit:.10g}"
    digits += "" if "." in digits or "e" in digits else ".0"
    if not change:
        return f"{digits}\N{NO-BREAK SPACE}%"
    return f"{digits} point{'s' * (digits != '1.0')}"


def margin(match: Match) -> float:
    """How far the bound that decides on PASS clears the limit: the smallest is the worst. Without one: -inf."""
    bound = match.ci_low if match.bound == "min" else match.ci_high
    if bound is None or match.limit is None or math.isnan(bound):
        return -math.inf
    return bound - match.limit if match.bound == "min" else match.limit - bound


def told(match: Match, unit: str, rule: Rule) -> str:
    """A comparison in one sentence with the numbers."""
    change = match.bound in ("max_drop", "max_rise")
    limit = asked(rule, str(match.bound), unit)
    of = f" for {match.class_name}" if match.class_name else ""
    where = f"{match.metric} under {match.condition}{of}"
    ends = between(match.ci_low, match.ci_high, unit, change=change)
    if change:
        went = "falls" if match.bound == "max_drop" else "rises"
        seen = (
            f"{where} {went} by {written(match.value, unit, change=True)} ({ends}), "
            f"from {written(match.before, unit)} to {written(match.after, unit)}, on {match.n} images"
        )
    else:
        seen = f"{where} is {written(match.value, unit)} ({ends}) on {match.n} images"
    if match.verdict == "PASS":
        return f"{seen}; the limit, {limit}, is kept."
    if match.verdict == "FAIL":
        return f"{seen}; the limit, {limit}, is broken."
    if rule.min_n is not None and match.n < rule.min_n:
        return f"{seen}; the rule asks for {rule.min_n} images."
    return f"{seen}; whether the limit, {limit}, is kept cannot be told."


def conclusion(rule: Rule, verdict: Verdict, matches: Sequence[Match], needed: int | None) -> tuple[str, str]:
    """A rule's sentence, and what to do next."""
    if not matches:
        asked = f" under {rule.where.condition}" if rule.where.condition else ""
        return (
            f"Nothing matched: no run has {rule.metric}{asked}{_filters(rule)}.",
            _alone(rule) + "See what a run has with rb show RUN; wildcards such as night(*) are allowed.",
        )
    those = [match for match in matches if match.verdict == verdict]
    words = min(those, key=margin).words
    if len(matches) > 1:
        words = f"{len(those)} of {len(matches)} {verdict}; {_LEAST[verdict]}: {words}"
    return words, _REMEDIES[verdict] if verdict != "INCONCLUSIVE" else _more(rule, needed)


_LEAST: dict[Verdict, str] = {
    "PASS": "the closest",
    "FAIL": "the worst",
    "INCONCLUSIVE": "the worst",
    "ERROR": "the first",
}
_REMEDIES: dict[Verdict, str] = {
    "PASS": "",
    "FAIL": "Look at the images that are wrong: rb report RUN.",
    "ERROR": "See docs/gates.md.",
}


def _more(rule: Rule, needed: int | None) -> str:
    many = "more images" if needed is None else f"about {max(needed, rule.min_n or 1)} images"
    if needed is None and rule.min_n is not None:
        many = f"more images, {rule.min_n} at the least"
    if rule.where.class_ is not None:
        many += " of each class" if has_wildcard(rule.where.class_) else " of that class"
    elif rule.metric == "worst_class":
        many += " of that class"
    return f"Evaluate {many} (chosen beforehand, not until it passes), or plan with rb gate --plan."


def _alone(rule: Rule) -> str:
    """What a name without arguments means, where that may be why nothing matched."""
    name = rule.where.condition or ""
    if not name.isidentifier() or name == "clean" or rule.where.severity is not None:
        return ""
    return f"{name} alone is {name} with its defaults; {name}(*) is all of them. "


def _filters(rule: Rule) -> str:
    where = rule.where
    parts = [
        f" of kind {where.kind}" if where.kind else "",
        f" at severity {where.severity:g}" if where.severity is not None else "",
        f" of class {where.class_}" if where.class_ else "",
    ]
    return "".join(parts)
