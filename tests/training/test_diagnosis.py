"""What is said of a training: each verdict provoked by a real one, and nothing said of a sound one."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import robustbench_lite as rb
from robustbench_lite.training.diagnosis import WARNINGS, guessing, verdicts
from robustbench_lite.training.validating import share


@pytest.fixture(scope="module")
def digits():
    return rb.load_dataset("digits", split="train", limit=600), rb.load_dataset("digits", split="val")


def trained(digits, architecture="mlp", *, limit=None, **options):
    train_set = digits[0] if limit is None else digits[0].select(range(limit))
    history = rb.train(architecture, train_set, digits[1], rb.TrainingOptions(**options)).info.history
    assert verdicts(json.loads(json.dumps(history))) == history["verdicts"]  # of the history alone
    return history


def kinds(history):
    return [verdict["kind"] for verdict in history["verdicts"]]


def said(history, kind):
    """The first of a kind, as it is printed."""
    return next(f"{v['text']} {v['remedy']}" for v in history["verdicts"] if v["kind"] == kind)


def test_a_learning_rate_that_is_too_small(digits):
    history = trained(digits, epochs=3, lr=1e-7)
    assert kinds(history) == ["does not start"]
    assert "the learning rate is too small. Give a larger --lr than 1e-07, or --find-lr." in said(
        history, "does not start"
    )


def test_a_learning_rate_that_is_too_large(digits):
    history = trained(digits, "cnn(width=4)", epochs=3, lr=10)
    assert kinds(history) == ["does not start"]
    assert "the learning rate is too large. Give a smaller --lr than 10, or --find-lr." in said(
        history, "does not start"
    )
    with pytest.raises(rb.InputError, match=r"diverged in epoch 1.*smaller --lr"):  # and this one explodes at once
        trained(digits, epochs=3, lr=10)


def test_one_epoch_is_too_few(digits):
    history = trained(digits, "cnn(width=8)", epochs=1)
    assert kinds(history) == ["underfits", "does not beat", "does not beat"]
    assert "still falling. Give more --epochs." in said(history, "underfits")
    assert "does not beat nearest neighbour: " in said(history, "does not beat")


def test_a_network_that_is_too_small(digits, tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n\n"
        "def net(*, num_classes, input_shape):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Linear(1, num_classes))\n"
    )
    history = trained(digits, f"{tmp_path}/nets.py:net", epochs=30, lr=1e-2)
    assert "the loss falls no more. Give a larger --model" in said(history, "underfits")


def test_a_training_that_was_stopped_is_not_told_to_go_on(digits):
    history = trained(digits, "cnn(width=8)", epochs=1)
    assert "underfits" not in {verdict["kind"] for verdict in verdicts({**history, "interrupted": True})}


def test_labels_that_mean_nothing(digits):
    random = np.random.default_rng(0)
    shuffled = tuple(replace(data, labels=random.permutation(data.labels)) for data in digits)
    history = trained(shuffled, epochs=20, limit=300)
    assert "does not beat the majority class" in said(history, "does not beat")
    assert "overfits since epoch" in said(history, "overfits")


def test_a_large_network_on_few_images(digits):
    history = trained(digits, limit=40, epochs=40)
    (verdict,) = (v for v in history["verdicts"] if v["kind"] == "overfits")
    best = history["best_epoch"]
    assert f"overfits since epoch {best}: the validation loss rises" in verdict["text"]
    assert f"Epoch {best} was kept." in verdict["text"]
    for flag in ("--augment", "--weight-decay", "--epochs"):
        assert flag in verdict["remedy"]


@pytest.mark.parametrize("options", [{"epochs": 12, "lr": 1e-2}, {"epochs": 30, "seed": 1}])
def test_sound_trainings_are_fine(digits, options):
    history = trained(digits, "mlp", **options)
    assert kinds(history)[0] == "fine"
    assert not set(kinds(history)) & set(WARNINGS)
    assert f"{history['validation']['accuracy']:.1%} are right (95% interval " in said(history, "fine")


# Courses that are made up, where a training would take too long


def made(train, val, *, accuracy=0.95, robust=None, **changes):
    epochs = [
        {
            "train_loss": t,
            "val_loss": v,
            "train_accuracy": accuracy,
            "val_accuracy": accuracy,
            "robust_accuracy": r,
        }
        for t, v, r in zip(train, val, robust or [None] * len(train), strict=True)
    ]
    history = {
        "epochs": epochs,
        "best_epoch": 1 + int(np.argmin(val) if robust is None else np.argmax(robust)),
        "interrupted": False,
        "diverged": False,
        "train_labels": [50, 50],
        "options": {
            "epochs": len(train),
            "lr": 0.01,
            "weight_decay": 0.01,
            "balanced": False,
            "label_smoothing": 0,
        },
        "validation": share(accuracy, 1000),
        "validation_attacked": share(max(robust), 1000) if robust else None,
        "validation_shifted": None,
        "baselines": [baseline("majority class", accuracy, 0.5)],
    }
    return {**history, **changes, "verdicts": verdicts({**history, **changes})}


def baseline(name, accuracy, other, wide=0.02):
    gain = accuracy - other
    return {"name": name, "accuracy": other, "n": 1000, "gain_low": gain - wide, "gain_high": gain + wide}


@pytest.mark.parametrize(
    ("counts", "options", "nats"),
    [
        ([50, 50], {}, math.log(2)),
        ([90, 10], {}, -0.9 * math.log(0.9) - 0.1 * math.log(0.1)),
        ([90, 10], {"balanced": True}, math.log(2)),
        ([100, 0], {"label_smoothing": 0.2}, -0.9 * math.log(0.9) - 0.1 * math.log(0.1)),
    ],
)
def test_what_guessing_gives(counts, options, nats):
    history = {"train_labels": counts, "options": {"balanced": False, "label_smoothing": 0.0, **options}}
    assert guessing(history) == pytest.approx(nats)


def test_noise_is_no_overfitting():
    falling = [0.5 * 0.8**i for i in range(12)]
    assert kinds(made(falling, [0.1, 0.05, 0.055, 0.06, 0.052, 0.07, 0.05, 0.055, 0.06, 0.058, 0.06, 0.055])) == [
        "fine"
    ]
    assert kinds(made(falling, [0.3, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.24, 0.26, 0.3, 0.3])) == [
        "overfits"
    ]
    risen = [0.3, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.101]
    assert kinds(made(falling, risen)) == ["fine"]  # the last came back
    assert kinds(made([0.5] * 12, sorted(risen))) == ["fine"]  # and here the training loss does not fall


def test_what_diverges_is_not_fine():
    history = made([0.6, 0.5], [0.2, 0.1], diverged=True)
    assert kinds(history) == ["diverges"]
    assert "diverges after epoch 2. Epoch 2 was kept. Give a smaller --lr than 0.01" in said(history, "diverges")


def test_overfitting_to_attacks_is_seen_in_the_robust_accuracy():
    """Rice, Wong and Kolter, ICML 2020."""
    falling, rising = [0.6 * 0.9**i for i in range(8)], [0.1 + 0.1 * i for i in range(8)]
    steady = made(falling, rising, robust=[0.3, 0.5, 0.6, 0.62, 0.61, 0.62, 0.61, 0.6])
    assert kinds(steady) == ["fine"]  # the loss on clean images rises with eps, and says nothing
    fallen = made(falling, rising, robust=[0.3, 0.5, 0.6, 0.62, 0.55, 0.5, 0.5, 0.5])
    assert "overfits since epoch 4: the robust accuracy falls from 0.62 to 0.5" in said(fallen, "overfits")


def test_robustness_has_its_price():
    others = [baseline("majority class", 0.95, 0.5), baseline("nearest neighbour", 0.95, 0.99)]
    history = made([0.6, 0.5], [0.2, 0.1], robust=[0.7, 0.8], baselines=others)
    assert kinds(history) == ["fine", "price"]
    assert "80.0% attacked (95% interval 77.4% to 82.4%, 1000 images)" in said(history, "fine")
    assert kinds(made([0.6, 0.5], [0.2, 0.1], baselines=others)) == ["does not beat"]


def test_an_answer_that_is_always_the_same_is_robust():
    history = made([0.6, 0.5], [0.2, 0.1], robust=[0.4, 0.51])
    assert "Under attack it does not beat the majority class" in said(history, "does not beat")


def test_an_attack_that_is_too_strong_to_begin_with():
    history = made([0.70, 0.694, 0.6932], [0.694, 0.6935, 0.6932], robust=[0.5, 0.5, 0.5], accuracy=0.5)
    assert "Give a larger --warmup, a smaller --eps" in said(history, "does not start")


def test_one_epoch_does_not_tell_which_learning_rate_would_do():
    assert "Try --find-lr" in said(made([0.75], [0.71], accuracy=0.5), "does not start")
    assert "more --epochs" in said(made([1.2, 1.1, 1.0], [1.2, 1.1, 0.9], accuracy=0.5), "does not start")
