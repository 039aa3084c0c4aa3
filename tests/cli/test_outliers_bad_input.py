"""Bad input to ``rb outliers``: exit code 2 and one line that names the thing and the remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCORES = ("--score", "pca(components=4)")
FIT = (*SCORES, "--false-alarms", "0.1", "--no-probes")


LOADER = """
import numpy as np
from robustbench_lite.data.source import Source

def load():
    images = np.random.default_rng(0).random((60, 12, 12)).astype(np.float32)
    images[7, 2, 2] = np.nan
    files = tuple(f"image {i}" for i in range(60))
    return Source(np.zeros(60, np.int64), ("good",), files, images.__getitem__)
"""


def write(folder, n, seed, shape=(12, 12)):
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = random.integers(90, 130, shape).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}_{i}.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("made")
    write(place / "train/good", 80, 0)
    write(place / "test/good", 20, 1)
    write(place / "test/bad", 10, 2)
    return place


@pytest.fixture
def parts(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def detector(rb, parts):
    done = rb("outliers", "fit", "--data", "folder:train", "--normal", "good", *FIT)
    assert done.code == 0, done.err
    return parts / "detector"


@pytest.fixture
def stopped(refused, parts):
    """A refused fit, before anything is fitted or written."""

    def call(*words: object) -> str:
        message = refused("outliers", "fit", *words)
        assert not Path("detector").exists()
        return message

    return call


# Fitting


def test_too_few_images_for_the_rate(stopped):
    message = stopped("--data", "folder:train", "--normal", "good", *SCORES)
    assert "of 80 images 20 are kept for the threshold; to promise 0.01 false alarms takes 99" in message
    assert "--false-alarms 0.048" in message
    assert "396 images" in message
    assert "--calibration 0 and rb outliers calibrate" in message


def test_a_larger_share_is_proposed_where_it_would_do(stopped):
    words = ("--data", "folder:train", "--normal", "good", *SCORES, "--false-alarms", "0.04")
    assert "--calibration 0.3" in stopped(*words)


def test_what_is_proposed_does(rb, parts):
    words = ("outliers", "fit", "--data", "folder:train", "--normal", "good", *SCORES, "--dry-run")
    assert rb(*words, "--false-alarms", "0.048").code == 0
    assert rb(*words, "--false-alarms", "0.04", "--calibration", "0.3").code == 0
    assert rb(*words, "--calibration", "0").code == 0


def test_too_few_groups(stopped):
    words = ("--data", "folder:train", "--normal", "good", *FIT, "--group", r"_(\d)")
    assert "of 10 groups 2 are kept" in stopped(*words)


def test_images_that_are_all_the_same(stopped, parts):
    for i in range(80):
        (parts / "same/good").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((12, 12), 77, np.uint8)).save(parts / f"same/good/{i}.png")
    assert "of 80 images, 1 of them different, 0 are kept" in stopped("--data", "folder:same", *FIT)
    assert "too few to fit a detector" in stopped("--data", "folder:same", *FIT, "--calibration", "0")


def test_images_that_hold_nan(stopped, parts):
    (parts / "own.py").write_text(LOADER)
    assert "image 7 holds NaN or infinity" in stopped("--data", "own.py:load", *FIT, "--split", "all")


def test_images_of_several_sizes(stopped, parts):
    write(parts / "train/good", 3, 5, (14, 12))
    message = stopped("--data", "folder:train", *FIT)
    assert "5_0.png is 1 x 14 x 12" in message
    assert "Give --input-size" in message


def test_no_such_class(stopped):
    message = stopped("--data", "folder:test", "--normal", "godd", *FIT)
    assert "unknown class of folder:test 'godd'" in message
    assert "Did you mean 'good'?" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--false-alarms", "0"), "--false-alarms 0 is refused"),
        (("--false-alarms", "1"), "--false-alarms 1 is refused"),
        (("--calibration", "1"), "--calibration 1 is refused"),
        (("--preset", "surface"), "Did you mean 'surfaces'?"),
        (("--score", "pcaa"), "Did you mean 'pca'?"),
        (("--score", "pca=-1"), "the weight is negative"),
        (("--score", "pca=0"), "all weights are 0"),
        (("--score", "pca=1", "--score", "pca"), "given twice"),
        (("--score", "pca=1=2"), "two weights"),
        (("--score", "pca=much"), "is not a number"),
        (("--score", "pca", "--preset", "objects"), "exclude each other"),
        (("--score", "pca", "--model", "net.safetensors"), "no score asks a classifier"),
        (("--score", "pca", "--generator", "vae.safetensors"), "no score asks --generator"),
        (("--score", "reconstruction", "--generator", "none.safetensors"), "none.safetensors"),
        (("--data", "images:nowhere"), "no such folder: nowhere"),
        (("--split", "valid"), "unknown split 'valid'"),
    ],
)
def test_options_that_cannot_be(stopped, words, message):
    assert message in stopped(*words)


def test_a_place_that_is_taken(refused, detector, parts):
    words = ("outliers", "fit", "--data", "folder:train", *FIT)
    assert "detector exists already. Choose another --out, or give --overwrite." in refused(*words)
    (detector / "notes.txt").write_text("mine")
    assert "holds notes.txt too, which would be lost" in refused(*words, "--overwrite")
    assert "is no detector" in refused(*words, "--out", "train", "--overwrite")
    (parts / "file").write_text("")
    assert "is a file" in refused(*words, "--out", "file")


# Calibration


def test_images_of_fitting_do_not_calibrate(refused, detector):
    words = ("outliers", "calibrate", "detector", "--false-alarms", "0.1")
    before = (detector / "detector.json").read_bytes()
    message = refused(*words, "--data", "folder:train", "--normal", "good")
    assert "60 of 80 calibration images were used for fitting" in message
    assert (detector / "detector.json").read_bytes() == before


def test_renamed_images_of_fitting_do_not_calibrate(refused, detector, parts):
    (parts / "train/good").rename(parts / "train/other")
    message = refused("outliers", "calibrate", "detector", "--false-alarms", "0.1", "--data", "images:train")
    assert "were used for fitting" in message


def test_parts_of_fitting_do_not_calibrate(rb, refused, parts):
    words = ("--group", r"(?:^|/)\d_(\d+)", "--false-alarms", "0.1")
    assert rb("outliers", "fit", "--data", "folder:train", *SCORES, *words).code == 0
    message = refused("outliers", "calibrate", "detector", "--data", "images:test/good", *words)
    assert "groups of the calibration images were used for fitting" in message


def test_too_few_images_to_calibrate(refused, detector):
    message = refused("outliers", "calibrate", "detector", "--data", "images:test/good")
    assert "20 images cannot promise a share of 0.01 false alarms; that takes 99" in message


# Other images than those of fitting


@pytest.mark.parametrize("command", ["score", "calibrate", "test"])
def test_images_of_another_size(refused, detector, parts, command):
    write(parts / "wide/good", 4, 3, (12, 20))
    words = ("--data", "folder:wide", *(("--normal", "good") if command != "score" else ()))
    message = refused("outliers", command, "detector", *words)
    assert "is 1 x 12 x 20 (channels x height x width), the detector was fitted to 1 x 12 x 12" in message
    assert "--input-size 12x12" in message
    assert not Path("scores").exists()


@pytest.mark.parametrize("command", ["score", "calibrate"])
def test_images_with_other_channels(refused, detector, parts, command):
    write(parts / "colour", 4, 3, (12, 12, 3))
    message = refused("outliers", command, "detector", "--data", "images:colour")
    assert "is 3 x 12 x 12" in message
    assert "Give --channels 1 and --input-size 12x12" in message


def test_images_of_several_shapes_among_those_to_score(refused, detector, parts):
    write(parts / "mixed", 4, 3)
    write(parts / "mixed", 2, 8, (14, 10, 3))
    message = refused("outliers", "score", "detector", "--data", "images:mixed")
    assert "8_0.png is 3 x 14 x 10" in message
    assert "fitted to 1 x 12 x 12. Give --channels 1 and --input-size 12x12" in message


def test_images_that_hold_nan_are_named_and_skipped(rb, detector, parts):
    (parts / "own.py").write_text(LOADER)
    done = rb("outliers", "score", "detector", "--data", "own.py:load", "--split", "all", "--json")
    assert (done.code, done.document["n"], done.document["n_asked"]) == (0, 59, 60)
    assert done.document["skipped"] == [{"file": "image 7", "reason": "it holds NaN or infinity"}]
    assert "image 7 is left out" in done.err


def test_nothing_that_can_be_read(refused, detector, parts):
    (parts / "text").mkdir()
    (parts / "text/a.png").write_text("no picture")
    message = refused("outliers", "score", "detector", "--data", "images:text")
    assert "a.png" in message
    assert not Path("scores").exists()


# Testing


def test_only_outliers(refused, detector):
    message = refused("outliers", "test", "detector", "--data", "folder:test", "--normal", "good,bad")
    assert "there is no outlier among the images (classes: bad, good)" in message


def test_only_normal_images(refused, detector, parts):
    shutil.rmtree(parts / "test/good")
    message = refused("outliers", "test", "detector", "--data", "folder:test", "--normal", "good")
    assert "unknown class among the images 'good'" in message


def test_images_without_classes(refused, detector):
    message = refused("outliers", "test", "detector", "--data", "images:test")
    assert "test needs classes, and images:test has none. Give folder:PATH" in message


def test_which_classes_are_normal_must_be_said(rb, refused, parts):
    assert rb("outliers", "fit", "--data", "folder:train", *FIT).code == 0
    assert "Say it: --normal good." in refused("outliers", "test", "detector", "--data", "folder:test")


def test_only_images_of_fitting(refused, detector, parts):
    shutil.copytree(parts / "test/bad", parts / "train/bad")
    message = refused("outliers", "test", "detector", "--data", "folder:train")
    assert "every normal image, or its part, was used for fitting or calibration" in message


@pytest.mark.parametrize("rate", [0, 1, -2])
def test_a_defect_rate_that_is_none(refused, detector, rate):
    message = refused("outliers", "test", "detector", "--data", "folder:test", "--defect-rate", rate)
    assert f"--defect-rate {rate} is refused" in message


# The folder


def test_no_detector(refused, parts):
    for command in ("calibrate", "score", "test"):
        assert "is no detector" in refused("outliers", command, "nowhere", "--data", "folder:test")


@pytest.mark.parametrize("content", ["", "{}", "[1", '{"format": 1}', "\udcff"])
def test_a_damaged_description(refused, detector, content):
    (detector / "detector.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert "damaged" in refused("outliers", "score", "detector", "--data", "images:test")


def test_a_newer_format(refused, detector):
    record = json.loads((detector / "detector.json").read_text())
    (detector / "detector.json").write_text(json.dumps({**record, "format": 9}))
    assert "Upgrade" in refused("outliers", "score", "detector", "--data", "images:test")


def test_a_missing_file_of_tensors(refused, detector):
    (detector / "tensors.safetensors").unlink()
    assert "damaged" in refused("outliers", "score", "detector", "--data", "images:test")


def test_a_classifier_that_nothing_asks(refused, detector):
    message = refused("outliers", "score", "detector", "--data", "images:test", "--model", "net.safetensors")
    assert "asks no classifier" in message


def test_a_place_for_scores_that_is_taken(refused, detector):
    words = ("outliers", "score", "detector", "--data", "images:test")
    assert "holds no scores" in refused(*words, "--out", "train")
