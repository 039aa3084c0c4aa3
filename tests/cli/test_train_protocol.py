"""``rb train --protocol``: a network per fold, and what they come to together."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from robustbench_lite.data.loading import load_dataset

SMALL = ("train", "--model", "linear", "--epochs", 2)


@pytest.fixture
def parts(tmp_path):
    """Forty images of twenty parts, photographed on five days, in train/ and val/; and four others in test/."""
    random = np.random.default_rng(0)
    for i in range(44):
        name = ("good", "dent")[i // 2 % 2]
        split = "test" if i >= 40 else "val" if i % 5 == 4 else "train"
        folder = tmp_path / "parts" / split / name / f"day{8 + i // 8}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(20, 60, (12, 12)) + 120 * (name == "dent")
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"part{i // 2}_{i}.png")
    return "folder:parts"


def rows(file):
    with file.open() as opened:
        return list(csv.DictReader(opened))


def test_kfold_writes_all_and_leaves_test_alone(rb, tmp_path):
    done = rb(*SMALL, "--data", "digits", "--limit", 90, "--protocol", "kfold:3", "--json")
    assert done.code == 0, done.err
    folder = tmp_path / "folds"
    document = done.document
    assert json.loads((folder / "folds.json").read_text()) == document
    assert document["n"] == 90
    assert [row["accuracy"] for row in document["folds"]] == [
        float(r["accuracy"]) for r in rows(folder / "folds.csv")
    ]
    predictions = rows(folder / "predictions.csv")
    assert len({row["file"] for row in predictions}) == 90
    right = sum(row["prediction"] == row["label"] for row in predictions)
    assert document["pooled"]["accuracy"] == pytest.approx(right / 90)
    everything = load_dataset("digits", split="test")
    assert not {row["file"] for row in predictions} & set(everything.files)
    assert rb("attack", "--method", "fgsm", "--model", folder / "fold-3.safetensors", "--limit", 20).code == 0


def test_what_is_printed(rb, parts):
    done = rb(*SMALL, "--data", parts, "--protocol", "group:3", "--group", r"part(\d+)", "--adversarial", "fast")
    assert done.code == 0, done.err
    for text in (
        "group:3: linear on folder:parts, 40 images (train and val)",
        "robust: linf, under pgd(",
        "groups as units",
    ):
        assert text in done.out
    assert "corrected resampled t" in done.out


def test_no_part_is_on_two_sides(rb, parts):
    words = (*SMALL, "--data", parts, "--group", r"part(\d+)")
    planned = rb(*words, "--protocol", "kfold:3", "--dry-run", "--json")
    assert planned.code == 0
    assert "kept whole, as by group:3" in planned.err
    same = rb(*words, "--protocol", "group:3", "--dry-run", "--json").document
    assert same["sides"] == planned.document["sides"]
    assert all(side["n"] % 2 == 0 for side in same["sides"])  # two images per part
    assert rb(*words, "--protocol", "group:3").code == 0


def test_time_learns_from_the_past(rb, parts, tmp_path):
    words = (*SMALL, "--data", parts, "--protocol", "time:3")
    done = rb(*words, "--order", r"day(\d+)", "--json")
    assert done.code == 0, done.err
    found = {(row["fold"], row["file"].split("/")[2]) for row in rows(tmp_path / "folds" / "predictions.csv")}
    assert found == {("1", "day10"), ("2", "day11"), ("3", "day12")}
    assert [row["train"] + row["val"] for row in done.document["folds"]] == [16, 24, 32]
    plans = [("--order", "level:1"), ("--order", r"day(\d+)"), ()]
    level, by_day, by_name = (
        rb(*words, *order, "--out", "other", "--dry-run", "--json").document["sides"] for order in plans
    )
    assert level == by_day
    assert [side["n"] for side in by_name[2::3]] == [10, 10, 10]


def test_holdout_is_the_three_splits(rb, parts, tmp_path):
    done = rb(*SMALL, "--data", parts, "--protocol", "holdout", "--out", "one", "--json")
    assert done.code == 0, done.err
    (row,) = done.document["folds"]
    assert (row["train"], row["val"], row["held_out"]) == (32, 8, 4)
    assert all(r["file"].startswith("test/") for r in rows(tmp_path / "one" / "predictions.csv"))
    alone = rb(*SMALL, "--data", parts, "--out", "net.safetensors", "--json").document
    assert alone["best_epoch"] == row["best_epoch"]


def test_all_images_with_a_warning(rb, parts):
    done = rb(*SMALL, "--data", parts, "--protocol", "kfold:2", "--split", "all", "--dry-run", "--json")
    assert done.document["n"] == 44
    assert "no untouched image is left" in done.err
    assert "untouched" not in rb(*SMALL, "--data", parts, "--protocol", "kfold:2", "--dry-run").err


def test_dry_run_writes_nothing(rb, parts, tmp_path):
    planned = rb(*SMALL, "--data", parts, "--protocol", "kfold:4", "--dry-run")
    assert planned.code == 0
    assert "4 trainings of at most 2 epochs" in planned.out
    assert "dent" in planned.out
    assert not (tmp_path / "folds").exists()


def test_the_folder_is_not_lost(rb, refused, parts, tmp_path):
    words = (*SMALL, "--data", parts, "--protocol", "kfold:3")
    first = rb(*words, "--json").document
    assert "folds exists already" in refused(*words)
    (tmp_path / "folds" / "fold-2.safetensors").unlink()
    kept = (tmp_path / "folds" / "fold-1.safetensors").stat().st_mtime_ns
    again = rb(*words, "--resume", "--json").document
    assert (tmp_path / "folds" / "fold-1.safetensors").stat().st_mtime_ns == kept
    assert again["summary"] == first["summary"]
    assert rb(*SMALL, "--data", parts, "--protocol", "kfold:2", "--overwrite").code == 0
    assert sorted(file.name for file in (tmp_path / "folds").glob("*.safetensors")) == [
        "fold-1.safetensors",
        "fold-2.safetensors",
    ]


def test_a_class_that_is_missing_is_named(rb, parts, tmp_path):
    shutil.copytree(tmp_path / "parts/train/dent/day8", tmp_path / "parts/train/stain")
    for file in (tmp_path / "parts/train/stain").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    planned = rb(*SMALL, "--data", parts, "--protocol", "kfold:5", "--dry-run")
    assert "no image of stain held out" in planned.err


def test_bad_input(rb, refused, parts):
    def no(*words):
        return refused("train", "--data", parts, *words)

    assert "is none" in no("--protocol", "folds:5")
    assert "no groups" in no("--protocol", "group:5")
    assert "cannot be divided" in no("--protocol", "group:30", "--group", r"part(\d+)")
    assert "needs 10 moments" in no("--protocol", "time:9", "--order", "level:1")
    assert "--order part(x) finds no group" in no("--protocol", "time:3", "--order", "part(x)")
    assert "about --protocol time" in no("--protocol", "kfold:5", "--order", "level:1")
    assert "about --protocol time" in no("--order", "level:1")
    assert "means nothing to --protocol" in no("--protocol", "kfold:5", "--split", "val")
    assert "is judged on test" in no("--protocol", "holdout", "--split", "all")
    assert "model of images" in no("--protocol", "kfold:5", "--model", "vae")
    assert "two things" in no("--protocol", "kfold:5", "--find-lr")
    assert "two things" in no("--protocol", "kfold:5", "--compare", "pgd")
