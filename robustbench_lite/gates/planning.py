"""How many images a rule needs, so that a network that deserves it passes with a stated probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator
from pydantic import BaseModel, ConfigDict
from scipy.special import bdtr, bdtrc, bdtrik, ndtri

from robustbench_lite.gates.bounds import Array
from robustbench_lite.gates.comparing import Comparison
from robustbench_lite.gates.deciding import Judged
from robustbench_lite.gates.rule import GateSettings
from robustbench_lite.gates.wording import written

POWER = 0.8
MOST = 10_000_000  # images; more are not planned for
_DRAWS = 4000
_ROUGH = ("worst_class", "ece", "auroc", "median_distortion")  # not as sure as the root says: docs/gates.md


class Plan(BaseModel):
    """What one comparison needs."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    rule: str
    run: str
    condition: str
    class_name: str = ""
    n: int  # that it has
    needed: int | None  # for a PASS with the power; None: no number of images, or none is known
    power: float
    assumed: str  # the truth that is assumed, in words


class Design(NamedTuple):
    """The truth that is assumed."""

    needed: int | None
    words: str


def plans(
    judged: Sequence[Judged], settings: GateSettings, margin: float | None = None, power: float = POWER
) -> list[Plan]:
    """For every comparison the number of images that a PASS takes.

    Of ``min`` and ``max`` the truth is taken as what was observed, or as ``margin`` on the good side of the
    limit; of ``max_drop`` and ``max_rise`` as no change, with as many images that change either way as were
    observed. A number that is no share, and no change of one, is assumed to become surer with the root of the
    number of images.

    Args:
        judged: comparisons of runs at hand.
        settings: confidence, and the interval of a share.
        margin: how far the truth is from the limit; None: as observed.
        power: probability of a PASS.
    """
    found = []
    for one in judged:
        comparison = one.comparison
        if comparison.estimate is None or comparison.limit is None:
            continue
        needed, words = needed_images(comparison, settings, margin, power)
        found.append(
            Plan(
                rule=comparison.rule.id,
                run=comparison.run,
                condition=comparison.subject.name,
                class_name=comparison.subject.class_name,
                n=comparison.estimate.n,
                needed=needed,
                power=power,
                assumed=words,
            )
        )
    return found


def needed_images(
    one: Comparison, settings: GateSettings, margin: float | None = None, power: float = POWER
) -> Design:
    """The number of images for one comparison, and the truth that it assumes. Arguments as for ``plans``."""
    estimate, limit, alpha = one.estimate, one.limit, 1 - settings.confidence
    assert estimate is not None
    assert limit is not None
    worth = 1.0 if estimate.effective is None else max(estimate.effective, 1.0) / estimate.n
    least = one.rule.min_n or 1

    def images(independent: int | None) -> int | None:
        return None if independent is None else max(least, math.ceil(independent / worth))

    if one.change is not None:
        if margin is not None and margin > limit:
            margin = limit
        shift = 0.0 if margin is None else limit - margin
        words = "no change" if shift == 0 else f"a change of {written(shift, one.metric.unit, change=True)}"
        if one.change.broken is None or one.change.mended is None:
            rough = _with_care(words, one.metric.name)
            return Design(images(_by_root(estimate.value, shift, limit, one, alpha, power)), rough)
        changed = max(one.change.broken + one.change.mended, 1) / estimate.n
        words += f", {written(changed, 'share')} of the images change"
        return Design(images(paired_images(limit, changed, shift, alpha, power)), words)
    sign = 1 if one.bound == "min" else -1
    truth = estimate.value if margin is None else limit + sign * margin
    words = written(truth, one.metric.unit) + (", as observed" if margin is None else "")
    if sign * (truth - limit) <= 0 or not math.isfinite(truth):
        return Design(None, f"{words}: it would not pass")
    if one.metric.counts:
        good = (truth, limit) if sign > 0 else (1 - truth, 1 - limit)
        return Design(images(share_images(good[1], good[0], alpha, power, settings.proportion)), words)
    rough = _with_care(words, one.metric.name)
    return Design(images(_by_root(estimate.value, truth, limit, one, alpha, power)), rough)


def share_images(limit: float, truth: float, alpha: float, power: float, method: str) -> int | None:
    """Images for a share of at least the limit to be shown, by the binomial distribution itself."""
    if not limit < truth <= 1 or limit >= 1:
        return None

    def passes(n: int) -> float:
        return share_power(n, limit, truth, alpha, method)

    return _smallest(passes, power)


def share_power(n: int, limit: float, truth: float, alpha: float, method: str = "clopper-pearson") -> float:
    """Probability that n images show a share of at least the limit."""
    if method == "wilson":
        wanted = n * limit - ndtri(alpha) * math.sqrt(n * limit * (1 - limit))
        fewest = math.floor(wanted) + 1
    else:  # the fewest of which so many or more have a probability of at most alpha
        fewest = math.floor(bdtrik(1 - alpha, n, limit)) + 1 if limit > 0 else 1
        while fewest <= n and bdtrc(fewest - 1, n, limit) > alpha:
            fewest += 1
        while fewest > 0 and bdtrc(fewest - 2, n, limit) <= alpha:
            fewest -= 1
    if fewest > n:
        return 0.0
    return 1.0 if fewest <= 0 else float(1 - bdtr(fewest - 1, n, truth))


def paired_images(limit: float, changed: float, shift: float, alpha: float, power: float) -> int | None:
    """Images for a change of at most the limit to be shown, by simulation of the tables of right and wrong.

    Args:
        limit: the greatest change that is allowed, above 0.
        changed: share of images that change, either way.
        shift: the true change; 0: as many change in each direction.
        alpha: level of the test.
        power: probability of a PASS.
    """
    if shift >= limit:
        return None
    return _smallest(lambda n: paired_power(n, limit, changed, shift, alpha), power)


def paired_power(n: int, limit: float, changed: float, shift: float, alpha: float) -> float:
    """Probability that n images show a change of at most the limit. Arguments as for ``paired_images``."""
    changed = min(1.0, max(changed, abs(shift)))
    shares = [(changed + shift) / 2, (changed - shift) / 2, 1 - changed]
    lost, gained, _ = Generator(PCG64(0)).multinomial(n, shares, _DRAWS).T / n
    z = -float(ndtri(alpha))
    return float((shown_below(lost, gained, n, limit, z)).mean())


def shown_below(lost: Array, gained: Array, n: int, limit: float, z: float) -> npt.NDArray[np.bool_]:
    """Whether tables show a fall below the limit: whether both upper bounds of ``bounds.fall`` are below it."""
    centre = n * (lost - gained) / (n + 2)
    error = np.sqrt(((n * (lost + gained) + 2) / (n + 2) - centre**2) / (n + 2))
    a, b = 2.0, -lost - gained + (2 - lost + gained) * limit
    root = np.sqrt(np.maximum(0, b * b + 4 * a * gained * limit * (1 - limit)))
    variance = 2 * (root - b) / (2 * a) + limit * (1 - limit)
    score = (lost - gained - limit) * np.sqrt(n / np.maximum(variance, 1e-300))
    return np.asarray((centre + z * error < limit) & (score < -z) & (variance > 0))


def _with_care(words: str, metric: str) -> str:
    return f"{words} (a rough number)" if metric in _ROUGH else words


def _by_root(value: float, truth: float, limit: float, one: Comparison, alpha: float, power: float) -> int | None:
    """From how sure the number is now, if that goes with the root of the number of images."""
    estimate = one.estimate
    assert estimate is not None
    bound = estimate.lower(alpha) if one.bound == "min" else estimate.upper(alpha)
    quantile = -float(ndtri(alpha))
    error, room = abs(bound - value) / quantile, abs(limit - truth)
    if room == 0 or not math.isfinite(error):
        return None
    size = (estimate.effective or estimate.n) * ((quantile + float(ndtri(power))) * error / room) ** 2
    return max(1, math.ceil(size)) if size <= MOST else None


def _smallest(passes: Callable[[int], float], power: float) -> int | None:
    """About the smallest number from which the power is reached; it rises with saw teeth."""
    high = 8
    while passes(high) < power:
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > max(1, high // 500):
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) >= power else (middle, high)
    return high
