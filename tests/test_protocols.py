"""Protocols: each fold is one training and one look at what it held out; the interval knows that folds overlap."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t

import robustbench_lite as rb
from robustbench_lite import protocols
from robustbench_lite.data.folds import Fold, make_folds, parse_protocol
from robustbench_lite.errors import InputError
from robustbench_lite.fold_plan import planned
from robustbench_lite.fold_rows import MEASURES, summary
from robustbench_lite.intervals import proportion_interval, resampled_interval
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.weights import read_info, read_state, save_checkpoint

OWN = """
from torch import nn

open({!r}, "w").close()


def net(*, num_classes: int):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))
"""
OPTIONS = TrainingOptions(epochs=2, batch_size=32, seed=4)


@pytest.fixture(scope="module")
def digits():
    return rb.load_dataset("digits", split="train", limit=150)


@pytest.fixture(scope="module")
def found(digits):
    return rb.cross_validate("linear", digits, "kfold:3", OPTIONS)


def test_a_fold_is_a_training_by_hand(digits, found):
    fold = make_folds(parse_protocol("kfold:3"), digits.labels, digits.sample_ids, seed=4)[1]
    train, val, held = (digits.select(places) for places in (fold.train, fold.val, fold.held_out))
    network, info = rb.train("linear", train, val, TrainingOptions(epochs=2, batch_size=32, seed=5))
    by_hand = rb.evaluate(rb.Classifier(network, mean=info.mean, std=info.std), held, []).samples
    row = found.folds[1]
    assert row["accuracy"] == by_hand["correct"].mean()
    assert row["brier"] == pytest.approx(by_hand["brier"].mean())
    assert row["worst_class_accuracy"] == by_hand.groupby("label")["correct"].mean().min()
    assert (row["seed"], row["best_epoch"]) == (5, info.history["best_epoch"])
    for one in rb.baselines(train, held):
        assert row[one.name.replace(" ", "_")] == one.accuracy
    mine = found.predictions[found.predictions["fold"] == 2]
    assert mine["file"].tolist() == list(held.files)
    assert mine["confidence"].tolist() == pytest.approx(by_hand["confidence"].tolist())


def test_summary_and_pooled(digits, found):
    accuracies = [row["accuracy"] for row in found.folds]
    first = found.summary[0]
    assert first["measure"] == "accuracy"
    assert first["mean"] == pytest.approx(np.mean(accuracies))
    assert first["std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert (first["min"], first["max"]) == (min(accuracies), max(accuracies))
    half = t.ppf(0.975, 2) * math.sqrt((1 / 3 + 1 / 2) * np.var(accuracies, ddof=1))
    assert first["ci_high"] == pytest.approx(min(1, np.mean(accuracies) + half))
    assert sorted(found.predictions["file"]) == sorted(digits.files)
    right = found.predictions["correct"].to_numpy()
    ends = proportion_interval(right)
    pooled = {
        "n": 150,
        "predictions": 150,
        "accuracy": right.mean(),
        "ci_low": ends.low,
        "ci_high": ends.high,
    }
    assert found.pooled == pooled
    assert found.table["fold"].tolist() == [1, 2, 3]


def test_repeated_predictions_do_not_count_as_more_images(digits):
    few = digits.select(range(60))
    once, thrice = (rb.cross_validate("linear", few, text, OPTIONS).pooled for text in ("kfold:2", "kfold:2x3"))
    assert (thrice["n"], thrice["predictions"]) == (60, 180)
    widths = [p["ci_high"] - p["ci_low"] for p in (once, thrice)]
    assert widths[1] > 0.75 * widths[0]  # not a root of 3 narrower


def test_attacks_and_shifts_of_the_recipe_judge(digits):
    recipe = rb.make_recipe(adversarial="fast", shift="gaussian_noise(severity=5)", warmup=0)
    found = rb.cross_validate("linear", digits.select(range(80)), "kfold:2", OPTIONS, recipe=recipe)
    assert found.about["norm"] == "linf"
    assert found.about["attack"] == "pgd(eps=0.1)"  # the digits' usual budget
    for row in found.folds:
        assert 0 <= row["robust_accuracy"] <= row["accuracy"]
        assert 0 <= row["shift_accuracy"] <= 1
    assert {row["measure"] for row in found.summary} >= {"robust_accuracy", "shift_accuracy"}


def test_folds_that_agree_have_no_interval():
    row = dict.fromkeys(MEASURES) | {"held_out": 10, "train": 30, "val": 10}
    same, other = (
        summary([row | {"accuracy": v} for v in values], with_interval=True)[0] for values in ([1, 1], [1, 0.9])
    )
    assert (same["std"], same["ci_low"], same["ci_high"]) == (0, None, None)
    assert other["ci_low"] < 0.9 < other["ci_high"] == 1


def test_time_has_no_interval(digits):
    found = rb.cross_validate("linear", digits, "time:2", OPTIONS)  # the digits' names are their places
    places = [int(file) for file in found.predictions["file"]]
    assert min(places) > sorted(map(int, digits.files))[150 // 3 - 1]
    assert all(row["ci_low"] is None for row in found.summary)


def test_folds_of_ones_own(digits):
    own = [Fold(1, np.arange(80), np.arange(80, 100), np.arange(100, 150))]
    found = rb.cross_validate("linear", digits, "holdout", OPTIONS, folds=own)
    assert found.predictions["file"].tolist() == list(digits.files[100:])
    assert found.summary[0]["std"] is None
    with pytest.raises(InputError, match="holdout"):
        rb.cross_validate("linear", digits, "holdout", OPTIONS)


def test_resume_keeps_what_was_trained(digits, tmp_path, monkeypatch):
    few = digits.select(range(60))
    trainings = []

    def train(*arguments, **options):
        if len(trainings) == 1:
            raise KeyboardInterrupt
        trainings.append(arguments)
        return rb.train(*arguments, **options)

    monkeypatch.setattr(protocols, "train", train)
    stopped = rb.cross_validate("linear", few, "kfold:2", OPTIONS, folder=tmp_path)
    assert (stopped.status, len(stopped.folds)) == ("interrupted", 1)
    monkeypatch.setattr(protocols, "train", lambda *a, **k: trainings.append(a) or rb.train(*a, **k))
    resumed = rb.cross_validate("linear", few, "kfold:2", OPTIONS, folder=tmp_path, resume=True)
    assert len(trainings) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fold-1.safetensors", "fold-2.safetensors"]
    whole = rb.cross_validate("linear", few, "kfold:2", OPTIONS)
    assert whole.predictions.equals(resumed.predictions)
    assert whole.summary == resumed.summary
    trainings.clear()
    rb.cross_validate("linear", few, "kfold:2", TrainingOptions(epochs=1, seed=4), folder=tmp_path, resume=True)
    assert len(trainings) == 2  # others than those that are there


def test_resume_takes_a_network_of_ones_own_but_runs_no_program_that_a_file_names(digits, tmp_path):
    for name in ("own", "other"):
        (tmp_path / f"{name}.py").write_text(OWN.format(str(tmp_path / f"{name} ran")))
    own, few, folder = f"{tmp_path / 'own.py'}:net", digits.select(range(60)), tmp_path / "folds"
    whole = rb.cross_validate(own, few, "kfold:2", OPTIONS, folder=folder)
    assert rb.cross_validate(own, few, "kfold:2", OPTIONS, folder=folder, resume=True).summary == whole.summary
    file = folder / "fold-1.safetensors"
    info, (state, _) = read_info(file), read_state(file)
    named = info.model_copy(update={"architecture": f"{tmp_path / 'other.py'}:net"})
    save_checkpoint(file, state, named)
    with pytest.raises(InputError, match="names a program"):
        rb.cross_validate(own, few, "kfold:2", OPTIONS, folder=folder, resume=True)
    assert (tmp_path / "own ran").exists()
    assert not (tmp_path / "other ran").exists()


def test_images_with_other_labels_are_another_training(digits, tmp_path):
    few = digits.select(range(60))
    plans = [planned("linear", data, "kfold:2") for data in (few, replace(few, labels=few.labels[::-1].copy()))]
    first, second = (plan.key(plans[0].folds[0]) for plan in plans)
    assert first != second


def test_an_epoch_of_a_stopped_fold_is_not_lost(digits, tmp_path):
    few, seen = digits.select(range(60)), []

    def stop(p):
        if (p.fold, p.done) == (2, 1):
            raise KeyboardInterrupt

    stopped = rb.cross_validate("linear", few, "kfold:2", OPTIONS, folder=tmp_path, on_progress=stop)
    assert (stopped.status, len(stopped.folds)) == ("interrupted", 1)
    resumed = rb.cross_validate(
        "linear",
        few,
        "kfold:2",
        OPTIONS,
        folder=tmp_path,
        resume=True,
        on_progress=lambda p: seen.append(tuple(p)),
    )
    assert (2, 1, 2) not in seen
    assert resumed.summary == rb.cross_validate("linear", few, "kfold:2", OPTIONS).summary


def test_the_interval_covers_where_folds_are_alike():
    """The model of Nadeau and Bengio: all folds are correlated by ratio / (1 + ratio)."""
    random, ratio, count = np.random.default_rng(0), 0.25, 5
    shared = ratio / (1 + ratio)
    covered = naive = 0
    for _ in range(1500):
        values = math.sqrt(shared) * random.normal() + math.sqrt(1 - shared) * random.normal(size=count)
        interval = resampled_interval(values.tolist(), ratio)
        covered += interval.low <= 0 <= interval.high
        naive += abs(values.mean()) <= t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)
    assert 0.935 < covered / 1500 < 0.965
    assert naive / 1500 < 0.87


def test_the_interval_covers_what_networks_reach():
    """Two normal classes, told apart by the nearer mean: what such a classifier reaches is known exactly."""
    random, size = np.random.default_rng(1), 40
    protocol, labels, ids = parse_protocol("kfold:4x5"), np.arange(size) % 2, [f"{i}" for i in range(size)]
    folds = [make_folds(protocol, labels, ids, seed=seed) for seed in range(5)]
    means, reached, intervals = [], [], []
    for trial in range(150):
        points = random.normal(size=(size, 2)) + np.outer(2 * labels - 1, [0.6, 0.0])
        values = []
        for fold in folds[trial % 5]:
            learnt = np.concatenate([fold.train, fold.val])
            low, high = (points[learnt][labels[learnt] == c].mean(0) for c in (0, 1))
            way, middle = high - low, (low + high) / 2
            values.append(float((((points[fold.held_out] - middle) @ way > 0) == labels[fold.held_out]).mean()))
            shifts = [(sign * np.array([0.6, 0.0]) - middle) @ way / np.linalg.norm(way) for sign in (-1, 1)]
            reached.append((norm.cdf(-shifts[0]) + norm.cdf(shifts[1])) / 2)
        means.append((np.mean(values), np.std(values, ddof=1)))
        intervals.append(resampled_interval(values, 10 / 30))
    truth = np.mean(reached)
    covered = np.mean([low <= truth <= high for low, high in intervals])
    quantile = t.ppf(0.975, 19)
    naive = np.mean([abs(mean - truth) <= quantile * std / math.sqrt(20) for mean, std in means])
    assert covered > 0.93
    assert naive < 0.8
