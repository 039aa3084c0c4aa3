"""Accuracy against eps and the shares of a portfolio: from rows whose answer is known."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from robustbench_lite.intervals import proportion_interval
from robustbench_lite.metrics import kill_shares, robust_accuracy, robustness_curve

# right and found at 1, 2, 4; right and never found; wrong without a change; of the target's class, so not attacked
FIVE = {
    "attacked": [1, 1, 1, 1, 0, 0],
    "correct": [0, 0, 0, 1, 0, 1],
    "l2": [1.0, 2.0, 4.0, 0.0, 0.0, 0.0],
    "group": list("aabbcc"),
}


def rows(**columns):
    return pd.DataFrame({**FIVE, **columns})


def test_an_image_is_robust_up_to_what_was_found():
    points = robust_accuracy(rows(), "l2", [0, 0.5, 1, 1.5, 2, 4, 100], grouped=False)
    assert [round(6 * p.accuracy) for p in points] == [5, 5, 4, 4, 3, 2, 2]
    assert all(
        (p.ci_low, p.ci_high) == tuple(proportion_interval(np.arange(6) < round(6 * p.accuracy))) for p in points
    )


def test_groups_widen_the_band():
    plain, grouped = (robust_accuracy(rows(), "l2", [1.5], grouped=g)[0] for g in (False, True))
    assert grouped.ci_high - grouped.ci_low > plain.ci_high - plain.ci_low


def test_a_budget_that_was_just_met_counts_as_lost():
    found = rows(l2=np.float32([0.1, 0.3, 0.7, 0, 0, 0]))
    assert [round(6 * p.accuracy) for p in robust_accuracy(found, "l2", [0.1, 0.3, 0.7], grouped=False)] == [
        4,
        3,
        2,
    ]


def test_the_curve_falls_from_the_clean_accuracy_to_that_of_the_attack():
    sizes = np.random.default_rng(0).gamma(2, size=400)
    found = pd.DataFrame({"attacked": 1, "correct": 0, "l2": sizes, "group": None})
    curve = robustness_curve(found, "l2", 0.5, grouped=False)
    assert len(curve) <= 25
    assert 0.5 in [p.eps for p in curve]
    assert (curve[0].eps, curve[0].accuracy) == (0, 1)
    assert curve[-1].accuracy == 0
    assert all(a.eps < b.eps and a.accuracy >= b.accuracy for a, b in pairwise(curve))
    for point in curve:  # the empirical distribution, budget by budget
        assert point.accuracy == pytest.approx((sizes > point.eps).mean(), abs=1e-9)


def test_where_nothing_was_found_the_curve_is_flat():
    found = rows(correct=[1, 1, 1, 1, 0, 1])
    assert [(p.eps, round(6 * p.accuracy)) for p in robustness_curve(found, "l2", 0.5, grouped=False)] == [
        (0, 5),
        (0.5, 5),
    ]
    assert [p.eps for p in robustness_curve(found, "l2", None, grouped=False)] == [0]
    assert robustness_curve(found.iloc[:0], "l2", 0.5, grouped=False) == []


def test_values_in_l0_are_whole_numbers():
    counts = rows(l0=[3, 4, 9, 0, 0, 0])
    assert [p.eps for p in robustness_curve(counts, "l0", None, grouped=False)] == [0, 3, 4, 9]


def test_shares_are_of_the_attacked_and_the_largest_comes_first():
    found = rows(by=["pgd", "square", "square", None, None, None])
    assert list(kill_shares(found).items()) == [("square", 0.5), ("pgd", 0.25)]
    assert kill_shares(rows(by=[None] * 6)) == {}
