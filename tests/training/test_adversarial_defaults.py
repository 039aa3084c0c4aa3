"""Defaults of adversarial training, and what the command says of it."""

from __future__ import annotations

import pytest

from robustbench_lite.classifiers.loading import load_classifier
from robustbench_lite.classifiers.networks import strided
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import Recipe, make_recipe
from robustbench_lite.training.suiting import MANY, suited

PGD = make_recipe(adversarial="pgd")
SHIFT = make_recipe(shift="night")


@pytest.mark.parametrize(
    ("recipe", "images", "given", "epochs", "batch_size"),
    [
        (PGD, MANY, {}, 10, 128),
        (PGD, MANY, {"epochs": 4}, 4, 128),
        (PGD, MANY, {"batch_size": 32}, 10, 32),
        (PGD, MANY - 1, {}, 30, 64),
        (Recipe(), MANY, {}, 30, 64),
        (SHIFT, 1_000, {}, 60, 64),
        (SHIFT, 1_000, {"epochs": 5}, 5, 64),
        (SHIFT, MANY, {}, 30, 64),
    ],
)
def test_epochs_suit_what_is_learnt(recipe, images, given, epochs, batch_size):
    options = suited(TrainingOptions(**given), given, recipe, images)
    assert (options.epochs, options.batch_size) == (epochs, batch_size)


def test_the_strided_network_is_the_published_one():
    layers = list(strided(input_shape=(1, 28, 28), num_classes=10))
    assert [tuple(layer.weight.shape) for layer in layers if hasattr(layer, "weight")] == [
        *((16, 1, 4, 4), (32, 16, 4, 4), (100, 1568), (10, 100)),
    ]


def test_the_plan_says_what_will_be_done(rb):
    words = ("train", "--data", "digits", "--dry-run", "--json")
    plain, attacked = (rb(*words, *more).document for more in ((), ("--adversarial", "pgd", "--eps", "8/255")))
    assert (plain["architecture"], plain["epochs"]) == ("cnn", 30)
    assert "adversarial" not in plain
    assert (attacked["architecture"], attacked["epochs"], attacked["batch_size"]) == ("strided", 30, 64)
    assert (attacked["adversarial"], attacked["warmup"]) == ("pgd(eps=8/255)", 0.3)
    assert rb(*words, "--adversarial", "pgd", "--model", "linear").document["architecture"] == "linear"


def test_the_command_trains(rb, tmp_path):
    words = ("train", "--data", "digits", "--first", "200", "--model", "linear", "--epochs", "2")
    outcome = rb(*words, "--adversarial", "fast", "--eps", "0.05", "--warmup", "0", "--out", "net.safetensors")
    assert outcome.code == 0, outcome.err
    history = load_classifier(str(tmp_path / "net.safetensors")).history
    assert history["adversarial"]["method"] == "fast(eps=0.05)"
    assert history["adversarial"]["warmup"] == 0
    assert history["epochs"][-1]["robust_accuracy"] is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--eps", "0.1"), "--eps means nothing without --adversarial"),
        (("--adversarial", "pgd", "--eps", "8"), "eps=8/255"),
        (("--adversarial", "pdg"), "Did you mean"),
        (("--adversarial", "night"), "is no attack"),
        (("--adversarial", "pgd", "--warmup", "1"), "warmup=1"),
        (("--adversarial", "pgd", "--eps", "abc"), "abc"),
    ],
)
def test_bad_input(refused, words, said):
    assert said in refused("train", "--data", "digits", *words)
