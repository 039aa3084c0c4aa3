"""A mean of ratios of means: of several errors, each as a share of another network's."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from robustbench_lite.gates.bounds import Array, Design, Estimate
from robustbench_lite.intervals import Groups

_SURE = 5.0  # standard errors that every denominator must be above 0


def mean_of_ratios(
    numerators: Array, denominators: Array, groups: Groups, limits: tuple[float, float]
) -> Estimate:
    """The mean over columns of the ratio of the columns' means.

    The bounds are Fieller's (J. Royal Statistical Society B 1954), of several ratios together: a mean is between
    them if the ratios, all moved by the same to have that mean, do not contradict the images. There are none where
    a denominator is less than five standard errors above 0, or all together are not above it for sure. As for
    shares that change, two images more are added to the variance, so that no interval is ever empty.

    Args:
        numerators: (N, C) of each image.
        denominators: (N, C), the mean of every column above 0.
        groups: (N,) or None.
        limits: what the mean can be.
    """
    n = len(numerators)
    codes = np.arange(n) if groups is None else pd.factorize(pd.Series(groups), use_na_sentinel=False)[0]
    size = int(codes.max()) + 1
    above, below = numerators.mean(axis=0), denominators.mean(axis=0)
    ratios = above / below
    value = float(ratios.mean())
    unknown = Estimate(value, n, lambda a: limits[0], lambda a: limits[1])
    if size == 1:
        return unknown
    pull = ((numerators - ratios * denominators) / below).mean(axis=1) / n
    weight = (denominators / below - 1).mean(axis=1) / n
    a, b = np.bincount(codes, pull), np.bincount(codes, weight)
    each = np.stack([np.bincount(codes, column) for column in ((denominators - below) / n).T])
    correction = size / (size - 1)
    if (below < _SURE * np.sqrt(correction * (each**2).sum(axis=1))).any():
        return unknown
    aa, ab, bb = (
        correction * float(a @ a) + 2 / (size + 2) ** 2,
        correction * float(a @ b),
        correction * float(b @ b),
    )
    units = Design(size, size - 1)

    def end(alpha: float, sign: int) -> float:
        """value + d with d² = z² · (variance of pull - d · weight)."""
        z = units.quantile(alpha)
        sign = sign if z >= 0 else -sign
        square = 1 - z * z * bb
        if square <= 0:
            return limits[sign > 0]
        middle = -z * z * ab
        found = value + (middle + sign * math.sqrt(middle**2 + square * z * z * aa)) / square
        return max(limits[0], min(limits[1], found))

    return Estimate(value, n, lambda a: end(a, -1), lambda a: end(a, 1))
