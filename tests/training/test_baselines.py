"""Simple methods beside the network: the same as scikit-learn on the same pixels, bounded in time."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import robustbench_lite as rb
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.intervals import paired_interval, wilson
from robustbench_lite.training.baselines import baselines_in, pooled_shape, proportional, told
from robustbench_lite.training.tensors import Tensors, tensors_of


def pixels(images, labels, groups=None):
    images, labels = torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(labels)
    return Tensors(images, labels, tuple(map(str, range(len(labels)))), groups)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", split="train"), load_dataset("digits", split="val")


def test_they_are_those_of_scikit_learn(digits):
    (x, y), (asked, truth) = (
        (s.images.flatten(1).numpy(), s.labels.numpy()) for s in (tensors_of(d, "cpu") for d in digits)
    )
    mean, std = x.mean(), x.std(ddof=1)
    x, asked = (x - mean) / std, (asked - mean) / std
    expected = [
        method.fit(x, y).score(asked, truth)
        for method in (DummyClassifier(), KNeighborsClassifier(1), LogisticRegression(max_iter=1000))
    ]
    found = rb.baselines(*digits)
    assert [one.accuracy for one in found][:2] == pytest.approx(expected[:2])
    assert found[2].accuracy == pytest.approx(expected[2], abs=0.006)  # two images: it may stop before the end
    assert [one.learnt_from for one in found] == ["1,061 labels", *["1,061 images at 8×8"] * 2]
    assert found[1].interval == wilson(int(found[1].right.sum()), 375)


def test_pictures_of_one_part_are_no_independent_images():
    images = np.linspace(0, 1, 40)[:, None, None, None] * np.ones((1, 1, 4, 4))
    labels = [0, 1] * 20
    groups = np.repeat([f"part {i}" for i in range(5)], 8)
    alone, grouped = (baselines_in(pixels(images, labels), pixels(images, labels, g), 0) for g in (None, groups))
    assert alone[0].accuracy == grouped[0].accuracy == 0.5
    assert grouped[0].interval.high - grouped[0].interval.low > alone[0].interval.high - alone[0].interval.low


def test_the_gain_is_that_on_the_same_images():
    train, val = pixels(torch.eye(4).view(4, 1, 2, 2), [0, 1, 0, 1]), pixels(torch.rand(9, 1, 2, 2), [0, 1, 1] * 3)
    found = baselines_in(train, val, 0)
    network = np.array([True] * 8 + [False])
    first = told(found, network)[0]
    assert first["accuracy"] == pytest.approx(1 / 3)
    assert first["gain"] == pytest.approx(8 / 9 - 1 / 3)
    assert (first["gain_low"], first["gain_high"]) == paired_interval(network, found[0].right)
    assert "gain" not in told(found)[0]


@pytest.mark.parametrize(
    ("shape", "pooled"),
    [
        ((1, 8, 8), (8, 8)),
        ((1, 28, 28), (14, 14)),
        ((3, 32, 32), (16, 16)),
        ((1, 200, 50), (16, 4)),
        ((3, 97, 97), (14, 14)),
        ((100, 64, 64), (3, 3)),
        ((5000, 4, 4), (1, 1)),
    ],
)
def test_pictures_are_made_small(shape, pooled):
    assert pooled_shape(shape) == pooled


def test_what_is_left_out_keeps_the_proportions():
    labels = np.repeat([0, 1, 2, 3], [6000, 3000, 999, 1])
    chosen = proportional(labels, 1000, seed=0)
    assert len(set(chosen)) == 1000
    assert np.bincount(labels[chosen]) == pytest.approx([600, 300, 100, 1], abs=1)
    assert (proportional(labels, 1000, seed=0) == chosen).all()
    assert (proportional(labels, 1000, seed=1) != chosen).any()
    assert (proportional(labels, 20_000, seed=0) == np.arange(10_000)).all()


def test_one_class_is_refused():
    one = pixels(torch.zeros(4, 1, 2, 2), [1] * 4)
    with pytest.raises(InputError, match="one class only"):
        baselines_in(one, one, 0)


def test_a_class_that_was_never_learnt_is_never_right():
    train, val = (
        pixels(torch.eye(4).view(4, 1, 2, 2), [0, 1, 0, 1]),
        pixels(torch.eye(4).view(4, 1, 2, 2), [2] * 4),
    )
    assert [one.accuracy for one in baselines_in(train, val, 0)] == [0, 0, 0]


def test_black_images_and_no_warning_of_convergence():
    black = pixels(torch.zeros(6, 1, 4, 4), [0, 1, 1] * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = baselines_in(black, black, 0)
        noise = pixels(
            torch.rand(300, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 1e3, [0, 1, 2] * 100
        )
        baselines_in(noise, noise, 0)
    assert found[0].accuracy == found[2].accuracy == pytest.approx(2 / 3)


@pytest.mark.slow
def test_their_time_is_bounded():
    """As many images as MNIST has."""
    random = torch.Generator().manual_seed(0)
    train, val = (
        pixels(torch.rand(n, 1, 28, 28, generator=random), torch.arange(n) % 10) for n in (55_000, 5_000)
    )
    began = time.process_time()
    found = baselines_in(train, val, 0)
    assert time.process_time() - began < 25
    assert found[1].learnt_from == "10,000 of 55,000 images at 14×14"


def test_they_are_part_of_the_history(digits):
    one = rb.train("linear", *digits, rb.TrainingOptions(epochs=1)).info.history
    assert [b["name"] for b in one["baselines"]] == ["majority class", "nearest neighbour", "logistic regression"]
    assert one["validation"]["n"] == one["val_images"] == 375
    assert one["validation"]["accuracy"] == one["epochs"][0]["val_accuracy"]
    assert sum(one["train_labels"]) == one["train_images"]
    nearest = one["baselines"][1]
    assert nearest["gain"] == pytest.approx(one["validation"]["accuracy"] - nearest["accuracy"])
    assert nearest["gain_low"] <= nearest["gain"] <= nearest["gain_high"]
    assert (
        rb.train("linear", *digits, rb.TrainingOptions(epochs=1), baselines=False).info.history["baselines"] == []
    )
