"""Calibration and classes: known cases, and scikit-learn's bins."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve

from robustbench_lite.intervals import wilson
from robustbench_lite.metrics import BINS, calibration_error, per_class


@pytest.mark.parametrize(
    ("confidence", "right", "error"),
    [
        ([0.8] * 10, [1] * 8 + [0] * 2, 0.0),
        ([0.9] * 10, [1] * 6 + [0] * 4, 0.3),
        ([1.0] * 4, [0] * 4, 1.0),
        ([0.0] * 4, [0] * 4, 0.0),
        ([0.5, 0.95], [1, 0], (0.5 + 0.95) / 2),  # errors in two bins do not cancel
        ([0.94, 0.98], [1, 0], 0.96 - 0.5),  # in one they do
    ],
)
def test_known_cases(confidence, right, error):
    assert calibration_error(np.array(confidence), np.array(right)).error == pytest.approx(error)


def test_the_bins_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    confidence = np.concatenate([rng.random(400), np.arange(1, 15) / 15])  # edges too
    right = (rng.random(414) < confidence**2).astype(int)
    truth, said = calibration_curve(right, confidence, n_bins=BINS)
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence), minlength=BINS)
    theirs = (np.abs(truth - said) * counts[counts > 0]).sum() / 414
    assert calibration_error(confidence, right).error == pytest.approx(theirs)


@pytest.mark.parametrize("n", [50, 1000])
def test_what_chance_alone_makes_of_a_calibrated_network(n):
    rng, errors, told = np.random.default_rng(1), [], []
    for _ in range(300):
        confidence = rng.beta(5, 2, n)
        found = calibration_error(confidence, rng.random(n) < confidence)
        errors.append(found.error)
        told.append(found.by_chance)
    assert np.mean(told) == pytest.approx(np.mean(errors), rel=0.06)


def test_every_class_has_its_accuracy_with_its_interval():
    rows = pd.DataFrame({"label": [0] * 10 + [2] * 4, "correct": [1] * 9 + [0] + [1, 1, 0, 0], "group": None})
    first, third = per_class(rows, ["a", "b"], grouped=False)
    assert (first["class_name"], first["n"], first["accuracy"]) == ("a", 10, 0.9)
    assert (first["ci_low"], first["ci_high"]) == pytest.approx(wilson(9, 10))
    assert (third["class_name"], third["accuracy"]) == ("class 2", 0.5)
    assert per_class(rows.iloc[:0], ["a", "b"], grouped=False) == []


def test_groups_count_in_classes():
    rows = pd.DataFrame({"label": 0, "correct": [1, 1, 1, 0, 0, 0] * 4, "group": list("aaabbbcccddd") * 2})
    (alone,), (grouped,) = (per_class(rows, ["a"], grouped=g) for g in (False, True))
    assert grouped["ci_high"] - grouped["ci_low"] > alone["ci_high"] - alone["ci_low"]
