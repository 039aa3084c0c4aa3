"""Exact tests of a change on the same images, and what many tests at once leave of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import bdtr


def mcnemar(broken: int, mended: int) -> float:
    """Two-sided exact p of McNemar's test (Psychometrika 1947): without a change each is as likely as the other.

    Args:
        broken: images that were right and are wrong now.
        mended: images that were wrong and are right now.
    """
    changed = broken + mended
    return min(1.0, 2 * float(bdtr(min(broken, mended), changed, 0.5))) if changed else 1.0


def change_p(before: npt.NDArray[Any], after: npt.NDArray[Any], groups: npt.NDArray[Any] | None = None) -> float:
    """Two-sided exact p that nothing but chance changed which images are right.

    McNemar's test. Where images come in groups, the groups are the units: the sign test of whether more of a
    group's images broke or were mended, because the pictures of one part do not break on their own.

    Args:
        before: (N,) of 0 and 1.
        after: (N,), of the same images.
        groups: (N,) group names, or None.
    """
    fall = np.asarray(before, dtype=int) - np.asarray(after, dtype=int)
    if groups is not None:
        codes, _ = pd.factorize(pd.Series(groups), use_na_sentinel=False)
        fall = np.bincount(codes, fall)
    return mcnemar(int((fall > 0).sum()), int((fall < 0).sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values as they count where the most striking of several is looked at (Holm, Scand. J. Statistics 1979).

    Those that are at most alpha stand, with a probability of at most alpha that any of them is by chance, whatever
    the tests have to do with each other.
    """
    found = np.asarray(p_values, dtype=float)
    order = np.argsort(found, kind="stable")
    raised = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(raised, 1.0)
    return [float(p) for p in adjusted]
