"""Pure functions of a run's rows: accuracy, its interval, and the comparison with the clean images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.runs import Run

RESAMPLES = 2000


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
    """Interval for the mean of 0/1 values; if images come in groups, groups are resampled, not images.

    Six pictures of one part are not six parts: Wilson's interval on the pictures would be too narrow. With
    groups this is the percentile bootstrap over groups (2,000 resamples, fixed seed). Where it degenerates,
    because all groups have the same mean, it is Wilson's interval with one observation per group.

    Args:
        hits: (N,) of 0 and 1.
        groups: (N,) group names, or None.
        confidence: coverage.
    """
    hits = np.asarray(hits, dtype=float)
    if groups is None or pd.Series(groups).nunique() == len(hits):
        return wilson(int(hits.sum()), len(hits), confidence)
    table = pd.DataFrame({"hit": hits, "group": groups}).groupby("group")["hit"].agg(["sum", "count"])
    sums, counts = table["sum"].to_numpy(), table["count"].to_numpy()
    if np.ptp(sums / counts) == 0:
        return wilson(round(len(sums) * hits.mean()), len(sums), confidence)
    picks = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    tail = (1 - confidence) / 2
    return Interval(*(float(q) for q in np.quantile(means, [tail, 1 - tail])))


def summarise(run: Run) -> list[dict[str, Any]]:
    """One entry per condition, in the order of the run: the numbers of the comparison table.

    ``drop`` is paired: clean accuracy minus accuracy on the same images. ``median_l2`` and ``median_linf`` are
    over the images on which an attack succeeded, and over all images for a shift; None where there are none.
    ``success_rate`` is the share of attacked images on which the attack reached its goal.
    """
    return [_summary(run, record.spec) for record in run.record.conditions if record.n > 0]


def _summary(run: Run, spec: str) -> dict[str, Any]:
    record = next(c for c in run.record.conditions if c.spec == spec)
    rows = run.samples[run.samples["condition"] == spec]
    clean = run.samples[run.samples["condition"] == "clean"]
    n = len(rows)
    groups = None if run.record.data.n_groups is None else rows["group"].to_numpy()
    interval = proportion_interval(rows["correct"].to_numpy(), groups)
    wrong = rows[rows["correct"] == 0]
    attacked = rows[rows["attacked"] == 1]
    is_attack = bool(record.threat_model)
    changed = rows[rows["succeeded"] == 1] if is_attack else rows.iloc[: 0 if record.kind == "clean" else n]
    return {
        "condition": spec,
        "kind": record.kind,
        "severity": record.severity,
        "n": n,
        "accuracy": float(rows["correct"].mean()),
        "ci_low": interval.low,
        "ci_high": interval.high,
        "drop": float(clean["correct"].mean() - rows["correct"].mean()),
        "confidence_when_wrong": _mean(wrong["confidence"]),
        "success_rate": _mean(attacked["succeeded"]) if is_attack else None,
        "median_l2": _median(changed["l2"]),
        "median_linf": _median(changed["linf"]),
        "forwards_per_sample": record.forwards / n,
        "gradients_per_sample": record.gradients / n,
        "seconds": record.seconds,
        "warnings": record.warnings,
    }


def _mean(values: pd.Series[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _median(values: pd.Series[Any]) -> float | None:
    return float(values.median()) if len(values) else None
