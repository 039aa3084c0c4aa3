"""One-sided confidence bounds at any level, and the p that goes with them.

A verdict asks whether a bound clears a limit; its p is the smallest level at which the bound does. So p, interval
and verdict cannot contradict each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betaincinv, ndtri, stdtrit

from robustbench_lite.intervals import Groups

Array = npt.NDArray[np.float64]
Bound = Callable[[float], float]
"""Level alpha between 0 and 1 -> the bound that the truth is beyond with a probability of at most alpha."""

_ZERO = 1e-12
_HALVINGS = 60
_SMALLEST = 1e-12  # of a level


@dataclass(frozen=True)
class Estimate:
    """A number, how many images it is from, and how far the truth may be from it.

    Args:
        value: the point estimate.
        n: images.
        lower, upper: one-sided bounds, which move away from the value as the level falls.
        effective: independent images that these are worth; None if that is no help.
    """

    value: float
    n: int
    lower: Bound
    upper: Bound
    effective: float | None = None

    def p_above(self, limit: float) -> float:
        """p of the test of a truth at or below the limit, against one above it."""
        return _smallest_level(lambda alpha: self.lower(alpha) > limit)

    def p_below(self, limit: float) -> float:
        """p of the test of a truth at or above the limit, against one below it."""
        return _smallest_level(lambda alpha: self.upper(alpha) < limit)

    def scaled(self, factor: float) -> Estimate:
        """Of the number times a positive factor."""
        return Estimate(
            self.value * factor,
            self.n,
            lambda a: self.lower(a) * factor,
            lambda a: self.upper(a) * factor,
            self.effective,
        )


class Change(NamedTuple):
    """How far a metric falls from a baseline to a run; and how far it rises, with bounds of its own."""

    fall: Estimate
    rise: Estimate
    before: float
    after: float
    broken: int | None = None  # images that were right, and are wrong now
    mended: int | None = None
    p_change: float | None = None  # McNemar's


def apart(one: Estimate, other: Estimate) -> Estimate:
    """One number minus another, whatever they have to do with each other: the bounds of both at half the level."""
    return Estimate(
        one.value - other.value,
        one.n,
        lambda a: one.lower(a / 2) - other.upper(a / 2),
        lambda a: one.upper(a / 2) - other.lower(a / 2),
        one.effective,
    )


def _smallest_level(clears: Callable[[float], bool]) -> float:
    low, high = math.log(_SMALLEST), 0.0
    if clears(_SMALLEST):
        return _SMALLEST
    if not clears(1 - 1e-9):
        return 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if clears(math.exp(middle)) else (middle, high)
    return math.exp(high)


class Design(NamedTuple):
    """What a sample is worth for a mean: independent images, and degrees of freedom if images come in groups."""

    effective: float
    freedom: int | None

    def quantile(self, alpha: float) -> float:
        """That the standardised mean is above with this probability: of Student's t with groups."""
        return float(-ndtri(alpha) if self.freedom is None else -stdtrit(self.freedom, alpha))


def design(values: Array, groups: Groups) -> Design | None:
    """Counts images of groups as ``intervals.proportion_interval`` does; None for one group alone."""
    n = len(values)
    if groups is None:
        return Design(n, None)
    codes, names = pd.factorize(pd.Series(groups), use_na_sentinel=False)
    if len(names) == n:
        return Design(n, None)
    if len(names) == 1:
        return None
    mean, alone = float(values.mean()), float(values.var()) / n
    sums, counts = np.bincount(codes, values), np.bincount(codes)
    between = len(names) / (len(names) - 1) * float(((sums - mean * counts) ** 2).sum()) / n**2
    effective = len(names) if between <= _ZERO else min(n, n * alone / between)
    return Design(effective, len(names) - 1)


def share(values: npt.NDArray[Any], groups: Groups = None, method: str = "clopper-pearson") -> Estimate:
    """The mean of 0/1 values, or of shares from 0 to 1.

    Clopper and Pearson, Biometrika 1934, for the effective number of images and with Student's quantile if these
    come in groups (Korn and Graubard, Survey Methodology 1998); or Wilson, JASA 1927.

    Args:
        values: (N,), N > 0.
        groups: (N,) or None.
        method: ``clopper-pearson`` or ``wilson``.
    """
    values = np.asarray(values, dtype=float)
    mean, spread = float(values.mean()), float(values.var())
    found = design(values, groups)
    if found is None:
        return Estimate(mean, len(values), lambda a: 0.0, lambda a: 1.0, 1.0)
    effective = found.effective
    if spread > _ZERO and ((values > 0) & (values < 1)).any():
        effective *= max(1.0, mean * (1 - mean) / spread)
    whole = Design(effective, found.freedom)
    lower, upper = (clopper_bounds, _wilson)[method == "wilson"](mean, whole)
    return Estimate(mean, len(values), lower, upper, effective)


def clopper_bounds(mean: float, units: Design) -> tuple[Bound, Bound]:
    """The bounds of Clopper and Pearson for a share of so many independent images."""

    def size(alpha: float) -> float:
        level = min(alpha, 0.25)  # beyond, both quantiles go to 0
        return units.effective * float(ndtri(level) / units.quantile(level)) ** 2

    def lower(alpha: float) -> float:
        n = size(alpha)
        return float(betaincinv(n * mean, n - n * mean + 1, alpha)) if mean > 0 else 0.0

    def upper(alpha: float) -> float:
        n = size(alpha)
        return float(betaincinv(n * mean + 1, n - n * mean, 1 - alpha)) if mean < 1 else 1.0

    return lower, upper


def _wilson(mean: float, units: Design) -> tuple[Bound, Bound]:
    n = units.effective

    def end(z: float) -> float:
        centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
        return centre + z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))

    return (
        lambda alpha: max(0.0, end(-units.quantile(alpha))) if mean > 0 else 0.0,
        lambda alpha: min(1.0, end(units.quantile(alpha))) if mean < 1 else 1.0,
    )


def fall(before: npt.NDArray[Any], after: npt.NDArray[Any], groups: Groups = None) -> Estimate:
    """How far a mean falls from before to after, on the same images: values from 0 to 1.

    The lower bound is the adjusted Wald bound of Bonett and Price (J. Educational and Behavioral Statistics
    2012): two images are added, one that fell by 1 and one that rose by 1. So is the upper bound, or, of 0/1
    values, Tango's score bound (Statistics in Medicine 1998) where that is further up: if nearly all images
    change in one direction, and few happened to, then a variance that is estimated from these few is too small.

    Args:
        before: (N,), N > 0.
        after: (N,), of the same images.
        groups: (N,) or None.
    """
    difference = np.asarray(before, dtype=float) - np.asarray(after, dtype=float)
    mean, n = float(difference.mean()), len(difference)
    units = design(difference, groups)
    if units is None:
        return Estimate(mean, n, lambda a: -1.0, lambda a: 1.0, 1.0)
    size = units.effective + 2
    centre = units.effective * mean / size
    square = (units.effective * float((difference**2).mean()) + 2) / size
    error = math.sqrt((square - centre**2) / size)
    lost, gained = float((difference == 1).mean()), float((difference == -1).mean())
    whole = bool(((difference == 0) | (np.abs(difference) == 1)).all())

    def upper(alpha: float) -> float:
        adjusted = centre + units.quantile(alpha) * error
        return min(1.0, max(adjusted, _tango_upper(lost, gained, units, alpha)) if whole else adjusted)

    return Estimate(
        mean, n, lambda alpha: max(-1.0, centre - units.quantile(alpha) * error), upper, units.effective
    )


def tango_score(lost: float, gained: float, n: float, limit: float) -> float:
    """Tango's statistic for a fall of exactly the limit: below 0 where the shares say that it is less.

    Args:
        lost, gained: shares of the n images that changed in either direction.
        n: images, above 0.
        limit: between -1 and 1.
    """
    a, b = 2.0, -lost - gained + (2 - lost + gained) * limit
    root = max(0.0, b * b + 4 * a * gained * limit * (1 - limit))
    variance = 2 * (math.sqrt(root) - b) / (2 * a) + limit * (1 - limit)
    return (lost - gained - limit) * math.sqrt(n / variance) if variance > _ZERO else 0.0


def _tango_upper(lost: float, gained: float, units: Design, alpha: float) -> float:
    wanted = -units.quantile(alpha)
    low, high = lost - gained, 1.0
    if wanted > 0:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if tango_score(lost, gained, units.effective, middle) < wanted else (middle, high)
        )
    return high
