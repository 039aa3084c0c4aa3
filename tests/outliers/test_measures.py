"""Measures against scikit-learn's and against what can be counted; intervals against their own promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from robustbench_lite.errors import InputError
from robustbench_lite.outliers.measures import (
    alarm_value,
    aupr,
    auroc,
    fpr_at_tpr,
    newcombe,
    with_interval,
)


@pytest.mark.parametrize("decimals", [8, 1, 0])  # 1 and 0 make ties
def test_they_are_those_of_scikit_learn(decimals):
    random = np.random.default_rng(decimals)
    for _ in range(20):
        n, m = random.integers(2, 60, 2)
        normal = random.normal(size=n).round(decimals)
        outlying = random.normal(0.8, 2, size=m).round(decimals)
        truth, scores = np.repeat([0, 1], [n, m]), np.concatenate([normal, outlying])
        assert auroc(normal, outlying) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
        assert aupr(normal, outlying) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
        fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
        assert fpr_at_tpr(normal, outlying) == pytest.approx(fpr[np.argmax(tpr >= 0.95 - 1e-12)], abs=1e-12)


def test_perfect_and_reversed():
    low, high = np.arange(5.0), np.arange(10.0, 14.0)
    assert (auroc(low, high), aupr(low, high), fpr_at_tpr(low, high)) == (1.0, 1.0, 0.0)
    assert (auroc(high, low), fpr_at_tpr(high, low)) == (0.0, 1.0)


def test_no_outlier_or_no_normal_image_is_refused():
    with pytest.raises(InputError, match="no outlier"):
        auroc(np.zeros(3), np.zeros(0))
    with pytest.raises(InputError, match="no normal image"):
        with_interval(np.zeros(0), np.zeros(3))
    with pytest.raises(InputError, match="NaN"):
        auroc(np.array([0.0, np.nan]), np.zeros(3))


@pytest.mark.slow
def test_the_draws_are_a_bootstrap():
    """The spread of the draws is that of resampling by hand."""
    random = np.random.default_rng(0)
    normal, outlying = random.normal(size=40), random.normal(1, 1, 30)
    by_hand = [
        roc_auc_score(
            np.repeat([0, 1], [40, 30]), np.concatenate([random.choice(normal, 40), random.choice(outlying, 30)])
        )
        for _ in range(1500)
    ]
    found = with_interval(normal, outlying, resamples=4000)["auroc"]
    assert found.value == auroc(normal, outlying)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(np.quantile(by_hand, [0.025, 0.975])), abs=0.015)


def test_the_same_seed_draws_the_same():
    random = np.random.default_rng(0)
    normal, outlying = random.normal(size=30), random.normal(1, 1, 20)
    assert with_interval(normal, outlying) == with_interval(normal, outlying)
    assert with_interval(normal, outlying) != with_interval(normal, outlying, seed=1)


def test_pictures_of_one_part_are_one():
    """Every image four times over, in groups: the interval is that of the images alone."""
    random = np.random.default_rng(1)
    normal, outlying = random.normal(size=50), random.normal(1, 1, 50)
    alone = with_interval(normal, outlying)["auroc"]
    groups = np.repeat(np.arange(50), 4)
    grouped = with_interval(
        np.repeat(normal, 4), np.repeat(outlying, 4), normal_groups=groups, outlying_groups=groups
    )
    naive = with_interval(np.repeat(normal, 4), np.repeat(outlying, 4))
    assert grouped["auroc"].ci_high - grouped["auroc"].ci_low == pytest.approx(
        alone.ci_high - alone.ci_low, rel=0.1
    )
    assert naive["auroc"].ci_high - naive["auroc"].ci_low < 0.6 * (alone.ci_high - alone.ci_low)


def test_what_is_separated_has_an_interval_still():
    found = with_interval(np.arange(20.0), np.arange(30.0, 40.0))
    assert found["auroc"].value == found["auroc"].ci_high == 1.0
    assert found["auroc"].ci_low == pytest.approx(newcombe(1.0, 20, 10).low)
    assert 0.8 < found["auroc"].ci_low < 0.97
    assert math.isnan(found["aupr"].ci_low)


def test_newcombes_ends_solve_his_equation():
    for value, n, m in ((1.0, 10, 10), (0.0, 12, 7), (0.8, 30, 40)):
        low, high = newcombe(value, n, m)
        star = (n + m) / 2 - 1
        for theta in {low, high} - {0.0, 1.0}:
            bent = 1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta))
            assert (value - theta) ** 2 == pytest.approx(
                1.959964**2 * theta * (1 - theta) * bent / (n * m), rel=1e-4
            )
        assert low <= value <= high


def test_value_of_an_alarm():
    """One part in a hundred is bad, 90 % of these and 1 % of the good ones alarm: 9 of 18.9 alarms are true."""
    assert alarm_value(0.9, 0.01, 0.01) == pytest.approx(0.009 / (0.009 + 0.0099))
    assert math.isnan(alarm_value(0.0, 0.0, 0.01))


@pytest.mark.slow
@pytest.mark.parametrize(("per_group", "spread"), [(1, 0.0), (4, 1.0)])
def test_the_intervals_cover(per_group, spread):
    """Of 400 sets of 60 + 40 units at least 91 % of the intervals hold the true AUROC, 0.9."""
    shift = 1.2815515594 * math.sqrt(2 * (1 + spread**2))
    random, held = np.random.default_rng(5), 0
    for seed in range(400):
        part = [spread * random.normal(size=k) for k in (60, 40)]
        normal, outlying = (np.repeat(p, per_group) + random.normal(size=per_group * len(p)) for p in part)
        groups = [np.repeat(np.arange(k), per_group) for k in (60, 40)]
        found = with_interval(
            normal,
            outlying + shift,
            normal_groups=groups[0] if per_group > 1 else None,
            outlying_groups=groups[1] if per_group > 1 else None,
            seed=seed,
            resamples=400,
        )["auroc"]
        held += found.ci_low <= 0.9 <= found.ci_high
    assert 0.91 <= held / 400 <= 0.985
