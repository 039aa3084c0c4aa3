"""Data that a classifier cannot be learnt from, or will be learnt from badly: said before the training."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.trainer import train

ONE = TrainingOptions(epochs=1, batch_size=8)


def made(labels, *, split="train", size=6, classes="abc"):
    """Noise images of one channel."""
    pixels = np.random.default_rng(len(split)).random((len(labels), 1, size, size), dtype=np.float32)
    return Dataset(
        spec="made",
        split=split,
        class_names=tuple(classes),
        labels=np.asarray(labels, dtype=np.int64),
        files=tuple(f"{split}/{i}.png" for i in range(len(labels))),
        sample_ids=tuple(f"{split}{i}" for i in range(len(labels))),
        read=lambda i: pixels[i],
        eps={},
    )


TRAIN, VAL = made([0, 1, 2] * 5), made([0, 1, 2] * 2, split="val")


def altered(dataset, place, value):
    def read(i):
        pixels = dataset.read(i).copy()
        if i == place:
            pixels[0, 0, 0] = value
        return pixels

    return replace(dataset, read=read)


@pytest.mark.parametrize(
    ("train_set", "val_set", "said"),
    [
        (made([1] * 8), VAL, "the training split of made holds one class only"),
        (TRAIN, made([2] * 8, split="val"), r"the validation split of made holds one class only, c\."),
        (TRAIN, made([], split="val"), "the val split of made holds no image|made holds no image"),
        (
            TRAIN,
            made([0, 1], split="val", size=5),
            "images of 1 x 6 x 6 and validation images of 1 x 5 x 5 differ",
        ),
        (TRAIN, made([0, 1], split="val", classes="abd"), "classes of training, a, b, c, are not .* a, b, d"),
        (made([0, 1, 3, 7]), VAL, r"train/2\.png of the train split has the label 3, but there are 3 classes"),
        (TRAIN, made([0, -1], split="val"), r"val/1\.png of the val split has the label -1"),
        (altered(TRAIN, 4, np.nan), VAL, r"train/4\.png of the train split holds .* \(1 of 15 images do\)"),
        (TRAIN, altered(VAL, 2, 1.5), r"val/2\.png of the val split holds values outside \[0, 1\]"),
        (TRAIN, altered(VAL, 2, np.inf), r"val/2\.png of the val split holds values outside \[0, 1\]"),
    ],
)
def test_refused(train_set, val_set, said):
    with pytest.raises(InputError, match=said) as error:
        train("linear", train_set, val_set, ONE)
    assert error.value.remedy


@pytest.mark.parametrize(
    ("train_set", "val_set", "options", "said"),
    [
        (made([0, 2] * 5), VAL, ONE, "no training image of 1 classes, which will never be named: b."),
        (TRAIN, made([0, 1] * 5, split="val"), ONE, "no validation image of 1 classes, which play no part in"),
        (TRAIN, TRAIN, ONE, "15 of the 15 validation images are training images too"),
        (
            TRAIN,
            VAL,
            TrainingOptions(epochs=1, batch_size=16),
            "a batch of 16 is more than the 15 training",
        ),
    ],
)
def test_warned_of(train_set, val_set, options, said, caplog):
    caplog.set_level(logging.WARNING)
    trained = train("linear", train_set, val_set, options)
    assert [record.message for record in caplog.records] == [caplog.records[0].message]
    assert caplog.records[0].message.startswith(f"warning: {said}")
    assert len(trained.info.history["epochs"]) == 1


def test_nothing_is_said_of_sound_data(caplog):
    train("linear", TRAIN, VAL, ONE)
    assert caplog.records == []


def test_on_the_command_line(rb, files, caplog):
    """Six images of each of two classes: a batch of 64 is more than there are."""
    done = rb("train", "--data", "folder:parts", "--model", "linear", "--epochs", 1)
    assert done.code == 0
    assert "warning: a batch of 64 is more than the" in caplog.text
