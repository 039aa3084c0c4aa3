"""From comparisons to verdicts: a bound clears the limit, or lies beyond it, or does neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from robustbench_lite.gates.comparing import Comparison
from robustbench_lite.gates.multiplicity import holm_levels
from robustbench_lite.gates.rule import GateSettings, Rule
from robustbench_lite.gates.verdict import GateResult, Match, Verdict
from robustbench_lite.gates.wording import conclusion, told

_ORDER: tuple[Verdict, ...] = ("PASS", "INCONCLUSIVE", "ERROR", "FAIL")  # the worst last


class Judged(NamedTuple):
    """A comparison and what came of it."""

    comparison: Comparison
    match: Match


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of several together: FAIL, else ERROR, else INCONCLUSIVE; PASS of none."""
    return max(verdicts, key=_ORDER.index, default="PASS")


def judge(comparisons: Sequence[Comparison], settings: GateSettings) -> list[Match]:
    """The verdict of every comparison.

    There are two tests of each. FAIL rejects that the limit is kept; these tests are one family, corrected by
    Holm's procedure, those of rules that only warn another: that any FAIL of a family is false has a probability
    of at most 1 - confidence. PASS rejects that the limit is broken, uncorrected: a gate is green only if every
    test passes, so that a green gate is false has a probability of at most 1 - confidence, too
    (intersection-union test, Berger, Technometrics 1982).
    """
    alpha = 1 - settings.confidence
    p = [one.evidence_against() for one in comparisons]
    levels = [alpha] * len(p)
    for level in ("fail", "warn") if settings.correction == "holm" else ():
        places = [i for i, c in enumerate(comparisons) if c.rule.level == level and c.estimate is not None]
        for place, held in zip(places, holm_levels([p[i] for i in places], alpha), strict=True):
            levels[place] = held
    return [_judged(one, q, alpha, held) for one, q, held in zip(comparisons, p, levels, strict=True)]


def _judged(one: Comparison, p: float, alpha: float, corrected: float) -> Match:
    estimate, limit = one.estimate, one.limit
    if estimate is None or limit is None or math.isnan(estimate.value):
        return _error(one)
    at_least = one.bound == "min"
    low = estimate.lower(alpha if at_least else corrected)
    high = estimate.upper(corrected if at_least else alpha)
    verdict: Verdict = "INCONCLUSIVE"
    if not (one.rule.min_n is not None and estimate.n < one.rule.min_n):
        if estimate.value != limit and (low >= limit if at_least else high <= limit):
            verdict = "PASS"
        elif high < limit if at_least else low > limit:
            verdict = "FAIL"
    change = one.change
    match = Match(
        run=one.run,
        condition=one.subject.name,
        class_name=one.subject.class_name,
        metric=one.metric.name,
        bound=one.bound,
        limit=limit,
        n=estimate.n,
        value=estimate.value,
        ci_low=low,
        ci_high=high,
        before=None if change is None else change.before,
        after=None if change is None else change.after,
        p=p,
        p_change=None if change is None else change.p_change,
        broken=None if change is None else change.broken,
        mended=None if change is None else change.mended,
        verdict=verdict,
        words="",
    )
    return match.model_copy(update={"words": told(match, one.metric.unit, one.rule)})


def _error(one: Comparison) -> Match:
    what = "the number is NaN" if one.obstacle is None else one.obstacle.what
    return Match(
        run=one.run,
        condition=one.subject.name,
        class_name=one.subject.class_name,
        metric=one.metric.name,
        bound=one.bound,
        limit=one.limit,
        n=0,
        value=None,
        ci_low=None,
        ci_high=None,
        verdict="ERROR",
        words=f"{what}.",
    )


def result(rule: Rule, judged: Sequence[Judged], needed: int | None = None) -> GateResult:
    """One rule's verdict: that of its worst match. Without a match it is an ERROR."""
    matches = [one.match for one in judged]
    verdict = worst([match.verdict for match in matches]) if matches else "ERROR"
    words, remedy = conclusion(rule, verdict, matches, needed)
    obstacle = next((j.comparison.obstacle for j in judged if j.match.verdict == verdict == "ERROR"), None)
    return GateResult(
        rule=rule,
        verdict=verdict,
        words=words,
        remedy=remedy if obstacle is None else obstacle.remedy,
        needed=needed if verdict == "INCONCLUSIVE" else None,
        matches=matches,
    )
