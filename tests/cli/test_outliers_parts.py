"""What is easily forgotten: which classes are normal, and which pictures are of one part."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from robustbench_lite.cli.app import app


def rb(*words):
    return CliRunner().invoke(app, ["outliers", *map(str, words)])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two pictures of each of 60 parts, in two folders; and of 60 other parts."""
    root = tmp_path_factory.mktemp("by_part")
    random = np.random.default_rng(0)
    for part in range(120):
        base = random.integers(40, 200, (16, 16))
        for picture in "ab":
            folder = (
                root / ("first" if part < 60 and picture == "a" else "second" if part < 60 else "new") / "good"
            )
            folder.mkdir(parents=True, exist_ok=True)
            pixels = (base + random.integers(0, 9, (16, 16))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{part:03d}_{picture}.png")
    (root / "first" / "scratch").mkdir()
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(root / "first" / "scratch" / "900_a.png")
    done = rb(
        *("fit", "--data", f"folder:{root / 'first'}", "--normal", "good", "--group", r"(\d+)_", "--score", "pca"),
        *("--false-alarms", "0.1", "--no-probes", "--out", root / "detector", "--json"),
    )
    assert done.exit_code == 0, done.output
    assert "one picture of each" in json.loads(done.stdout)["promise"]
    return root


def test_other_pictures_of_the_parts_do_not_calibrate(place):
    """Even if --group is forgotten: the detector knows how its parts are told."""
    done = rb("calibrate", place / "detector", "--data", f"folder:{place / 'second'}", "--false-alarms", "0.1")
    assert done.exit_code == 2
    assert "groups of the calibration images were used for fitting" in done.output


def test_parts_are_counted_without_being_told_again(place):
    done = rb(
        *("calibrate", place / "detector", "--data", f"folder:{place / 'new'}", "--false-alarms", "0.1"),
        *("--dry-run", "--json"),
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["threshold"]["n"] == 60  # parts, of 120 pictures


def test_images_that_do_not_tell_their_parts_are_refused(place, tmp_path):
    images = np.random.default_rng(1).integers(0, 255, (40, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "new.npz", images=images, labels=np.zeros(40, int), class_names=np.array(["good"]))
    done = rb("calibrate", place / "detector", "--data", f"npz:{tmp_path / 'new.npz'}", "--false-alarms", "0.1")
    assert done.exit_code == 2
    assert "--group" in done.output


def test_whoever_forgets_normal_is_told(place, tmp_path):
    done = rb(
        *("fit", "--data", f"folder:{place / 'first'}", "--score", "pca", "--false-alarms", "0.1", "--no-probes"),
        *("--out", tmp_path / "d"),
    )
    assert done.exit_code == 0, done.output
    assert "scratch too. Did you mean --normal good?" in done.output
    assert "normal: all classes" in done.output


def test_a_train_split_of_good_parts_says_what_is_normal(tmp_path):
    """Nobody need say --normal good, neither in fitting nor in testing."""
    done = rb(
        *("fit", "--data", "surfaces:32x60", "--score", "hog", "--false-alarms", "0.2", "--no-probes"),
        *("--out", tmp_path / "d"),
    )
    assert done.exit_code == 0, done.output
    assert "Did you mean" not in done.output
    assert "normal: good" in done.output
    tested = rb("test", tmp_path / "d", "--data", "surfaces:32x60", "--json", "--quiet")
    assert tested.exit_code == 0, tested.output
    assert sorted(json.loads(tested.stdout)["per_class"]) == ["crack", "dent", "missing_print", "scratch", "stain"]
