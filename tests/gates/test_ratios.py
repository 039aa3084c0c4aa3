"""The bounds of a mean of ratios."""

import math

import numpy as np
import pytest

from robustbench_lite.gates.ratios import mean_of_ratios

WIDE = (-math.inf, math.inf)


def errors(n=400, columns=15, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=(n, 1))
    return (0.7 * hard + 0.7 * rng.normal(size=(n, columns)) < np.linspace(-0.8, -0.2, columns)) * 1.0


def test_of_one_column_it_is_fiellers_interval():
    """Its ends are the roots r of (N - r D)² = z² · variance of N - r D, of images and two more for the first."""
    above, below = errors(columns=1), errors(columns=1, seed=1)
    found = mean_of_ratios(above, below, None, WIDE)
    assert found.value == pytest.approx(above.mean() / below.mean())
    from scipy.stats import t

    z, n = t.ppf(0.975, 399), 400
    for end in (found.lower(0.025), found.upper(0.025)):
        residual = (above - end * below).ravel()
        extra = 2 / (n + 2) ** 2 * below.mean() ** 2
        assert residual.mean() ** 2 == pytest.approx(z**2 * (residual.var(ddof=1) / n + extra))


def test_of_a_fixed_reference_it_is_the_mean_of_scaled_errors():
    own, fixed = errors(), np.linspace(0.5, 0.9, 15)
    found = mean_of_ratios(own, np.tile(fixed, (400, 1)), None, WIDE)
    scaled = (own / fixed).mean(axis=1)
    assert found.value == pytest.approx(scaled.mean())
    error = math.sqrt(scaled.var(ddof=1) / 400 + 2 / 402**2)
    assert found.upper(0.025) - found.lower(0.025) == pytest.approx(2 * 1.96593 * error, rel=1e-4)


def test_bounds_move_away_as_the_level_falls_and_p_belongs_to_them():
    found = mean_of_ratios(errors(), errors(seed=3), None, WIDE)
    levels = np.geomspace(1e-9, 1 - 1e-9, 60)
    assert (np.diff([found.lower(a) for a in levels]) >= 0).all()
    assert (np.diff([found.upper(a) for a in levels]) <= 0).all()
    limit = found.upper(0.03)
    assert found.p_below(limit) == pytest.approx(0.03, rel=1e-6)
    assert found.p_above(limit) == pytest.approx(0.97, rel=1e-6)
    assert found.p_above(found.lower(0.2)) == pytest.approx(0.2, rel=1e-6)


def test_groups_are_the_units_and_one_group_says_nothing():
    own, other = np.repeat(errors(400), 4, axis=0), np.repeat(errors(400, seed=1), 4, axis=0)
    alone, grouped = (mean_of_ratios(own, other, groups, WIDE) for groups in (None, np.arange(1600) // 4))
    assert math.isfinite(grouped.upper(0.05) - grouped.lower(0.05))
    assert grouped.value == alone.value
    assert grouped.upper(0.05) > alone.upper(0.05)
    assert grouped.lower(0.05) < alone.lower(0.05)
    one = mean_of_ratios(own, other, np.zeros(1600), WIDE)
    assert (one.lower(0.05), one.upper(0.05)) == WIDE


def test_a_denominator_that_may_be_nothing_leaves_no_bounds():
    own, other = errors(), errors(seed=1)
    other[:, 3] = np.arange(400) < 20  # 0.05 ± 0.0109
    found = mean_of_ratios(own, other, None, (0.0, math.inf))
    assert (found.lower(0.05), found.upper(0.05)) == (0.0, math.inf)
    assert found.value == pytest.approx((own.mean(0) / other.mean(0)).mean())
    other[:, 3] = np.arange(400) < 30  # 0.075 ± 0.0132
    assert math.isfinite(mean_of_ratios(own, other, None, (0.0, math.inf)).upper(0.05))
