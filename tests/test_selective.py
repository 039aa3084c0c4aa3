"""What a detector makes of the predictions, against a count by hand and against every order of tied images."""

import itertools

import numpy as np
import pandas as pd
import pytest

from robustbench_lite.intervals import proportion_interval
from robustbench_lite.selective import beside, risk_coverage


def by_brute_force(scores, wrong):
    """Mean over all orders that rise: of N ≤ 7 images they can be written down."""
    curves = [
        [np.mean([wrong[i] for i in order[: k + 1]]) for k in range(len(order))]
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] <= scores[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean(curves, axis=0)


@pytest.mark.parametrize("seed", range(6))
def test_the_curve_is_the_mean_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    scores, wrong = rng.integers(0, 3, n).astype(float), rng.integers(0, 2, n)
    if seed % 2:
        scores[0] = np.inf
    assert np.allclose(risk_coverage(scores, wrong), by_brute_force(scores.tolist(), wrong.tolist()))


def test_a_perfect_score_a_useless_one_and_the_published_best_area():
    wrong = np.r_[np.zeros(80), np.ones(20)].astype(int)
    best = risk_coverage(wrong.astype(float), wrong)
    assert best[79] == 0
    assert best[-1] == pytest.approx(0.2)
    # Geifman, Uziel & El-Yaniv (ICLR 2019): for many images r + (1 - r) ln(1 - r)
    assert best.mean() == pytest.approx(0.2 + 0.8 * np.log(0.8), abs=0.002)
    assert np.allclose(risk_coverage(np.zeros(100), wrong), 0.2)


def rows(correct, flagged, outlier, confidence, group=None):
    return pd.DataFrame(
        {
            "correct": correct,
            "flagged": flagged,
            "outlier": outlier,
            "confidence": confidence,
            "group": group or [None] * len(correct),
        }
    )


def made(group=None):
    correct = [1, 1, 1, 1, 0, 0, 0, 1, 1, 0]
    flagged = [0, 0, 0, 1, 1, 1, 0, 0, 0, 1]
    return rows(correct, flagged, np.arange(10.0), np.linspace(0.9, 0.5, 10), group)


def test_shares_counted_by_hand():
    found = beside(made(), grouped=False)
    assert found["passed"] == pytest.approx(6 / 10)
    assert found["accuracy_passed"] == pytest.approx(5 / 6)
    assert found["caught"] == pytest.approx(3 / 4)
    assert found["false_alarm_rate"] == pytest.approx(1 / 6)
    assert found["slipped"] == pytest.approx(1 / 10)
    assert (found["n_passed"], found["n_wrong"], found["n_right"]) == (6, 4, 6)
    interval = proportion_interval(np.array([1, 1, 1, 1, 1, 0]))
    assert (found["accuracy_passed_low"], found["accuracy_passed_high"]) == interval
    # The identity that ties them: what is right is right and passed, or right and flagged.
    right = found["accuracy_passed"] * found["passed"] + found["false_alarm_rate"] * (1 - 4 / 10)
    assert right == pytest.approx(6 / 10)
    assert [p["coverage"] for p in found["curve"]] == pytest.approx([k / 10 for k in range(1, 11)])
    assert found["curve"][-1]["risk"] == pytest.approx(0.4) == found["curve"][-1]["risk_confidence"]
    assert found["aurc"] == pytest.approx(found["aurc_confidence"])  # the same order
    assert found["aurc_best"] <= found["aurc"]


def test_intervals_are_for_groups_where_there_are_some():
    group = list("aabbccddee")
    together, apart = beside(made(group), grouped=True), beside(made(), grouped=False)
    expected = proportion_interval(np.array([1, 1, 1, 0, 1, 1]), np.array(list("aabdde")))
    assert (together["accuracy_passed_low"], together["accuracy_passed_high"]) == expected
    assert together["accuracy_passed"] == apart["accuracy_passed"]


def test_nothing_passed_nothing_wrong_and_no_detector():
    found = beside(rows([1, 1], [1, 1], [9.0, np.inf], [0.5, np.nan]), grouped=False)
    assert found["accuracy_passed"] is None
    assert found["caught"] is None
    assert found["passed"] == 0
    assert found["aurc"] == 0
    assert beside(rows([1, 0], [0, 0], [np.nan, np.nan], [0.5, 0.5]), grouped=False) is None


def test_a_long_curve_is_kept_at_twenty_places():
    rng = np.random.default_rng(0)
    many = rows(rng.integers(0, 2, 1000), rng.integers(0, 2, 1000), rng.random(1000), rng.random(1000))
    found = beside(many, grouped=False)
    assert [p["coverage"] for p in found["curve"]] == pytest.approx([k / 20 for k in range(1, 21)])
