"""Intervals and a test for shares of images: alone, before and after, and where images come in groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

Groups = npt.NDArray[Any] | None
"""(N,) group names; or None, if every image stands for itself."""

_ZERO = 1e-12


class Interval(NamedTuple):
    """Lower and upper end of an interval."""

    low: float
    high: float


class Units(NamedTuple):
    """How many independent images a sample is worth, and the quantile that goes with it."""

    effective: float
    quantile: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion (Wilson, JASA 1927)."""
    return _score_interval(successes / n, n, _normal_quantile(confidence))


def proportion_interval(values: npt.NDArray[Any], groups: Groups = None, confidence: float = 0.95) -> Interval:
    """Interval for the mean of 0/1 values, or of shares; if images come in groups, groups are the units.

    Six pictures of one part are not six parts: Wilson's interval on the pictures would be too narrow. With
    groups this is Wilson's interval for the effective number of images, that is, for as many independent
    images as would make the mean as uncertain as it is between the groups, and with Student's quantile for
    the number of groups (Dean and Pagano, J. Survey Statistics and Methodology 2015). Resampling the groups
    instead covers too little where accuracy is near 1. Where groups do not differ at all, each counts once;
    one group alone says nothing about others. Shares that vary less than 0/1 values of the same mean count
    for more than one image each.

    Args:
        values: (N,) from 0 to 1, N > 0.
        groups: (N,) group names, or None.
        confidence: coverage.
    """
    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    units = _units(values, groups, confidence)
    if units is None:
        return Interval(0.0, 1.0)
    effective, spread = units.effective, float(values.var())
    if spread > _ZERO and ((values > 0) & (values < 1)).any():
        effective *= max(1.0, mean * (1 - mean) / spread)
    return _score_interval(mean, effective, units.quantile)


def paired_interval(
    before: npt.NDArray[Any], after: npt.NDArray[Any], groups: Groups = None, confidence: float = 0.95
) -> Interval:
    """Interval for how much the share of 1 falls from before to after, on the same images.

    The adjusted Wald interval of Bonett and Price (J. Educational and Behavioral Statistics 2012), which covers
    also where hardly an image changes. With groups, for the effective number of images, as in
    ``proportion_interval``.

    Args:
        before: (N,) of 0 and 1, N > 0.
        after: (N,), of the same images.
        groups: (N,) group names, or None.
        confidence: coverage.
    """
    fall = np.asarray(before, dtype=float) - np.asarray(after, dtype=float)
    units = _units(fall, groups, confidence)
    if units is None:
        return Interval(-1.0, 1.0)
    n = units.effective
    lost, gained = ((n * float((sign * fall > 0).mean()) + 1) / (n + 2) for sign in (1, -1))
    centre = lost - gained
    half = units.quantile * math.sqrt((lost + gained - centre**2) / (n + 2))
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def resampled_interval(values: Sequence[float], ratio: float, confidence: float = 0.95) -> Interval:
    """Interval for the mean of a measure over folds, whose networks learnt from much the same images.

    The corrected resampled t of Nadeau and Bengio (Machine Learning 2003), and of Bouckaert and Frank (PAKDD 2004)
    for repeated folds: the variance of the mean is (1/J + ratio) · s², not s²/J.

    Args:
        values: (J,) one per fold, J > 1.
        ratio: images held out over images learnt from, of a fold.
        confidence: coverage.
    """
    found = np.asarray(values, dtype=float)
    half = _student_quantile(confidence, len(found) - 1) * math.sqrt((1 / len(found) + ratio) * found.var(ddof=1))
    return Interval(float(found.mean() - half), float(found.mean() + half))


class Score(NamedTuple):
    """A statistic, and the quantile beyond which it is significant; both 0 where one group says nothing."""

    value: float
    quantile: float

    @property
    def above(self) -> bool:
        """Whether it is significantly above 0."""
        return self.value > self.quantile

    @property
    def below(self) -> bool:
        """Whether it is significantly below 0."""
        return self.value < -self.quantile


def retention_score(
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    share: float,
    groups: Groups = None,
    confidence: float = 0.95,
) -> Score:
    """Whether the accuracy afterwards is above (positive) or below a share of that before, on the same images.

    The score statistic for a ratio of paired proportions (Nam and Blackwelder, Statistics in Medicine 2002), whose
    variance holds where the ratio is exactly the share. It is Wilson's where all are right before, and does not
    fail where hardly an image changes. With groups, for the effective number of images, as in
    ``proportion_interval``.

    Args:
        before: (N,) of 0 and 1, N > 0.
        after: (N,), of the same images.
        share: between 0 and 1.
        groups: (N,) group names, or None.
        confidence: 1 minus the probability that a ratio of exactly the share is called different.
    """
    before, after = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    difference = after - share * before
    units = _units(difference, groups, confidence)
    if units is None:
        return Score(0.0, 0.0)
    both, lost, gained = (float(x.mean()) for x in (before * after, before * (1 - after), (1 - before) * after))
    spread = _spread_at_ratio(both, lost, gained, share)
    if spread <= 0:  # nothing was right, before or after
        return Score(0.0, units.quantile)
    return Score(float(difference.mean()) * math.sqrt(units.effective / spread), units.quantile)


def _spread_at_ratio(both: float, lost: float, gained: float, share: float) -> float:
    """Variance of after - share · before for the most likely table in which the share holds.

    In that table the gained are the positive root u of a quadratic, the lost (1 - share) · s + share · u where s
    is the share of images that are right at all, and the variance share · (gained + lost).
    """
    right = both + lost + gained
    least = right * (1 - share)
    a = share * (1 + share) * right
    b = (1 + share) * least * both - share**2 * right * lost - gained * (share**2 * right - (1 + share) * least)
    c = -gained * least * share * right
    u = 0.0 if a == 0 else (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)
    return share * (u + least + share * u)


def _units(values: npt.NDArray[np.float64], groups: Groups, confidence: float) -> Units | None:
    """What the sample is worth for a mean of these values; None for one group alone."""
    n = len(values)
    if groups is None:
        return Units(n, _normal_quantile(confidence))
    codes, names = pd.factorize(pd.Series(groups), use_na_sentinel=False)
    if len(names) == n:
        return Units(n, _normal_quantile(confidence))
    if len(names) == 1:
        return None
    quantile = _student_quantile(confidence, len(names) - 1)
    mean, alone = float(values.mean()), float(values.var()) / n
    sums, counts = np.bincount(codes, values), np.bincount(codes)
    between = len(names) / (len(names) - 1) * float(((sums - mean * counts) ** 2).sum()) / n**2
    if between <= _ZERO:
        return Units(len(names), quantile)
    return Units(min(n, n * alone / between), quantile)


def _score_interval(mean: float, n: float, z: float) -> Interval:
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - half) if mean > 0 else 0.0, min(1.0, centre + half) if mean < 1 else 1.0)


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _student_quantile(confidence: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + confidence / 2, freedom))
