"""Intervals of a difference and of a mean of shares, against published values and the truth of simulations."""

import numpy as np
import pytest

from robustbench_lite.intervals import paired_interval, proportion_interval, wilson


def pairs(both, lost, gained, neither):
    before = np.repeat([1, 1, 0, 0], [both, lost, gained, neither])
    after = np.repeat([1, 0, 1, 0], [both, lost, gained, neither])
    return before, after


def test_paired_interval_has_the_published_value():
    # The example of ci.prop.ps in Bonett's R package statpsych: 12, 4, 26, 6 give 0.2548067 to 0.6251933.
    assert paired_interval(*pairs(6, 26, 4, 12)) == pytest.approx((0.2548067, 0.6251933), abs=1e-6)


@pytest.mark.parametrize(("p_lost", "p_gained"), [(0.0, 0.0), (0.02, 0.0), (0.1, 0.05), (0.6, 0.0)])
def test_paired_interval_covers_the_truth(p_lost, p_gained):
    rng = np.random.default_rng(0)
    hits = []
    for lost, gained, rest in rng.multinomial(100, [p_lost, p_gained, 1 - p_lost - p_gained], 1000):
        low, high = paired_interval(*pairs(rest, lost, gained, 0))
        hits.append(low <= p_lost - p_gained <= high)
    assert np.mean(hits) > 0.93


def test_a_pair_knows_more_than_two_samples():
    before, after = pairs(80, 5, 0, 15)
    low, high = paired_interval(before, after)
    apart = wilson(85, 100).high - wilson(80, 100).low
    assert high - low < apart / 1.5
    assert low < 0.05 < high


def test_groups_widen_the_paired_interval_where_they_fall_together():
    before = np.ones(120, int)
    after = np.repeat(np.arange(20) >= 6, 6).astype(int)  # whole groups fall
    alone, together = paired_interval(before, after), paired_interval(before, after, np.repeat(np.arange(20), 6))
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert together == pytest.approx(paired_interval(before[::6], after[::6]), abs=0.05)
    assert paired_interval(before, after, np.zeros(120)) == (-1, 1)
    unchanged = paired_interval(before, before, np.repeat(np.arange(20), 6))
    assert unchanged.low < 0 < unchanged.high < 0.2


def test_the_grouped_paired_interval_covers_the_truth():
    rng, hits, naive = np.random.default_rng(1), [], []
    groups = np.repeat(np.arange(30), 6)
    for _ in range(300):
        share = rng.beta(0.6, 2.4, 30)  # a fifth falls, in groups that differ
        after = (rng.random((30, 6)) >= share[:, None]).astype(int).ravel()
        mine, theirs = (paired_interval(np.ones(180), after, g) for g in (groups, None))
        hits.append(mine.low <= 0.2 <= mine.high)
        naive.append(theirs.low <= 0.2 <= theirs.high)
    assert np.mean(hits) > 0.92
    assert np.mean(naive) < 0.9


@pytest.mark.parametrize("grouped", [False, True])
def test_a_mean_of_shares_is_covered_and_better_known_than_one_of_zeros_and_ones(grouped):
    rng, hits, widths = np.random.default_rng(2), [], []
    groups = np.arange(100) // 4 if grouped else None
    for _ in range(500):
        shares = rng.beta(4, 2, 100)
        low, high = proportion_interval(shares, groups)
        hits.append(low <= 2 / 3 <= high)
        widths.append(high - low)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.03)
    assert np.mean(widths) < 0.6 * (wilson(67, 100).high - wilson(67, 100).low)
