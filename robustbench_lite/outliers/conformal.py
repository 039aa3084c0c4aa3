"""A threshold with a promise: how many false alarms, and how sure that is with so many images.

The threshold is one of the scores of normal images that were used for nothing else. If later normal images come
as these came (exchangeably), a false alarm has at most the promised probability, whatever the score: split
conformal prediction (Papadopoulos et al., ECML 2002; Vovk, Gammerman & Shafer, *Algorithmic Learning in a Random
World*, 2005, section 4.2). Given the one set of images at hand the realised rate follows a beta distribution
(Vovk, *Conditional validity of inductive conformal predictors*, ACML 2012).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from robustbench_lite.errors import InputError


class Threshold(NamedTuple):
    """Above ``value`` a score is an alarm.

    Args:
        value: the threshold.
        rate: share of false alarms that was promised.
        n: scores that it was chosen from.
        rank: which of them in rising order, 1 to n.
        mean: of the realised rate over all calibration sets of this size; at most the promise.
        rate_low, rate_high: where 95 % of the realised rates lie.
    """

    value: float
    rate: float
    n: int
    rank: int
    mean: float
    rate_low: float
    rate_high: float


def least_images(rate: float) -> int:
    """How many images the promise takes: 99 for 1 %.

    >>> least_images(0.01), least_images(0.05)
    (99, 19)
    """
    return math.ceil((1 - rate) / rate - 1e-9)


def promise(found: Threshold, unit: str = "images") -> str:
    """What a threshold promises, in words; ``unit`` is what the scores were of.

    >>> promise(Threshold(1.0, 0.01, 99, 99, 0.01, 0.0003, 0.0366))
    'at most 1 % of normal images are false alarms, on average over sets of 99; with this set, 0.03 to 3.66 %'
    """
    # Of a part with several pictures one is promised for: that any of them is an alarm is likelier.
    whose = f"{unit}, one picture of each," if unit == "parts" else unit
    whom = f"at most {_percent(found.rate)} % of normal {whose} are false alarms"
    low, high = _percent(found.rate_low), _percent(found.rate_high)
    return f"{whom}, on average over sets of {found.n}; with this set, {low} to {high} %"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")


def threshold(scores: npt.NDArray[np.floating], rate: float) -> Threshold:
    """The score of rank ⌈(n + 1)(1 − rate)⌉.

    Args:
        scores: (n,) of normal images that were used for nothing else.
        rate: share of normal images that may cause an alarm, above 0 and below 1.

    Raises:
        InputError: the rate is no such share, a score is not finite, or there are too few for the promise.
    """
    if not 0 < rate < 1:
        raise InputError(f"{rate:g} is no share of false alarms.", "Give one between 0 and 1, such as 0.01.")
    if not np.isfinite(scores).all():
        raise InputError("a score of a normal image is NaN or infinite.", "Check the images.")
    n = len(scores)
    if n < least_images(rate):
        best = f"{1 / (n + 1):.2g}" if n else ""
        raise InputError(
            f"{n} images cannot promise a share of {rate:g} false alarms; that takes {least_images(rate)}.",
            f"Give more images, or a share of {best} or more." if n else "Give more images.",
        )
    rank = min(n, math.ceil((n + 1) * (1 - rate) - 1e-9))
    above, below = n + 1 - rank, rank  # of the realised rate: Beta(n + 1 - rank, rank)
    low, high = (float(beta.ppf(share, above, below)) for share in (0.025, 0.975))
    value = float(np.sort(scores)[rank - 1])
    return Threshold(value, rate, n, rank, above / (n + 1), low, high)
