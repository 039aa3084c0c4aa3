from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustbench_lite.intervals import proportion_interval, wilson
from robustbench_lite.metrics import summarise
from robustbench_lite.records import ConditionRecord, DataRecord, RunRecord, ThreatModel
from robustbench_lite.runs import Run


# Published values: Newcombe, Statistics in Medicine 17, 1998, table I, method 3 (81/263 to 1/29); the rest
# are the closed forms z² / (n + z²) at 0 and its mirror image at n, and the textbook example 5 of 10.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
    ],
)
def test_wilson_has_the_published_values(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_covers_the_truth():
    rng = np.random.default_rng(0)
    for p in (0.5, 0.9, 0.97):
        ends = {k: wilson(k, 100) for k in range(101)}
        hits = [ends[k].low <= p <= ends[k].high for k in rng.binomial(100, p, 2000)]
        assert np.mean(hits) == pytest.approx(0.95, abs=0.025)


def grouped(rng, n_groups, size, p, correlation):
    """Hits of groups whose own shares differ: beta-binomial with the given correlation inside a group."""
    odds = (1 - correlation) / correlation
    shares = rng.beta(p * odds, (1 - p) * odds, n_groups)
    hits = (rng.random((n_groups, size)) < shares[:, None]).astype(int).ravel()
    return hits, np.repeat([f"g{i}" for i in range(n_groups)], size)


@pytest.mark.parametrize(
    ("n_groups", "p", "correlation"), [(60, 0.7, 0.5), (60, 0.9, 0.4), (20, 0.7, 0.5), (10, 0.5, 0.3)]
)
def test_the_grouped_interval_covers_the_truth_where_wilson_does_not(n_groups, p, correlation):
    rng = np.random.default_rng(1)
    covered, naive, widths = [], [], []
    for _ in range(300):
        hits, groups = grouped(rng, n_groups, 6, p, correlation)
        mine, theirs = proportion_interval(hits, groups), proportion_interval(hits)
        covered.append(mine.low <= p <= mine.high)
        naive.append(theirs.low <= p <= theirs.high)
        widths.append((mine.high - mine.low) / (theirs.high - theirs.low))
    assert np.mean(covered) >= 0.92
    assert np.mean(naive) < 0.87
    assert np.median(widths) > 1.3


def test_groups_that_do_not_matter_hardly_widen_the_interval():
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(100):
        hits, groups = (rng.random(600) < 0.8).astype(int), np.repeat(np.arange(100), 6)
        mine, theirs = proportion_interval(hits, groups), proportion_interval(hits)
        ratios.append((mine.high - mine.low) / (theirs.high - theirs.low))
    assert 0.95 < np.mean(ratios) < 1.1


def test_a_group_per_image_is_no_grouping():
    hits = np.array([1, 1, 0, 1])
    assert proportion_interval(hits, np.array(list("abcd"))) == proportion_interval(hits) == wilson(3, 4)


@pytest.mark.parametrize("value", [0, 1])
def test_groups_that_all_agree_count_once_each(value):
    interval = proportion_interval(np.full(60, value), np.repeat(np.arange(10), 6))
    alone = wilson(10 * value, 10)
    assert (interval.low == 0) if value == 0 else (interval.high == 1)
    assert interval.high - interval.low >= alone.high - alone.low


def test_half_of_every_group_is_not_certainty():
    interval = proportion_interval(np.tile([0, 1], 20), np.repeat(np.arange(20), 2))
    assert interval.high - interval.low > 0.3


def test_one_group_says_nothing_about_others():
    assert proportion_interval(np.array([1, 1, 0]), np.array(["a"] * 3)) == (0, 1)


def test_images_without_a_group_are_one_group_and_no_crash():
    groups = pd.array(["a", "a", None, None, "b", "b"], dtype="string")
    interval = proportion_interval(np.array([1, 1, 0, 1, 0, 0]), groups)
    assert 0 <= interval.low < 0.5 < interval.high <= 1


def condition(spec, kind="attack", **changes):
    threats = [ThreatModel(norm="linf", eps=0.1)] if kind == "attack" else []
    plain = {
        "severity": None,
        "parameters": [],
        "threat_model": threats,
        "n": 4,
        "forwards": 8,
        "gradients": 4,
        "seconds": 1.0,
        "warnings": [],
    }
    return ConditionRecord(spec=spec, kind=kind, **{**plain, **changes})


def rows(spec, correct, index=None, **columns):
    n = len(correct)
    plain = {
        "index": range(n) if index is None else index,
        "group": [None] * n,
        "condition": [spec] * n,
        "correct": correct,
        "attacked": [0] * n,
        "succeeded": [0] * n,
        "confidence": [0.5] * n,
        "l2": [0.0] * n,
        "linf": [0.0] * n,
        "l1": [0.0] * n,
        "l0": [0] * n,
        "fools_8bit": [0] * n,
        "by": [None] * n,
        "label": [0] * n,
        "prediction": [0 if right else 1 for right in correct],
        "brier": [0.5] * n,
        "filled": [np.nan] * n,
        "outlier": [np.nan] * n,
        "flagged": [0] * n,
    }
    return pd.DataFrame({**plain, **columns})


def run_of(*parts, n_groups=None):
    data = DataRecord.model_construct(n_groups=n_groups, class_names=["a", "b"])
    record = RunRecord.model_construct(conditions=[c for c, _ in parts], data=data)
    return Run(Path(), record, pd.concat([frame for _, frame in parts], ignore_index=True))


def test_the_drop_is_over_the_same_images():
    clean = condition("clean", "clean"), rows("clean", [1, 1, 0, 0])
    cut_short = condition("fgsm"), rows("fgsm", [0, 1], index=[1, 0])
    summary = summarise(run_of(clean, cut_short))
    assert summary[0]["drop"] == 0
    assert summary[1]["n"] == 2
    assert summary[1]["drop"] == pytest.approx(0.5)  # against all clean images it would be 0


def test_sizes_of_an_attack_are_those_of_its_successes():
    clean = condition("clean", "clean"), rows("clean", [1, 1, 1, 0])
    attack = rows(
        "fgsm",
        [0, 0, 1, 0],
        attacked=[1, 1, 1, 0],
        succeeded=[1, 1, 0, 0],
        l2=[1.0, 3.0, 9.0, 0.0],
        linf=[0.1, 0.2, 0.9, 0.0],
        confidence=[0.8, 0.6, 0.1, 0.4],
    )
    _, found = summarise(run_of(clean, (condition("fgsm"), attack)))
    assert found["median_l2"] == pytest.approx(2)
    assert found["median_linf"] == pytest.approx(0.15)
    assert found["success_rate"] == pytest.approx(2 / 3)
    assert found["confidence_when_wrong"] == pytest.approx(0.6)
    assert (found["forwards_per_sample"], found["gradients_per_sample"]) == (2, 1)


def test_what_is_left_with_8_bits_and_sizes_in_the_norm_of_the_attack():
    clean = condition("clean", "clean"), rows("clean", [1, 1, 1, 0])
    frame = rows("a", [0, 0, 1, 0], attacked=[1, 1, 1, 0], succeeded=[1, 1, 0, 0], fools_8bit=[1, 0, 0, 0])
    frame["l0"] = [3, 5, 0, 0]
    in_l0 = [ThreatModel(norm="l0", eps=None)]
    first, found = summarise(run_of(clean, (condition("a", threat_model=in_l0), frame)))
    assert (found["fooled"], found["fooled_8bit"]) == (2, 1)
    assert found["success_rate_8bit"] == pytest.approx(1 / 3)
    assert found["median_l0"] == 4
    assert found["median_l1"] is None  # not this attack's norm
    assert first["fooled"] is first["success_rate_8bit"] is first["median_l0"] is None


def test_sizes_of_a_shift_are_those_of_all_images():
    clean = condition("clean", "clean"), rows("clean", [1, 1])
    shift = condition("night", "shift", severity=3.0), rows("night", [1, 0], l2=[1.0, 2.0])
    first, found = summarise(run_of(clean, shift))
    assert found["median_l2"] == pytest.approx(1.5)
    assert found["success_rate"] is None
    assert first["median_l2"] is None


def test_what_is_not_there_is_none():
    clean = condition("clean", "clean"), rows("clean", [1, 1])
    nothing = condition("fgsm"), rows("fgsm", [1, 1])
    _, found = summarise(run_of(clean, nothing))
    for name in ("confidence_when_wrong", "success_rate", "median_l2", "median_linf"):
        assert found[name] is None
    (alone,) = summarise(run_of((condition("fgsm"), rows("fgsm", [1, 0], confidence=[np.nan] * 2))))
    assert alone["drop"] is None
    assert alone["confidence_when_wrong"] is None


def test_a_condition_without_rows_is_left_out():
    clean = condition("clean", "clean"), rows("clean", [1, 1])
    not_begun = condition("fgsm", n=0), rows("fgsm", [])
    assert [r["condition"] for r in summarise(run_of(clean, not_begun))] == ["clean"]
    assert summarise(run_of(not_begun)) == []


def test_groups_are_used_where_the_data_have_them():
    frame = rows("clean", [1, 1, 1, 0, 0, 0] * 4, group=list("aaabbb") * 4)
    with_groups, without = (
        summarise(run_of((condition("clean", "clean"), frame), n_groups=g))[0] for g in (2, None)
    )
    assert with_groups["ci_high"] - with_groups["ci_low"] > without["ci_high"] - without["ci_low"]


def test_the_interval_of_the_drop_is_paired_and_the_clean_images_have_none():
    clean = condition("clean", "clean"), rows("clean", [1] * 90 + [0] * 10)
    after = condition("night", "shift", severity=1.0), rows("night", [1] * 85 + [0] * 15)
    first, found = summarise(run_of(clean, after))
    assert first["drop_low"] is first["drop_high"] is None
    assert found["drop_low"] < 0.05 < found["drop_high"]
    assert found["drop_high"] - found["drop_low"] < (found["ci_high"] - found["ci_low"])
    (alone,) = summarise(run_of(after))
    assert alone["drop"] is alone["drop_low"] is None


def test_calibration_classes_and_filled_pixels_of_a_condition():
    frame = rows(
        "turned",
        [1, 1, 0, 0],
        label=[0, 0, 0, 1],
        confidence=[0.9] * 4,
        brier=[0.1, 0.1, 1.5, 1.7],
        filled=[0.1, 0.2, 0.2, np.nan],
    )
    frame["prediction"] = [0, 0, 1, 0]
    clean, found = summarise(
        run_of((condition("clean", "clean"), rows("clean", [1] * 4)), (condition("turned", "shift"), frame))
    )
    assert found["ece"] == pytest.approx(0.4)
    assert found["brier"] == pytest.approx(0.85)
    assert found["filled"] == pytest.approx(0.2)
    assert clean["filled"] is None
    assert [(c["class_name"], c["n"], c["accuracy"]) for c in found["classes"]] == [("a", 3, 2 / 3), ("b", 1, 0.0)]
    assert found["worst_class"]["class_name"] == "b"
