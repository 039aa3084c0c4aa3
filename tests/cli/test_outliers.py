"""``rb outliers`` as it is called: fit, calibrate, score."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from robustbench_lite import load_generator
from robustbench_lite.cli.outliers_score import Pictures, _first
from robustbench_lite.data.dataset import Batch
from robustbench_lite.outliers import default_generator
from robustbench_lite.outliers.conformal import threshold


def write(folder, n, seed, *, name="good", bar=False, depth=np.uint8, suffix=".png"):
    """Grey images of two waves, those with a bar are outliers."""
    random = np.random.default_rng(seed)
    x = np.arange(16)
    (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(n):
        a, b = random.uniform(0, 6, 2)
        image = 0.5 + 0.2 * np.sin(x / 2 + a)[None] + 0.1 * np.sin(x / 3 + b)[:, None]
        image = image + 0.02 * random.normal(size=(16, 16))
        if bar:
            image[random.integers(3, 12)] = 1.0
        pixels = (image.clip(0, 1) * np.iinfo(depth).max).round().astype(depth)
        Image.fromarray(pixels).save(folder / name / f"{seed}_{i}{suffix}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """PARTS/train/good, PARTS/test/good and PARTS/test/scratch."""
    place = tmp_path_factory.mktemp("made")
    write(place / "parts/train", 120, 0)
    write(place / "parts/test", 40, 1)
    write(place / "parts/test", 20, 2, name="scratch", bar=True)
    return place


@pytest.fixture
def parts(made, tmp_path):
    shutil.copytree(made / "parts", tmp_path / "parts")
    return tmp_path


@pytest.fixture
def detector(rb, parts):
    done = rb("outliers", "fit", "--data", "folder:parts/train", "--normal", "good", *FIT, "--json")
    assert done.code == 0, done.err
    return done.document


FIT = ("--score", "pca(components=8)", "--false-alarms", "0.05", "--no-probes")


@pytest.mark.slow
def test_fit_with_nothing_said(rb, tmp_path):
    done = rb("outliers", "fit", "--json")
    assert done.code == 0
    found = done.document
    assert (found["data"], found["preset"], found["detector"]) == ("digits", "objects", "detector")
    assert (
        found["threshold"]["n"]
        == found["n_calibration"]
        == round(0.25 * (found["n_fit"] + found["n_calibration"]))
    )
    assert found["promise"].startswith("at most 1 % of normal images")
    assert "rb outliers fit --data folder:PARTS/train --normal good" in done.err
    assert (tmp_path / "detector/detector.json").is_file()


def test_fit_takes_all_of_a_folder_that_is_not_divided(detector):
    assert (detector["split"], detector["n_fit"], detector["n_calibration"]) == ("all", 90, 30)
    ranks = threshold(np.arange(30.0), 0.05)
    assert (detector["threshold"]["rank"], detector["threshold"]["rate_low"]) == (ranks.rank, ranks.rate_low)


def test_fit_takes_the_train_split(rb, parts):
    write(parts / "parts/val", 3, 9)
    done = rb("outliers", "fit", "--data", "folder:parts", "--normal", "good", *FIT, "--dry-run", "--json")
    assert (done.document["split"], done.document["n_fit"]) == ("train", 90)
    assert not (parts / "detector").exists()


def test_groups_stay_together_and_are_the_units(rb, parts):
    words = ("--data", "folder:parts/train", "--group", r"_(\d+)\.", *FIT)
    write(parts / "parts/train", 120, 7)  # a second picture of each
    found = rb("outliers", "fit", *words, "--json").document
    assert (found["n_fit"], found["n_calibration"], found["unit"]) == (180, 60, "parts")
    assert found["threshold"]["n"] == 30


def test_score_writes_a_table_with_the_most_outlying_first(rb, detector, parts):
    write(parts / "incoming", 5, 3, name="monday")
    write(parts / "incoming", 2, 4, name="tuesday", bar=True)
    (parts / "incoming/broken.png").write_bytes(b"no picture")
    done = rb("outliers", "score", "detector", "--data", "images:incoming", "--json")
    assert done.code == 0, done.err
    assert "broken.png is left out" in done.err
    found, table = done.document, pd.read_csv(parts / "scores/scores.csv")
    assert (found["n"], found["n_asked"], len(found["skipped"])) == (7, 8, 1)
    assert list(table.columns) == [
        *("file", "class_name", "score", "alarm", "pca(components=8)", "nats pca(components=8)"),
        *("pca", "nats pca"),
    ]
    assert table["score"].is_monotonic_decreasing
    assert set(table["file"][:2]) == {"tuesday/4_0.png", "tuesday/4_1.png"}
    assert table["alarm"][:2].all()
    assert np.allclose(table["score"], table["nats pca(components=8)"])  # the one with weight
    columns = pd.read_parquet(parts / "scores/scores.parquet")
    assert columns["file"].tolist() == table["file"].tolist()
    assert np.allclose(columns["score"], table["score"])


@pytest.mark.parametrize(("depth", "suffix"), [(np.uint16, ".png"), (np.uint8, ".bmp"), (np.uint16, ".tif")])
def test_score_takes_other_files_than_were_fitted(rb, detector, parts, depth, suffix):
    write(parts / "same", 4, 5)
    write(parts / "other", 4, 5, depth=depth, suffix=suffix)
    for data in ("same", "other"):
        assert rb("outliers", "score", "detector", "--data", f"images:{data}", "--out", f"s-{data}").code == 0
    tables = [pd.read_csv(parts / f"s-{data}/scores.csv") for data in ("same", "other")]
    stems = [[file.partition(".")[0] for file in table["file"]] for table in tables]
    by_stem = [table.assign(stem=stem).set_index("stem")["pca"] for table, stem in zip(tables, stems, strict=True)]
    assert np.allclose(by_stem[0], by_stem[1][by_stem[0].index], rtol=0.05)  # 8 bits round


def test_images_are_brought_to_the_size_of_fitting(rb, parts):
    words = ("--input-size", "12", "--channels", "1", *FIT)
    assert rb("outliers", "fit", "--data", "folder:parts/train", *words).code == 0
    for file in (parts / "parts/test/good").iterdir():
        Image.open(file).resize((31, 24)).convert("RGB").save(file)
    done = rb("outliers", "score", "detector", "--data", "images:parts/test/good", "--json")
    assert done.code == 0, done.err
    assert done.document["n"] == 40


def test_what_was_scored_survives_an_interruption(rb, detector, parts, monkeypatch):
    from robustbench_lite.outliers import scored

    whole, calls = scored._rows, []

    def stopped(*words):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*words)

    monkeypatch.setattr(scored, "_rows", stopped)
    done = rb("outliers", "score", "detector", "--data", "images:parts/test", "--batch-size", 8, "--json")
    assert (done.code, "interrupted; what was finished is in scores" in done.err) == (130, True)
    assert (done.document["status"], done.document["n"]) == ("interrupted", 16)
    assert len(pd.read_csv(parts / "scores/scores.csv")) == 16


def test_calibrate_changes_the_threshold_only(rb, detector, parts):
    before = json.loads((parts / "detector/detector.json").read_text())
    words = ("--data", "folder:parts/test", "--normal", "good", "--false-alarms", "0.1")
    done = rb("outliers", "calibrate", "detector", *words, "--json")
    assert done.code == 0, done.err
    assert done.document["threshold"]["n"] == 40
    after = json.loads((parts / "detector/detector.json").read_text())
    assert after["threshold"] == list(done.document["threshold"].values())
    assert after["members"] == before["members"]
    assert after["about"]["preprocessing"] == before["about"]["preprocessing"]


def test_help_names_the_commands(rb):
    done = rb("outliers", "--help")
    assert done.code == 0
    assert all(word in done.out for word in ("fit", "calibrate", "score"))


ISSUE = {
    *("auroc", "auroc_low", "auroc_high", "fpr95", "tpr", "false_alarm_rate", "false_alarms_promised"),
    *("pixel_auroc", "per_class", "scores"),
}


def test_test_prints_what_was_agreed(rb, detector, parts):
    done = rb("outliers", "test", "detector", "--data", "folder:parts/test", "--normal", "good", "--json")
    assert done.code == 0, done.err
    found = done.document
    assert set(found) >= ISSUE
    assert found["split"] == "all"
    assert (found["n_normal"], found["n_outliers"]) == (40, 20)
    assert found["auroc"] == found["scores"]["pca(components=8)"] == 1.0
    assert 0.8 < found["auroc_low"] < 1.0
    assert found["per_class"]["scratch"]["auroc"] == 1.0
    assert found["false_alarms_promised"] == 0.05
    assert found["baselines"]["metadata"]["value"] >= 0  # png files: length tells a little
    assert found["pixel_auroc"] is None


def test_test_prints_tables(rb, detector, parts):
    done = rb("outliers", "test", "detector", "--data", "folder:parts/test")  # normal as said to fit
    assert done.code == 0, done.err
    for text in ("pca(components=8)", "scratch", "95 % interval", "size and file length", "5.00% promised"):
        assert text in done.out


def test_a_broken_promise_is_told(rb, detector, parts):
    """The light has changed since calibration."""
    for file in (parts / "parts/test/good").iterdir():
        Image.fromarray((255 - np.asarray(Image.open(file)) // 2).astype(np.uint8)).save(file)
    done = rb("outliers", "test", "detector", "--data", "folder:parts/test", "--json")
    assert done.document["promise"]["verdict"] == "broken"
    assert "are more than was promised" in done.err
    assert "Calibrate with such as these" in done.err


def test_images_that_were_seen_are_left_out_and_counted(rb, detector, parts):
    for file in list((parts / "parts/train/good").iterdir())[:30]:
        shutil.copy(file, parts / "parts/test/good" / f"copy_{file.name}")
    done = rb("outliers", "test", "detector", "--data", "folder:parts/test", "--json")
    assert (done.document["n_normal"], done.document["n_seen_before"]) == (40, 30)
    assert "30 images were used for fitting or calibration" in done.err


def test_metadata_that_tells_outliers_is_warned_of(rb, parts):
    words = ("--data", "folder:parts/train", "--input-size", "12", *FIT)
    assert rb("outliers", "fit", *words).code == 0
    for file in (parts / "parts/test/scratch").iterdir():
        Image.open(file).resize((24, 24)).save(file)
    done = rb("outliers", "test", "detector", "--data", "folder:parts/test", "--normal", "good", "--json")
    assert done.document["baselines"]["metadata"]["value"] > 0.9
    assert "image size and file length alone tell outliers" in done.err


def test_score_writes_heat_maps_and_a_sheet(rb, detector, parts):
    done = rb("outliers", "score", "detector", "--data", "folder:parts/test")
    assert done.code == 0, done.err
    for part, mode in (("overlay", "RGB"), ("raw", "I;16")):
        files = sorted((parts / "scores/heatmaps" / part).iterdir())
        assert len(files) == 60
        with Image.open(files[0]) as image:
            assert (image.size, image.mode) == ((16, 16), mode)
    with Image.open(parts / "scores/sheet.png") as sheet:
        assert min(sheet.size) > 300
    again = rb("outliers", "score", "detector", "--data", "images:parts/test/good", "--overwrite", "--no-heatmaps")
    assert (again.code, "pictures: sheet.png\n" in again.out) == (0, True)
    assert {file.name for file in (parts / "scores").iterdir()} == {"scores.csv", "scores.parquet", "sheet.png"}


def test_the_sheet_keeps_the_most_outlying_and_not_their_batches(tmp_path):
    """Of 100 batches of 4 the highest 60 scores, a NaN first; each picture is memory of its own."""
    detector = SimpleNamespace(map_scale=None)
    pictures = Pictures(detector, tmp_path, heatmaps=False)  # type: ignore[arg-type]
    scores = np.random.default_rng(0).permutation(400).astype(np.float32)
    scores[7] = np.nan
    for k in range(100):
        places = tuple(range(4 * k, 4 * k + 4))
        images = torch.full((4, 1, 8, 8), 0.5)
        batch = Batch(places, images, torch.zeros(4), (), tuple(f"{scores[i]:g}" for i in places), None, ())
        pictures.add(batch, pd.DataFrame({"score": scores[list(places)]}), np.zeros((4, 8, 8), np.float32))
    kept = [picture for _, _, picture in sorted(pictures.most, key=lambda entry: entry[:2], reverse=True)]
    assert [picture.file for picture in kept] == ["nan", *(f"{i}" for i in range(399, 0, -1) if i in scores)][:60]
    assert all(array.base is None for picture in kept for array in (picture.image, picture.found))


def test_a_scoring_that_never_began_leaves_the_last_one(rb, detector, parts, monkeypatch):
    assert rb("outliers", "score", "detector", "--data", "folder:parts/test", "--out", "kept").code == 0
    before = (parts / "kept/scores.csv").read_bytes()

    def stopped(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("robustbench_lite.outliers.scored.score_images", stopped)
    done = rb("outliers", "score", "detector", "--data", "folder:parts/test", "--out", "kept", "--overwrite")
    assert (done.code, "no image was finished" in done.err) == (130, True)
    assert (parts / "kept/scores.csv").read_bytes() == before
    assert (parts / "kept/heatmaps").is_dir()


def test_no_number_comes_first_and_is_said():
    table = pd.DataFrame({"file": ["a", "b", "c"], "score": [1.0, np.nan, 3.0], "alarm": [False, True, True]})
    assert _first(table) == [
        {"file": "b", "score": None, "alarm": True},
        {"file": "c", "score": 3.0, "alarm": True},
        {"file": "a", "score": 1.0, "alarm": False},
    ]


def test_pixel_measures_with_masks(rb, detector, parts):
    """The bar is where the image is white."""
    (parts / "masks/scratch").mkdir(parents=True)
    for file in (parts / "parts/test/scratch").iterdir():
        bar = (np.asarray(Image.open(file)) == 255).all(1)
        mask = np.zeros((16, 16), np.uint8)
        mask[bar] = 255
        Image.fromarray(mask).save(parts / f"masks/scratch/{file.stem}_mask.png")
    words = ("outliers", "test", "detector", "--data", "folder:parts/test")
    found = rb(*words, "--masks", "masks", "--json").document
    assert found["pixel_auroc_low"] < found["pixel_auroc"] < found["pixel_auroc_high"]
    assert found["pixel_auroc"] > 0.9
    assert "pixels: AUROC" in rb(*words, "--masks", "masks").out
    next((parts / "masks/scratch").iterdir()).unlink()
    refused = rb(*words, "--masks", "masks")
    assert refused.code == 2
    assert "1 outliers have no mask" in refused.err


def test_surfaces_know_their_masks(rb):
    words = ("--data", "surfaces:32x80", *FIT)
    assert rb("outliers", "fit", *words, "--false-alarms", "0.1", "--normal", "good").code == 0
    found = rb("outliers", "test", "detector", "--data", "surfaces:32x80", "--json").document
    assert 0 < found["pixel_auroc_low"] < found["pixel_auroc"]
    assert set(found["per_class"]) == {"scratch", "dent", "stain", "crack", "missing_print"}


def test_a_generator_is_trained_and_kept(rb, tmp_path, monkeypatch):
    monkeypatch.setattr(default_generator, "_MOST", 3)
    words = ("--score", "elbo", "--false-alarms", "0.1", "--limit", "120", "--no-probes")
    planned = rb("outliers", "fit", *words, "--dry-run")
    assert "a vae of the normal images is trained first" in planned.err
    found = rb("outliers", "fit", *words, "--json")
    assert found.code == 0, found.err
    kept = load_generator(tmp_path / "detector/generator.safetensors")
    history, told = kept.info.history, found.document["trained"]
    assert (told["generator"], told["shape"], told["likelihood"]) == (kept.spec, [1, 8, 8], "logistic")
    assert told["epochs"] == len(history["epochs"]) == 3
    assert told["val_loss"] == min(epoch["val_loss"] for epoch in history["epochs"])
    assert (history["data"], history["seconds"]) == ("digits", told["seconds"])
    shown = rb("outliers", "fit", *words, "--overwrite")
    assert "trained vae: 3 epochs, validation loss" in shown.out
    assert "nats (logistic)" in shown.out
    done = rb("outliers", "score", "detector", "--limit", "20", "--json")
    assert done.code == 0, done.err
    assert done.document["n"] == 20
