"""Training: the seed decides everything, the best epoch is kept, and nothing else is touched."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.training import loop, optimising, overfitting, trainer, validating
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import make_recipe
from robustbench_lite.training.trainer import train
from robustbench_lite.training.validating import Validated

DROPOUT = """
from torch import nn


def net(*, num_classes: int, input_shape: tuple[int, int, int]):
    channels, height, width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels * height * width, num_classes))
"""


def made(labels, *, noise=0.3, seed=0, split="train"):
    """Images 8×8 whose mean says the class, under noise."""
    labels = np.asarray(labels, dtype=np.int64)
    random = np.random.default_rng(seed)
    pixels = (labels[:, None, None, None] + noise * random.normal(size=(len(labels), 1, 8, 8))).clip(0, 1)
    pixels = pixels.astype(np.float32)
    return Dataset(
        spec="made",
        split=split,
        class_names=("dark", "bright"),
        labels=labels,
        files=tuple(map(str, range(len(labels)))),
        sample_ids=tuple(f"{split}{i}" for i in range(len(labels))),
        read=lambda i: pixels[i],
        eps={},
    )


TRAIN, VAL = made([0, 1] * 20), made([0, 1] * 10, seed=1, split="val")


def sha(trained):
    return Classifier(trained.network).weights_sha256


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", split="train", limit=400), load_dataset("digits", split="val")


@pytest.fixture
def dropout(tmp_path):
    (tmp_path / "nets.py").write_text(DROPOUT)
    return f"{tmp_path}/nets.py:net"


@pytest.mark.parametrize("architecture", ["cnn(width=4)", "linear", "dropout"])
def test_the_seed_decides_the_weights(architecture, dropout):
    architecture = dropout if architecture == "dropout" else architecture
    options = [TrainingOptions(epochs=2, batch_size=16, seed=seed) for seed in (0, 0, 1)]
    shas = []
    for one in options:
        torch.rand(3)  # the global generator is somewhere else each time
        shas.append(sha(train(architecture, TRAIN, VAL, one)))
    assert shas[0] == shas[1] != shas[2]


def test_global_generators_are_handed_back(dropout):
    torch.manual_seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    train(dropout, TRAIN, VAL, TrainingOptions(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_generator_of_the_device_is_handed_back(dropout):
    torch.cuda.manual_seed(5)
    before = torch.cuda.get_rng_state()
    shas = [sha(train(dropout, TRAIN, VAL, TrainingOptions(epochs=2), device="cuda")) for _ in range(2)]
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert shas[0] == shas[1]


def test_it_learns_the_digits(digits):
    trained = train("cnn(width=8)", *digits, TrainingOptions(epochs=6))
    majority = np.bincount(digits[1].labels).max() / len(digits[1])
    assert trained.info.history["epochs"][-1]["val_accuracy"] > 4 * majority
    classifier = Classifier(trained.network, mean=trained.info.mean, std=trained.info.std)
    batch = next(digits[1].batches(1000))
    right = (classifier(batch.images).argmax(1) == batch.labels).float().mean()
    best = trained.info.history["epochs"][trained.info.history["best_epoch"] - 1]
    assert float(right) == pytest.approx(best["val_accuracy"], abs=1e-6)  # the description fits the network


def test_the_description_says_what_was_done():
    epochs = []
    trained = train("linear", TRAIN, VAL, TrainingOptions(epochs=3, seed=4), on_epoch=epochs.append)
    info = trained.info
    assert (info.architecture, info.class_names, info.input_shape) == ("linear", ["dark", "bright"], (1, 8, 8))
    assert info.history["options"]["seed"] == 4
    assert (info.history["train_images"], info.history["val_images"]) == (40, 20)
    assert info.history["train_manifest_sha256"] == TRAIN.manifest_hash
    assert [e.epoch for e in epochs] == [1, 2, 3]
    assert [e._asdict() for e in epochs] == info.history["epochs"]
    pixels = torch.cat([batch.images for batch in TRAIN.batches(100)])
    assert info.mean == pytest.approx([float(pixels.mean())], abs=1e-5)
    assert info.std == pytest.approx([float(pixels.std())], abs=1e-5)
    assert not trained.network.training
    assert all(e.seconds > 0 and e.cpu_seconds > 0 for e in epochs)


def test_the_time_of_an_epoch_is_not_that_of_getting_ready(monkeypatch):
    """The first optimiser of a process takes seconds, and would be counted to whatever is trained first."""

    def slow(*given):
        time.sleep(1)
        return optimising.make_optimizer(*given)

    monkeypatch.setattr(loop, "make_optimizer", slow)
    first, *_ = train("linear", TRAIN, VAL, TrainingOptions(epochs=2)).info.history["epochs"]
    assert 0 < first["seconds"] < 1


def test_the_time_of_an_epoch_is_not_that_of_its_validation(monkeypatch):
    """Validation under attack may take longer than the training, and would make robustness look dear."""

    def slow(*given):
        time.sleep(0.5)
        return validating.validated(*given)

    monkeypatch.setattr(trainer, "validated", slow)
    for epoch in train("linear", TRAIN, VAL, TrainingOptions(epochs=2)).info.history["epochs"]:
        assert 0 < epoch["seconds"] < 0.5 <= epoch["validation_seconds"]


def test_an_epoch_that_is_taken_back_costs_as_well(monkeypatch):
    def taken_back(watch, judged):
        watch.entries.append({})
        return len(watch.entries) == 2

    def slow(*given):
        time.sleep(0.2)
        return [torch.arange(len(TRAIN))]

    monkeypatch.setattr(loop, "batches", slow)
    monkeypatch.setattr(overfitting.Watch, "undone", taken_back)
    recipe = make_recipe(adversarial="fast", arguments={"eps": 0.1})
    first, second = train("linear", TRAIN, VAL, TrainingOptions(epochs=2), recipe=recipe).info.history["epochs"]
    assert first["seconds"] >= 0.2
    assert second["seconds"] >= 0.4


def test_early_stopping_keeps_the_best_epoch(monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 1.5, 1.0, 0.1])
    seen = []

    def validate(objective, *given):
        seen.append({k: v.clone() for k, v in objective.network.state_dict().items()})
        return Validated(next(losses), 0.5)

    monkeypatch.setattr(trainer, "validated", validate)
    trained = train("linear", TRAIN, VAL, TrainingOptions(epochs=6, patience=3))
    assert len(seen) == 5  # the sixth never came
    assert trained.info.history["best_epoch"] == 2  # the fifth is not better, only as good
    for name, value in trained.network.state_dict().items():
        assert torch.equal(value, seen[1][name])
        assert not torch.equal(value, seen[4][name])


def test_a_loss_that_explodes_at_once_is_refused():
    with pytest.raises(InputError, match=r"diverged in epoch 1: the loss is not finite. Give a smaller --lr"):
        train("linear", TRAIN, VAL, TrainingOptions(epochs=30, lr=1e36, batch_size=8))


def test_a_loss_that_explodes_later_leaves_the_last_good_epoch(monkeypatch):
    losses = iter([2.0, 1.0, math.nan])
    monkeypatch.setattr(trainer, "validated", lambda *given: Validated(next(losses), 0.5))
    trained = train("linear", TRAIN, VAL, TrainingOptions(epochs=5))
    assert [e["val_loss"] for e in trained.info.history["epochs"]] == [2.0, 1.0]
    assert trained.info.history["best_epoch"] == 2
    assert all(tensor.isfinite().all() for tensor in trained.network.state_dict().values())


def test_one_class_is_refused():
    with pytest.raises(InputError, match="holds one class only"):
        train("linear", made([1] * 8), VAL)


@pytest.mark.parametrize("images", [2, 9, 17])
@pytest.mark.parametrize("architecture", ["cnn(width=2)", "linear"])
def test_a_last_batch_of_one_image(images, architecture):
    labels = [0, 1] * images
    trained = train(architecture, made(labels[:images]), VAL, TrainingOptions(epochs=2, batch_size=8))
    assert trained.info.history["train_images"] == images


@pytest.mark.parametrize("epochs", [1, 2, 5, 9, 10, 11, 20])
def test_any_number_of_steps(epochs):
    """One step an epoch. A warm-up over a tenth of ten steps has no length, and once divided by it."""
    trained = train("linear", TRAIN, VAL, TrainingOptions(epochs=epochs, batch_size=64, patience=99))
    rates = [e["lr"] for e in trained.info.history["epochs"]]
    assert len(rates) == epochs
    assert all(0 < lr <= 3e-3 for lr in rates)
    assert epochs < 20 or rates[-1] < rates[5] / 10
    other = train("linear", TRAIN, VAL, TrainingOptions(epochs=1, lr=1e-12))
    moved = (trained.network[1].weight - other.network[1].weight).abs().max()
    assert moved > 1e-5  # even one step learns


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"patience": -1},
        {"lr": 0.0},
        {"lr": math.inf},
        {"lr": math.nan},
        {"weight_decay": -1.0},
        {"weight_decay": math.nan},
    ],
)
def test_impossible_options(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=name):
        TrainingOptions(**wrong)


def test_the_images_of_the_data_set_stay_as_they_are():
    before = [TRAIN.read(i).copy() for i in range(len(TRAIN))]
    train("linear", TRAIN, VAL, TrainingOptions(epochs=1))
    assert all((TRAIN.read(i) == before[i]).all() for i in range(len(TRAIN)))


def test_channels_that_never_change_do_not_divide_by_zero():
    black = Dataset(**{**vars(made([0, 1] * 8)), "read": lambda i: np.zeros((3, 8, 8), np.float32)})
    trained = train("linear", black, black, TrainingOptions(epochs=1))
    assert all(tensor.isfinite().all() for tensor in trained.network.state_dict().values())
