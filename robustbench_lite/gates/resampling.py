"""The bootstrap, for what is no mean over images: the same images are drawn again for the run and its baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.random import PCG64, Generator

from robustbench_lite.gates.bounds import Array, Change, Design, Estimate
from robustbench_lite.intervals import Groups

Statistic = Callable[[Array], Array]
"""(B, N) how often each image was drawn -> (B,) the metric of each draw."""

RESAMPLES = 1000
_AT_ONCE = 2**22  # weights that are held at a time: 32 MiB


def draws(n: int, strata: npt.NDArray[Any] | None, groups: Groups) -> Iterator[Array]:
    """(b, N) weights, RESAMPLES rows together: as many images of every stratum as there are, or groups.

    Efron, Annals of Statistics 1979; strata as in Davison and Hinkley, *Bootstrap Methods*, 1997, section 3.2. The
    draws are the same at every call.
    """
    generator = Generator(PCG64(0))
    if groups is not None:
        units, strata = pd.factorize(pd.Series(groups), use_na_sentinel=False)[0], None
    else:
        units = np.arange(n)
    layers = np.zeros(int(units.max()) + 1, int) if strata is None else np.unique(strata, return_inverse=True)[1]
    places = [np.flatnonzero(layers == k) for k in range(int(layers.max()) + 1)]
    step = max(1, _AT_ONCE // n)
    for start in range(0, RESAMPLES, step):
        count = min(step, RESAMPLES - start)
        weights = np.zeros((count, len(layers)))
        for place in places:
            weights[:, place] = generator.multinomial(len(place), np.full(len(place), 1 / len(place)), count)
        yield weights[:, units]


def bounded(
    value: float, drawn: Array, n: int, groups: Groups, least: int, limits: tuple[float, float]
) -> Estimate:
    """Bounds from the spread of the draws: value ± quantile × standard error, Student's quantile with groups.

    Draws that all agree do not mean that the value is known: that of two more images among ``least`` is added to
    the error, as Bonett and Price's interval has it.

    Args:
        value: of the images as they are.
        drawn: (B,) of the draws.
        n: images.
        groups: (N,) or None.
        least: the number of images that the metric rests on.
        limits: what it can be.
    """
    names = None if groups is None else len(pd.unique(pd.Series(groups)))
    if names == 1 or not np.isfinite(drawn).all():
        return Estimate(value, n, lambda a: limits[0], lambda a: limits[1])
    units = Design(n, None if names is None or names == n else names - 1)
    floor = math.sqrt(2) / ((least if names is None else min(least, names)) + 2)
    error = math.hypot(float(drawn.std(ddof=1)), floor)
    return Estimate(
        value,
        n,
        lambda a: max(limits[0], value - units.quantile(a) * error),
        lambda a: min(limits[1], value + units.quantile(a) * error),
    )


def resampled_change(
    before: Statistic,
    after: Statistic,
    *,
    n: int,
    strata: npt.NDArray[Any] | None,
    groups: Groups,
    least: int,
    limits: tuple[float, float],
) -> Change:
    """How far a metric falls and rises from one network to another, on the same images.

    Args:
        before, after: the metric of each network for any weights of the images.
        n: images that both have.
        strata: (N,) images that are drawn apart.
        groups: (N,) or None.
        least: as for ``bounded``.
        limits: of the metric itself.
    """
    once = np.ones((1, n))
    first, last = float(before(once)[0]), float(after(once)[0])
    falls = np.concatenate([before(w) - after(w) for w in draws(n, strata, groups)])
    width = limits[1] - limits[0]
    fall, rise = (
        bounded(sign * (first - last), sign * falls, n, groups, least, (-width, width)) for sign in (1, -1)
    )
    return Change(fall, rise, first, last)
