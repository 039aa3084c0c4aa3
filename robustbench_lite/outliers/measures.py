"""How well scores tell outliers from normal images: AUROC, AUPR, FPR95, with intervals; the value of an alarm.

Outliers are the positives throughout, and higher scores mean more outlying.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator, default_rng
from scipy.optimize import brentq

from robustbench_lite.errors import InputError
from robustbench_lite.intervals import Groups, Interval

RESAMPLES = 1000
_CHUNK = 2**22
"""Weights that are held at a time: 32 MiB."""
_Z = 1.959963984540054

Scores = npt.NDArray[np.floating]


class Estimate(NamedTuple):
    """A measure and its 95 % interval."""

    value: float
    ci_low: float
    ci_high: float


class _Curve(NamedTuple):
    """Weight of outliers and of normal images at or above each distinct score, falling: (B, u), B weightings."""

    outliers: npt.NDArray[np.float64]
    normals: npt.NDArray[np.float64]

    def auroc(self) -> npt.NDArray[np.float64]:
        tpr, fpr = (_from_zero(part / part[:, -1:]) for part in self)
        return np.asarray(((tpr[:, 1:] + tpr[:, :-1]) / 2 * np.diff(fpr)).sum(1))

    def aupr(self) -> npt.NDArray[np.float64]:
        recall = _from_zero(self.outliers / self.outliers[:, -1:])
        together = self.outliers + self.normals
        precision = np.divide(self.outliers, together, out=np.zeros_like(together), where=together > 0)
        return np.asarray((np.diff(recall) * precision).sum(1))

    def fpr_at(self, tpr: float) -> npt.NDArray[np.float64]:
        found = self.outliers / self.outliers[:, -1:] >= tpr - 1e-12
        fpr = self.normals / self.normals[:, -1:]
        return np.take_along_axis(fpr, found.argmax(1)[:, None], 1)[:, 0]


def auroc(normal: Scores, outlying: Scores) -> float:
    """Probability that an outlier scores higher than a normal image; ties count half."""
    return float(_curve(normal, outlying).auroc()[0])


def aupr(normal: Scores, outlying: Scores) -> float:
    """Average precision: the mean, over the outliers, of the share of outliers among what scores as high."""
    return float(_curve(normal, outlying).aupr()[0])


def fpr_at_tpr(normal: Scores, outlying: Scores, tpr: float = 0.95) -> float:
    """Share of normal images above the highest threshold that finds at least that share of the outliers."""
    return float(_curve(normal, outlying).fpr_at(tpr)[0])


def with_interval(
    normal: Scores,
    outlying: Scores,
    *,
    normal_groups: Groups = None,
    outlying_groups: Groups = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """``auroc``, ``aupr`` and ``fpr95`` with their intervals, by the percentile bootstrap.

    Normal images and outliers are drawn apart, each as many as there are; with groups, groups are drawn. Where all
    draws agree, as where the scores separate the two altogether, the interval of the AUROC is that of Newcombe,
    Statistics in Medicine 25(4), 2006, method 5, with groups as images, and the others have none (NaN).

    Args:
        normal, outlying: scores (n,) and (m,), n, m > 0.
        normal_groups, outlying_groups: a group per image, of pictures of one part.
        seed: of the draws.
        resamples: how many draws.

    Raises:
        InputError: one of the two is empty, or a score is not finite.
    """
    curve = _curve(normal, outlying)
    best = {"auroc": curve.auroc()[0], "aupr": curve.aupr()[0], "fpr95": curve.fpr_at(0.95)[0]}
    random = default_rng(seed)
    drawn: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in best}
    done, step = 0, max(1, _CHUNK // (len(normal) + len(outlying)))
    while done < resamples:
        count = min(step, resamples - done)
        weights = [
            _weights(random, count, len(s), g) for s, g in ((normal, normal_groups), (outlying, outlying_groups))
        ]
        found = _curve(normal, outlying, *weights)
        for name, values in (("auroc", found.auroc()), ("aupr", found.aupr()), ("fpr95", found.fpr_at(0.95))):
            drawn[name].append(values)
        done += count
    result = {}
    for name, value in best.items():
        low, high = np.quantile(np.concatenate(drawn[name]), [0.025, 0.975])
        result[name] = Estimate(float(value), float(low), float(high))
    if result["auroc"].ci_high - result["auroc"].ci_low < 1e-12:
        units = (_units(normal, normal_groups), _units(outlying, outlying_groups))
        result["auroc"] = Estimate(result["auroc"].value, *newcombe(result["auroc"].value, *units))
        for name in ("aupr", "fpr95"):
            result[name] = Estimate(result[name].value, math.nan, math.nan)
    return result


def newcombe(value: float, n: int, m: int) -> Interval:
    """95 % interval for an AUROC found on n normal images and m outliers; of use where it is 0 or 1.

    Newcombe, *Confidence intervals for an effect size measure based on the Mann–Whitney statistic, part 2*,
    Statistics in Medicine 25(4), 2006: method 5, a score interval.
    """
    star = (n + m) / 2 - 1

    def excess(theta: float) -> float:
        spread = theta * (1 - theta) * (1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (n * m)
        return (theta - value) ** 2 - _Z**2 * spread

    low = 0.0 if value <= 0 else float(brentq(excess, 0.0, value - 1e-12)) if excess(0.0) > 0 else 0.0
    high = 1.0 if value >= 1 else float(brentq(excess, value + 1e-12, 1.0)) if excess(1.0) > 0 else 1.0
    return Interval(low, high)


def alarm_value(tpr: float, false_alarm_rate: float, defect_rate: float) -> float:
    """Probability that an alarm is a true one where that share of all images is outlying; NaN: no alarm ever."""
    true, false = tpr * defect_rate, false_alarm_rate * (1 - defect_rate)
    return true / (true + false) if true + false > 0 else math.nan


def _curve(
    normal: Scores,
    outlying: Scores,
    normal_weights: npt.NDArray[np.float64] | None = None,
    outlying_weights: npt.NDArray[np.float64] | None = None,
) -> _Curve:
    if not len(normal) or not len(outlying):
        missing = "no outlier" if len(normal) else "no normal image"
        raise InputError(f"there is {missing} among the images.", "It takes both: give --normal and such data.")
    together = np.concatenate([normal, outlying]).astype(np.float64)
    if not np.isfinite(together).all():
        raise InputError("a score is NaN or infinite.", "Check the images.")
    _, places = np.unique(-together, return_inverse=True)
    parts = []
    for start, scores, weights in ((len(normal), outlying, outlying_weights), (0, normal, normal_weights)):
        weights = np.ones((1, len(scores))) if weights is None else weights
        order = np.argsort(places[start : start + len(scores)], kind="stable")
        ranked = places[start : start + len(scores)][order]
        # How much weight is at or above each of the distinct scores of both.
        summed = _from_zero(np.cumsum(weights[:, order], axis=1))
        parts.append(summed[:, np.searchsorted(ranked, np.arange(places.max() + 1), side="right")])
    return _Curve(*parts)


def _from_zero(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([np.zeros((len(values), 1)), values], axis=1)


def _weights(random: Generator, count: int, n: int, groups: Groups) -> npt.NDArray[np.float64]:
    """How often each of n images is drawn, (count, n)."""
    units = _units_of(n, groups)
    size = int(units.max()) + 1
    drawn = random.multinomial(size, np.full(size, 1 / size), count).astype(np.float64)
    return drawn[:, units]


def _units_of(n: int, groups: Groups) -> npt.NDArray[np.intp]:
    return np.arange(n) if groups is None else np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]


def _units(scores: Scores, groups: Groups) -> int:
    return int(_units_of(len(scores), groups).max()) + 1
