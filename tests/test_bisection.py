"""The breaking point of curves whose truth is known, and the coverage of its interval."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from robustbench_lite.bisection import Search
from robustbench_lite.intervals import _spread_at_ratio, retention_score

SCAN = [1.0, 2.0, 3.0, 4.0, 5.0]


def rows(correct, groups=None):
    n = len(correct)
    group = [None] * n if groups is None else [f"g{g}" for g in groups]
    return pd.DataFrame({"index": range(n), "correct": np.asarray(correct).astype(int), "group": group})


def sought(right_at, share=0.9, tolerance=0.05, groups=None, scan=SCAN):
    """The breaking point of images that are right at a severity as the function says; severity 0 is clean."""
    search = Search("night", rows(right_at(0), groups), share, scan, tolerance, grouped=groups is not None)
    rounds = 0
    while wanted := search.wanted():
        rounds += 1
        for severity in wanted:
            search.add(severity, rows(right_at(severity), groups))
    return search.result(), rounds


def falling(n=1000, last=10.0):
    """Image i is right up to a severity of its own, evenly spread from 0 to ``last``."""
    limits = (np.arange(n) + 0.5) / n * last
    return lambda severity: limits > severity


@pytest.mark.parametrize(("share", "truth"), [(0.9, 1.0), (0.75, 2.5), (0.55, 4.5)])
@pytest.mark.parametrize("tolerance", [0.2, 0.05, 0.01])
def test_the_place_is_found_to_the_tolerance(share, truth, tolerance):
    point, rounds = sought(falling(), share, tolerance)
    assert truth - 1e-9 <= point.severity <= truth + tolerance
    assert point.ci_low < truth < point.ci_high
    assert rounds <= 1 + np.ceil(np.log2(1 / tolerance))
    assert len(point.severities) <= 5 + 3 * (rounds - 1)
    assert point.severities == sorted(set(point.severities))
    assert point.notes == []


def test_the_interval_is_where_the_statistic_meets_its_quantile():
    right_at = falling()
    point, _ = sought(right_at, tolerance=0.01)
    scores = {s: retention_score(right_at(0), right_at(s), 0.9) for s in (point.ci_low, point.ci_high)}
    assert scores[point.ci_low].value == pytest.approx(1.96, abs=0.15)
    assert scores[point.ci_high].value == pytest.approx(-1.96, abs=0.15)


def test_more_images_make_it_narrower():
    few, many = (sought(falling(n), tolerance=0.01)[0] for n in (100, 10_000))
    assert few.ci_high - few.ci_low > 5 * (many.ci_high - many.ci_low)


def test_what_never_falls_says_so_and_has_an_open_interval():
    point, rounds = sought(lambda severity: np.ones(1000))
    assert (point.severity, point.ci_high, point.ci_low, rounds) == (None, None, 5.0, 1)
    assert point.notes == ["does not fall below until severity 5"]


def test_what_falls_at_once_says_so():
    point, _ = sought(lambda severity: np.full(1000, severity == 0))
    assert point.severity == pytest.approx(0.0312)
    assert point.notes == ["already below at severity 0.0312"]
    assert point.ci_low == 0


def test_a_curve_that_comes_back_is_seen():
    point, _ = sought(lambda severity: np.arange(1000) < (500 if 1.5 < severity < 2.5 else 1000))
    assert point.severity == pytest.approx(1.5, abs=0.05)
    assert point.notes == ["not monotone: no longer below at severity 3; the first fall is told"]


def test_too_few_images_are_said_to_be():
    point, _ = sought(falling(20))
    assert point.ci_low == 0
    assert any("too few images" in note for note in point.notes)


def test_no_image_right_at_all_is_no_search():
    point, rounds = sought(lambda severity: np.zeros(50))
    assert rounds == 0
    assert point.notes == ["no image is right as it is: nothing can fall"]
    assert point.severity is None


def test_the_scan_may_be_anything():
    point, _ = sought(falling(), scan=[0.5, 4.0])
    assert 1 <= point.severity <= 1.05
    assert sought(falling(), scan=[0.5])[0].notes == ["does not fall below until severity 0.5"]


def test_groups_widen_the_interval_and_one_group_allows_none():
    right_at = falling(600)
    alone, _ = sought(right_at)
    grouped, _ = sought(right_at, groups=np.arange(600) // 20)  # of one group all fall together
    assert grouped.severity == alone.severity
    assert grouped.ci_high - grouped.ci_low > 2 * (alone.ci_high - alone.ci_low)
    one, _ = sought(right_at, groups=np.zeros(600, int))
    assert (one.ci_low, one.ci_high) == (0, None)
    assert one.severity == alone.severity
    assert "one group of images alone allows no interval" in one.notes


@pytest.mark.slow
@pytest.mark.parametrize("group_size", [1, 4])
def test_the_interval_covers_the_truth(group_size):
    """5 % are wrong before; the right ones fall at severities of their own, whose 10 % quantile is 1."""
    rng, hits = np.random.default_rng(0), []
    for _ in range(150):
        limits = np.repeat(rng.uniform(0, 10, 240 // group_size), group_size)
        clean = rng.random(240) < 0.95
        groups = None if group_size == 1 else np.repeat(np.arange(60), 4)
        point, _ = sought(lambda s: clean & (limits > s), groups=groups, tolerance=0.1)  # noqa: B023
        hits.append(point.ci_low <= 1 <= (np.inf if point.ci_high is None else point.ci_high))
    assert np.mean(hits) > 0.91


def test_the_variance_is_that_of_the_most_likely_table():
    rng = np.random.default_rng(0)
    for _ in range(20):
        both, lost, gained, _ = rng.dirichlet([5, 2, 1, 1])
        share = rng.uniform(0.5, 0.99)
        right = both + lost + gained

        def minus_likelihood(u):
            others = right * (1 - share) + share * u  # noqa: B023
            return -(both * np.log(right - others - u) + lost * np.log(others) + gained * np.log(u))  # noqa: B023

        most = share * right / (1 + share)
        u = minimize_scalar(minus_likelihood, bounds=(1e-9, most - 1e-9), method="bounded").x
        truth = share * (2 * u + right * (1 - share) - (1 - share) * u)
        assert _spread_at_ratio(both, lost, gained, share) == pytest.approx(truth, rel=1e-3)


def test_where_all_are_right_before_it_is_wilsons_test():
    """35 of 35 right excludes 0.9, 34 of 34 does not: z² / (n + z²) = 0.0989 and 0.1015."""
    assert retention_score(np.ones(35), np.ones(35), 0.9).above
    assert not retention_score(np.ones(34), np.ones(34), 0.9).above
    assert retention_score(np.zeros(9), np.zeros(9), 0.9).value == 0
