"""``rb train --compare``: one folder, one table, and a warning where the test split chooses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

SMALL = ("--model", "linear", "--epochs", 1, "--limit", 100)
JUDGE = ("--on", "fgsm", "--on", "gaussian_blur(severity=3)")
FILES = {"standard.safetensors", "pgd.safetensors", "tradeoff.csv", "tradeoff.json", "tradeoff.png"}


def compare(rb, *words):
    return rb("train", *SMALL, *JUDGE, *words)


def test_a_folder_with_everything(rb):
    done = compare(rb, "--compare", "pgd", "--steps", 2, "--json", "--device", "cpu")
    assert done.code == 0, done.err
    assert {path.name for path in Path("compared").iterdir()} == FILES
    document = json.loads(Path("compared/tradeoff.json").read_text())
    assert done.document == document
    assert (document["split"], document["attack"], document["eps"]) == ("val", "fgsm(eps=0.1)", 0.1)
    assert [row["recipe"] for row in document["recipes"]] == ["standard", "pgd"]
    assert "pgd(eps=0.1, steps=2)" in document["recipes"][1]["learns_from"]
    with open("compared/tradeoff.csv") as file:
        rows = list(csv.DictReader(file))
    for row, entry in zip(rows, document["recipes"], strict=True):
        assert float(row["robust_accuracy"]) == entry["robust_accuracy"]
        assert float(row["gaussian_blur(severity=3)"]) == entry["shifts"][0]["accuracy"]
    with Image.open("compared/tradeoff.png") as picture:
        assert picture.width > 600
    assert "375 images of the val split" in done.err
    assert "the CPU time." in done.err  # which other programs do not change
    for row in document["recipes"]:  # one epoch is too few
        assert row["doubts"][0].startswith("It does not start: no loss falls below the ")
    assert "warning: standard: It does not start" in done.err
    assert rb("eval", "--model", "compared/pgd.safetensors", "--on", "fgsm", "--limit", 5).code == 0


def test_the_table_names_the_threat_model(rb):
    done = compare(rb, "--compare", "standard,fast,shift", "--eps", "0.05", "--shift", "night(severity=1..2)")
    assert done.code == 0, done.err
    assert "threat model: linf, eps 0.05, under fgsm(eps=0.05)" in done.out
    assert "n = 375" in done.out
    for recipe in ("standard", "fast", "shift"):
        assert recipe in done.out


def test_without_on_the_shifts_are_those_learnt_from(rb):
    words = ("--compare", "shift", "--on", "fgsm", "--shift", "night(severity=1..2), rotation(degrees=-9..9)")
    done = rb("train", *SMALL, *words, "--json")
    judged = done.document["conditions"]
    assert judged[0] == "clean"
    assert "night(severity=2)" in judged
    assert sum("rotation" in condition for condition in judged) == 2


def test_the_test_split_is_used_and_warned_of(rb):
    done = compare(rb, "--compare", "standard", "--split", "test", "--json")
    assert done.document["split"] == "test"
    assert "Keep some back" in done.err
    quiet = compare(rb, "--compare", "standard", "--split", "test", "--quiet", "--out", "again")
    assert "warning: these numbers are of the test split" in quiet.err


def test_many_images_are_judged_by_a_sample(rb, monkeypatch):
    monkeypatch.setattr("robustbench_lite.cli.train_compare.MOST_JUDGED", 40)
    done = compare(rb, "--compare", "standard", "--json")
    assert done.document["recipes"][0]["n"] == 40
    assert done.document["val_images"] == 375  # the epoch is still chosen by all
    assert "judged on 40 images of the val split" in done.err


def test_a_dry_run_writes_nothing(rb):
    done = compare(rb, "--compare", "pgd,mix", "--dry-run", "--json")
    assert done.code == 0
    assert [entry["recipe"] for entry in done.document["recipes"]] == ["standard", "pgd", "mix"]
    (attack,) = [entry for entry in done.document["judging"] if "fgsm" in entry["condition"]]
    assert attack["gradients"] == 3 * 375
    assert not Path("compared").exists()
    assert "3 trainings of at most 1 epochs" in compare(rb, "--compare", "pgd,mix", "--dry-run").out


def test_resume_and_overwrite(rb, refused):
    assert compare(rb, "--compare", "standard").code == 0
    before = Path("compared/standard.safetensors").stat().st_mtime_ns
    assert "--resume" in refused("train", *SMALL, *JUDGE, "--compare", "pgd")
    assert compare(rb, "--compare", "pgd", "--resume").code == 0
    assert Path("compared/standard.safetensors").stat().st_mtime_ns == before
    assert {path.name for path in Path("compared").iterdir()} == FILES
    assert compare(rb, "--compare", "standard", "--overwrite").code == 0
    assert Path("compared/standard.safetensors").stat().st_mtime_ns > before


def test_ctrl_c_prints_what_is_finished(rb, monkeypatch):
    def stopped(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("robustbench_lite.training.madry.Madry.attacked", stopped)
    done = compare(rb, "--compare", "pgd")
    assert done.code == 130
    assert "standard" in done.out
    assert "--resume goes on" in done.err
    assert {path.name for path in Path("compared").iterdir()} == FILES - {"pgd.safetensors"}


def test_a_recipe_that_fails_is_told(rb, monkeypatch):
    def broken(*arguments, **named):
        raise ZeroDivisionError("no slope")

    monkeypatch.setattr("robustbench_lite.training.madry.Madry.attacked", broken)
    done = compare(rb, "--compare", "pgd")
    assert done.code == 5
    assert "failed" in done.out
    assert "pgd failed: ZeroDivisionError('no slope')" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--compare", "standrad"), "'standard'"),
        (("--compare", "pgd,,fast"), "names nothing somewhere"),
        (("--compare", "pgd", "--mix", "clean=1"), "Add mix"),
        (("--compare", "pgd", "--split", "train"), "images that they learn from"),
        (("--compare", "pgd", "--model", "vae"), "model of images"),
        (("--compare", "pgd", "--protocol", "kfold:5"), "two things"),
        (("--compare", "standard,fast", "--step-size", "0.1"), "--step-size means nothing"),
        (("--compare", "shift", "--warmup", "0.5"), "--warmup means nothing"),
        (("--compare", "pgd", "--on", "cw"), "has no budget"),
        (("--on", "fgsm"), "is about --compare"),
    ],
)
def test_bad_input(refused, words, told):
    assert told in refused("train", *words)
    assert not Path("compared").exists()
