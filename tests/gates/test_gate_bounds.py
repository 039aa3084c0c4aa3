"""Bounds, their p, and Holm, against scipy, statsmodels, closed forms and the likelihood itself."""

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from robustbench_lite.gates.bounds import fall, share, tango_score
from robustbench_lite.gates.multiplicity import holm_levels
from robustbench_lite.intervals import paired_interval, proportion_interval


def bits(right, n):
    return np.arange(n) < right


@pytest.mark.parametrize(("method", "name"), [("clopper-pearson", "beta"), ("wilson", "wilson")])
@pytest.mark.parametrize(("right", "n"), [(0, 20), (1, 20), (13, 20), (20, 20), (970, 1000)])
def test_bounds_of_a_share_are_the_ends_of_statsmodels_interval(method, name, right, n):
    found = share(bits(right, n), None, method)
    low, high = proportion_confint(right, n, alpha=0.1, method=name)
    assert (found.lower(0.05), found.upper(0.05)) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("right", "n", "limit"), [(90, 100, 0.95), (3, 50, 0.2), (45, 50, 0.8)])
def test_p_of_a_share_is_that_of_the_binomial_test(right, n, limit):
    found = share(bits(right, n))
    assert found.p_below(limit) == pytest.approx(stats.binomtest(right, n, limit, "less").pvalue, rel=1e-6)
    assert found.p_above(limit) == pytest.approx(stats.binomtest(right, n, limit, "greater").pvalue, rel=1e-6)


def test_bounds_agree_with_the_intervals_of_tables():
    rng = np.random.default_rng(0)
    values, groups = rng.random(120) < 0.7, np.repeat(np.arange(30), 4)
    after = values & (rng.random(120) < 0.9)
    for given in (None, groups):
        found = share(values, given, "wilson")
        assert (found.lower(0.025), found.upper(0.025)) == pytest.approx(proportion_interval(values, given))
        low, high = paired_interval(values, after, given)
        change = fall(values, after, given)
        assert change.lower(0.025) == pytest.approx(low)
        assert change.upper(0.025) >= high - 1e-12


def test_bounds_of_groups_are_wider_and_one_group_says_nothing():
    values = np.repeat(np.arange(20) < 15, 6)
    alone, together = share(values), share(values, np.repeat(np.arange(20), 6))
    assert together.lower(0.05) < alone.lower(0.05)
    assert together.upper(0.05) > alone.upper(0.05)
    one = share(values, np.zeros(120))
    assert (one.lower(0.05), one.upper(0.05)) == (0, 1)
    one = fall(values, values, np.zeros(120))
    assert (one.lower(0.05), one.upper(0.05)) == (-1, 1)


@pytest.mark.parametrize("method", ["clopper-pearson", "wilson"])
@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(25), 4)])
def test_bounds_move_away_from_the_value_as_the_level_falls(method, groups):
    values = bits(80, 100)[np.random.default_rng(0).permutation(100)]
    for found in (share(values, groups, method), fall(values, values[::-1], groups)):
        levels = np.geomspace(1e-9, 0.5, 40)
        lows, highs = [found.lower(a) for a in levels], [found.upper(a) for a in levels]
        assert (np.diff(lows) >= -1e-12).all()
        assert (np.diff(highs) <= 1e-12).all()
        assert found.lower(0.4) <= found.value <= found.upper(0.4)


@pytest.mark.parametrize(("lost", "gained", "n", "limit"), [(8, 2, 100, 0.02), (0, 0, 50, 0.05), (5, 1, 40, 0.0)])
def test_tangos_score_has_the_likelihoods_own_variance(lost, gained, n, limit):
    def minus_log_likelihood(p):  # p of gained; of lost it is p + limit
        parts = ((lost, p + limit), (gained, p), (n - lost - gained, 1 - 2 * p - limit))
        return -sum(k * np.log(max(q, 1e-300)) for k, q in parts if k)

    best = optimize.minimize_scalar(
        minus_log_likelihood,
        (0, (1 - limit) / 2),
        bounds=(0, (1 - limit) / 2),
        method="bounded",
        options={"xatol": 1e-12},
    ).x
    variance = 2 * best + limit * (1 - limit)
    expected = (lost / n - gained / n - limit) * np.sqrt(n / variance)
    assert tango_score(lost / n, gained / n, n, limit) == pytest.approx(expected, abs=1e-4)


def test_tangos_score_for_no_change_is_mcnemars():
    assert tango_score(0.12, 0.05, 100, 0.0) == pytest.approx((12 - 5) / np.sqrt(12 + 5))


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        for _ in range(5):
            p = np.round(rng.beta(0.3, 3, size), 3)  # with ties
            reject = multipletests(p, 0.05, "holm")[0]
            mine = [x <= level for x, level in zip(p, holm_levels(list(p), 0.05), strict=True)]
            assert mine == list(reject)
    assert holm_levels([], 0.05) == []
