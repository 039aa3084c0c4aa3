"""Pure functions of a run's rows: accuracy, its interval, and the comparison with the clean images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.runs import ConditionRecord, CurvePoint, Run

_TOLERANCE = 1e-6  # as that of the evaluator's look at a budget
_NORMS = ("l2", "linf", "l1", "l0")


class Interval(NamedTuple):
    """Lower and upper end of an interval."""

    low: float
    high: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion (Wilson, JASA 1927)."""
    from scipy.stats import binomtest

    low, high = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(float(low), float(high))


def proportion_interval(
    hits: npt.NDArray[Any], groups: npt.NDArray[Any] | None = None, confidence: float = 0.95
) -> Interval:
    """Interval for the mean of 0/1 values; if images come in groups, groups are the units, not images.

    Six pictures of one part are not six parts: Wilson's interval on the pictures would be too narrow. With
    groups this is Wilson's interval for the effective number of images, that is, for as many independent
    images as would make the mean as uncertain as it is between the groups, and with Student's quantile for
    the number of groups (Dean and Pagano, J. Survey Statistics and Methodology 2015). Resampling the groups
    instead covers too little where accuracy is near 1. Where groups do not differ at all, each counts once;
    one group alone says nothing about others.

    Args:
        hits: (N,) of 0 and 1, N > 0.
        groups: (N,) group names, or None.
        confidence: coverage.
    """
    hits = np.asarray(hits, dtype=float)
    if groups is None:
        return wilson(int(hits.sum()), len(hits), confidence)
    codes, names = pd.factorize(pd.Series(groups), use_na_sentinel=False)
    n, n_groups, mean = len(hits), len(names), float(hits.mean())
    if n_groups == n:
        return wilson(int(hits.sum()), n, confidence)
    if n_groups == 1:
        return Interval(0.0, 1.0)
    sums, counts = np.bincount(codes, hits), np.bincount(codes)
    variance = n_groups / (n_groups - 1) * float(((sums - mean * counts) ** 2).sum()) / n**2
    effective = min(n, mean * (1 - mean) / variance) if variance > 1e-12 else n_groups
    return _score_interval(mean, effective, _student_quantile(confidence, n_groups - 1))


def _score_interval(mean: float, n: float, z: float) -> Interval:
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def _student_quantile(confidence: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + confidence / 2, freedom))


def robustness_curve(rows: pd.DataFrame, norm: str, usual: float | None, *, grouped: bool) -> list[CurvePoint]:
    """Robust accuracy against eps, from one run of an attack that looks for the smallest perturbation.

    At most 23 budgets: 0, where the accuracy is the clean one; the sizes below which 0, 5, … 100 % of the changes
    that were found are; and the usual budget.

    Args:
        rows: of the attack alone.
        norm: which size counts.
        usual: the data's usual budget in this norm, or None.
        grouped: whether the images have groups.
    """
    found = _lost_at(rows, norm)
    found = found[np.isfinite(found) & (found > 0)]
    quantiles = np.quantile(found, np.linspace(0, 1, 21), method="higher") if len(found) else np.array([])
    grid = {0.0, *(_rounded_up(float(q)) for q in quantiles), *([] if usual is None else [usual])}
    return robust_accuracy(rows, norm, sorted(grid), grouped=grouped)


def robust_accuracy(rows: pd.DataFrame, norm: str, budgets: Sequence[float], *, grouped: bool) -> list[CurvePoint]:
    """Accuracy under each budget. An image is robust if it is right, and nothing that small was found."""
    lost_at = _lost_at(rows, norm)
    groups = rows["group"].to_numpy() if grouped else None
    points = []
    for eps in budgets if len(rows) else ():
        robust = lost_at > eps + _TOLERANCE * max(1.0, eps)
        low, high = proportion_interval(robust, groups)
        points.append(CurvePoint(eps=eps, accuracy=float(robust.mean()), low=low, high=high))
    return points


def _lost_at(rows: pd.DataFrame, norm: str) -> npt.NDArray[np.float64]:
    """The budget that every image is lost at: none if nothing was found, -1 if it is wrong without a change."""
    found = np.where(rows["attacked"] == 1, rows[norm], -1.0)
    return np.where(rows["correct"] == 1, np.inf, found)


def _rounded_up(value: float) -> float:
    """To three digits, so that the curve's last point has everything that was found."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / step - 1e-6) * step:.3g}")


def kill_shares(rows: pd.DataFrame, members: Sequence[str] = ()) -> dict[str, float]:
    """Which attack of a portfolio fooled the network on which share of the attacked images, the largest first.

    Empty without a portfolio, or if no image was attacked.

    Args:
        rows: of one condition.
        members: the attacks of the portfolio; those that fooled the network on no image are named too.
    """
    attacked = rows[rows["attacked"] == 1]
    counts = {str(name): int(count) for name, count in attacked["by"].value_counts().items()}
    if len(attacked) == 0:
        return {}
    return {name: counts.get(name, 0) / len(attacked) for name in dict.fromkeys([*counts, *members])}


def summarise(run: Run) -> list[dict[str, Any]]:
    """One entry per condition that has rows, in the order of the run: the numbers of the comparison table.

    ``drop`` is paired: clean accuracy minus accuracy on the same images, None without clean rows.
    ``median_l2`` and ``median_linf`` are over the images on which an attack succeeded, and over all images
    for a shift; None where there are none. ``median_l1`` and ``median_l0`` are for attacks in that norm.
    ``success_rate`` is the share of attacked images on which the attack reached its goal, and
    ``success_rate_8bit`` the share on which it still does when the image is rounded to 8 bits; ``fooled`` and
    ``fooled_8bit`` count them. ``kills`` is that of ``kill_shares``, ``curve`` the record's.
    """
    rows = dict(iter(run.samples.groupby("condition", sort=False)))
    return [_summary(run, record, rows) for record in run.record.conditions if record.spec in rows]


def _summary(run: Run, record: ConditionRecord, by_condition: dict[Any, pd.DataFrame]) -> dict[str, Any]:
    rows = by_condition[record.spec]
    clean = by_condition.get("clean", rows.iloc[:0])
    # A condition that was interrupted has fewer rows than the clean images.
    clean = clean[clean["index"].isin(rows["index"])]
    n = len(rows)
    groups = None if run.record.data.n_groups is None else rows["group"].to_numpy()
    interval = proportion_interval(rows["correct"].to_numpy(), groups)
    wrong = rows[rows["correct"] == 0]
    attacked = rows[rows["attacked"] == 1]
    is_attack = bool(record.threat_model)
    changed = rows[rows["succeeded"] == 1] if is_attack else rows.iloc[: 0 if record.kind == "clean" else n]
    usual = {"l2", "linf", *(threat.norm for threat in record.threat_model)}
    sizes = {f"median_{norm}": _median(changed[norm]) if norm in usual else None for norm in _NORMS}
    return {
        "condition": record.spec,
        "kind": record.kind,
        "severity": record.severity,
        "n": n,
        "accuracy": float(rows["correct"].mean()),
        "ci_low": interval.low,
        "ci_high": interval.high,
        "drop": float(clean["correct"].mean() - rows["correct"].mean()) if len(clean) else None,
        "confidence_when_wrong": _mean(wrong["confidence"]),
        "success_rate": _mean(attacked["succeeded"]) if is_attack else None,
        "success_rate_8bit": _mean(attacked["fools_8bit"]) if is_attack else None,
        "fooled": int(attacked["succeeded"].sum()) if is_attack else None,
        "fooled_8bit": int(attacked["fools_8bit"].sum()) if is_attack else None,
        **sizes,
        "forwards_per_sample": record.forwards / n,
        "gradients_per_sample": record.gradients / n,
        "seconds": record.seconds,
        "warnings": record.warnings,
        "kills": kill_shares(rows, record.members),
        "curve": [point.model_dump() for point in record.curve],
        "checks": [check.model_dump() for check in record.checks],
    }


def _mean(values: pd.Series[Any]) -> float | None:
    return float(values.mean()) if values.notna().any() else None


def _median(values: pd.Series[Any]) -> float | None:
    return float(values.median()) if values.notna().any() else None
