"""``rb shift``: whole families, previews, calibrated scales."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from robustbench_lite import InputError, load_dataset, make, registry
from robustbench_lite.applying import apply, shifted
from robustbench_lite.previews import preview
from robustbench_lite.runs import read_run
from robustbench_lite.shifts.tone import Brightness

PARTS = ("--data", "folder:parts", "--split", "all")


def conditions(done):
    return [row["condition"] for row in done.document["results"]]


def of(family):
    return [name for name in registry.names("shift") if registry.family(name) == family]


def test_all_names_every_shift_of_a_family(rb):
    done = rb("shift", "--sensor", "All", "--severity", "1,4", "--limit", 10, "--json")
    assert done.code == 0, done.err
    grey = [name for name in of("sensor") if not registry.load("shift", name).needs_colour]
    assert conditions(done) == ["clean", *(f"{name}(severity={s})" for name in grey for s in (1, 4))]


def test_all_leaves_out_colour_where_there_is_none_and_says_so(rb, monkeypatch):
    monkeypatch.setattr(Brightness, "needs_colour", True)
    done = rb("shift", "--digital", "all", "--severity", 2, "--limit", 10, "--json")
    assert done.code == 0, done.err
    assert "contrast(severity=2)" in conditions(done)
    assert not any(name.startswith("brightness") for name in conditions(done))
    (note,) = [line for line in done.err.splitlines() if "left out" in line]
    assert "1 channel(s)" in note
    assert "brightness" in note
    assert any("brightness" in told for told in read_run(done.document["run"]).record.data.notes)


def test_colour_that_was_asked_for_by_name_is_refused_beside_all(rb, monkeypatch):
    monkeypatch.setattr(Brightness, "needs_colour", True)
    done = rb("shift", "--digital", "all", "--digital", "brightness", "--severity", 2, "--limit", 10)
    assert done.code == 2
    assert "3 channels" in done.err


def test_all_is_refused_where_only_colour_is_left(rb, monkeypatch):
    for name in of("digital"):
        monkeypatch.setattr(registry.load("shift", name), "needs_colour", True)
    done = rb("shift", "--digital", "all", "--limit", 10)
    assert done.code == 2
    assert "changes colour" in done.err


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_preview_shows_the_images_that_would_be_classified(rb, tmp_path):
    done = rb(
        "shift", "--preview", "--digital", "contrast", "--severity", "1,4", "--limit", 3, "--seed", 5, "--json"
    )
    assert done.code == 0, done.err
    assert done.document["preview"] == "preview.png"
    assert done.document["shifts"] == ["contrast"]
    assert [p.name for p in tmp_path.iterdir()] == ["preview.png"]
    some = load_dataset("digits", limit=3, seed=5)
    assert done.document["images"] == list(some.files)
    (batch,) = some.batches(3)
    sheet = opened((tmp_path / "preview.png").read_bytes())
    for severity in (1, 4):
        changed = shifted(make(f"contrast(severity={severity})"), batch.images, batch.sample_ids, 5)
        for image in (changed * 255).round().byte().numpy()[:, 0]:
            tile = np.kron(image, np.ones((10, 10), np.uint8))  # 8 px enlarged to 80
            rows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], 80, axis=1)
            assert (rows == tile[0]).all(2).any(), "a row of pixels of the changed image is nowhere on the sheet"


def test_a_preview_is_what_an_evaluation_does():
    (batch,) = load_dataset("digits", limit=4).batches(4)
    chain = make("night(severity=3) + gaussian_noise(severity=2) + gaussian_noise(severity=2)")
    nobody = batch.images.new_zeros(4, 10)
    outcome = apply(chain, None, batch.images, batch.labels, nobody, batch.sample_ids, 3)
    assert (shifted(chain, batch.images, batch.sample_ids, 3) == outcome.images).all()


def test_preview_asks_no_network(rb, files, monkeypatch):
    monkeypatch.setattr("robustbench_lite.classifiers.classifier.Classifier.__init__", None)
    done = rb(
        "shift", "--preview", "--lighting", "night", "--geometry", "rotation(degrees=20)", *PARTS, "-o", "a/b.png"
    )
    assert done.code == 0, done.err
    assert "2 shifts, 4 images of" in done.out
    assert (files / "a" / "b.png").is_file()


def test_preview_comes_in_the_shape_that_the_network_takes(rb, files, checkpoint):
    plain, shaped = (
        rb("shift", "--preview", "--lighting", "night", *PARTS, "--out", name, *more)
        for name, more in (("a.png", ()), ("b.png", ("--model", checkpoint)))
    )
    assert plain.code == shaped.code == 0, shaped.err
    first, second = (opened((files / name).read_bytes()) for name in ("a.png", "b.png"))
    assert first.shape != second.shape  # 12 pixels enlarged by 6, 8 by 10


def test_preview_leaves_out_colour_that_only_all_has_named(rb, monkeypatch):
    monkeypatch.setattr(Brightness, "needs_colour", True)
    done = rb("shift", "--preview", "--digital", "all", "--limit", 1, "--dry-run", "--json")
    assert "contrast" in done.document["shifts"]
    assert "brightness" not in done.document["shifts"]
    assert "brightness" in done.err
    assert rb("shift", "--preview", "--digital", "brightness").code == 2


def test_preview_replaces_nothing_unasked(rb, refused, tmp_path):
    words = ("shift", "--preview", "--digital", "contrast", "--limit", 1)
    assert rb(*words, "--dry-run").code == 0
    assert not list(tmp_path.iterdir())
    assert rb(*words).code == 0
    before = (tmp_path / "preview.png").read_bytes()
    assert "preview.png exists already. Choose another --out, or give --overwrite." in refused(*words)
    assert (tmp_path / "preview.png").read_bytes() == before
    assert rb(*words, "--overwrite", "--severity", 5).code == 0
    assert (tmp_path / "preview.png").read_bytes() != before
    assert "must end in .png" in refused(*words, "--out", "sheet.jpg")


def test_preview_refuses_attacks_and_no_images():
    some = load_dataset("digits", limit=2)
    with pytest.raises(InputError, match="is no shift"):
        preview(some, [["pgd(eps=0.1)"]])


def test_all_of_nothing_asked_with_preview(refused):
    assert "no shift was named" in refused("shift", "--preview")


def test_calibrated_levels_are_severities_of_the_conditions(rb, tmp_path):
    words = ("--digital", "contrast", "--sensor", "gaussian_noise")
    done = rb("shift", "--calibrate", *words, "--limit", 20, "--psnr", "28,14", "--out", "own.json", "--json")
    assert done.code == 0, done.err
    assert "gaussian_noise does not reach 14 dB" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["own.json"]
    found = {name: [level["severity"] for level in s["levels"]] for name, s in done.document["shifts"].items()}
    ran = rb("shift", "--scale", "own.json", *words, "--limit", 30, "--json")
    assert ran.code == 0, ran.err
    specs = [f"contrast(severity={s})" for s in found["contrast"]] + [
        f"gaussian_noise(severity={found['gaussian_noise'][0]})"
    ]
    assert conditions(ran) == ["clean", *sorted(specs, key=lambda spec: "contrast" in spec)]
    assert "severity 1-2 stands for a PSNR of 28, 14 dB on digits, as own.json says" in ran.err
    assert "level 2 of gaussian_noise" in ran.err
    notes = read_run(ran.document["run"]).record.data.notes
    assert any("own.json" in note for note in notes)


def test_another_size_than_calibrated_on_is_said(rb):
    assert rb("shift", "--calibrate", "--digital", "contrast", "--limit", 5, "--psnr", "20").code == 0
    done = rb("shift", "--scale", "severities.json", "--digital", "contrast", "--preview", "--input-size", 16)
    assert done.code == 0
    assert "the scale was calibrated on images of 8 × 8 pixels" in done.err


def test_all_takes_what_the_scale_has(rb):
    assert rb("shift", "--calibrate", "--digital", "contrast", "--limit", 5, "--psnr", "20").code == 0
    done = rb("shift", "--scale", "severities.json", "--digital", "all", "--limit", 10, "--json")
    assert [name.partition("(")[0] for name in conditions(done)] == ["clean", "contrast"]
    assert "left out, because the scale has no severity for it: level 1 of brightness" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--calibrate", "--preview"), "two things"),
        (("--calibrate", "--severity", "3"), "--severity means nothing"),
        (("--calibrate", "--psnr", "loud"), "--psnr loud is no list"),
        (("--calibrate", "--psnr", "20,30"), "is no scale"),
        (("--calibrate", "--out", "a.txt"), "must end in .json"),
        (("--psnr", "30"), "Give --calibrate"),
        (("--overwrite",), "--overwrite"),
        (("--scale", "none.json"), "cannot read none.json"),
    ],
)
def test_options_that_mean_nothing_together(refused, words, told):
    assert told in refused("shift", "--digital", "contrast", *words)


def test_a_level_that_is_not_there_or_not_reached(rb, refused):
    assert rb("shift", "--calibrate", "--digital", "contrast", "--limit", 5, "--psnr", "20,1").code == 0
    words = ("shift", "--scale", "severities.json", "--digital")
    assert "level 3 is out of range: the scale has 2" in refused(*words, "contrast", "--severity", 3)
    assert "no severity for level 2 of contrast" in refused(*words, "contrast", "--severity", 2)
    assert "jpeg was not calibrated" in refused(*words, "jpeg")


def test_until_finds_the_breaking_point_and_shows_it(rb):
    done = rb("shift", "--digital", "contrast", "--until", 0.9, "--tolerance", 0.5, "--limit", 60)
    assert done.code == 0, done.err
    words = " ".join(done.out.split())
    assert "Severity at which the accuracy falls below 90 % of the clean one" in words
    assert "contrast(severity=5)" in words
    assert "contrast(severity=2.5)" not in words  # only the scan is shown
    assert max(map(len, done.out.splitlines())) <= 140


def test_until_has_every_severity_in_the_document(rb):
    done = rb("shift", "--digital", "jpeg", "--until", 0.5, "-s", "2,4", "--limit", 20, "--json")
    assert done.code == 0, done.err
    (point,) = done.document["breaking_points"]
    assert point["scan"] == [2, 4]
    assert conditions(done) == ["clean", *(f"jpeg(severity={s:g})" for s in point["severities"])]
    assert [level["severity"] for level in done.document["sweeps"][0]["levels"]] == [0, 2, 4]


def test_until_says_what_it_may_cost(rb):
    done = rb("shift", "--digital", "jpeg", "--until", 0.9, "--limit", 20, "--dry-run", "--json")
    clean, jpeg = done.document["conditions"]
    assert (jpeg["condition"], jpeg["severities"], jpeg["forwards_per_sample"]) == ("jpeg", 20, 20)
    assert clean["forwards_per_sample"] == 6
    assert "severities at most" in rb("shift", "--digital", "jpeg", "--until", 0.9, "--dry-run").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--digital", "contrast", "--until", "1.5"), "until=1.5 is no share of the clean accuracy"),
        (("--digital", "contrast(severity=2)", "--until", "0.9"), "says its severity"),
        (("--digital", "contrast(factor=0.5)", "--until", "0.9"), "has no severity"),
        (("--digital", "contrast", "--until", "0.9", "--tolerance", "0"), "tolerance=0 is out of range"),
        (("--digital", "contrast", "--until", "0.9", "--preview"), "--preview means nothing to --until"),
        (("--digital", "contrast", "--tolerance", "0.1"), "Give --until"),
        (("--suite", "cifar10-c", "--until", "0.9"), "a published set has five severities"),
    ],
)
def test_what_until_cannot_mean_is_refused(refused, words, told):
    assert told in refused("shift", *words)


RANGES = "night(exposure_ev=-4..-1) + rotation(degrees=-10..10)"


def test_search_finds_the_worst_for_all_and_for_each(rb, tmp_path):
    done = rb("shift", "--search", RANGES, "--limit", 30, "--tries", 16, "--json", "--out", "run")
    assert done.code == 0, done.err
    (search,) = done.document["searches"]
    assert (search["ranges"], search["tries"], search["method"]) == (RANGES, 16, "gradient")
    assert conditions(done) == ["clean", search["together"], search["each"]]
    _, together, each = (row["accuracy"] for row in done.document["results"])
    assert each <= together < 0.6
    again = rb("eval", "--on", search["together"], "--limit", 30, "--json")
    assert again.document["results"][1]["accuracy"] == together
    table = pd.read_parquet(tmp_path / "run" / "search.parquet")
    assert list(table) == ["index", "sample_id", "condition", "night.exposure_ev", "rotation.degrees", "search"]
    assert table["night.exposure_ev"].between(-4, -1).all()
    run = read_run("run")
    assert sorted(table["sample_id"]) == sorted(set(run.samples["sample_id"]))
    told = {e.sample_id: e.how for e in run.record.examples if e.condition == search["each"]}
    assert told.items() <= dict(zip(table["sample_id"], table["condition"], strict=True)).items()
    assert all(not e.how for e in run.record.examples if e.condition == search["together"])
    shown = rb("show", "run")
    assert f"Worst case in {RANGES}" in shown.out
    assert "upper bound" in shown.out
    assert rb("report", "run").code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Search for the worst case" in page
    assert "<dt>under</dt>" in page


def test_search_beside_other_shifts_and_what_it_will_cost(rb, tmp_path):
    words = ("--search", "brightness(add=-0.3..0)", "--digital", "contrast", "--severity", 2, "--limit", 10)
    plan = rb("shift", *words, "--tries", 32, "--dry-run", "--json").document["conditions"]
    assert [row["condition"] for row in plan] == ["clean", "contrast(severity=2)", "brightness(add=-0.3..0)"]
    assert (plan[2]["forwards_per_sample"], plan[2]["gradients_per_sample"]) == (34, 8)
    assert not list(tmp_path.iterdir())
    done = rb("shift", *words, "--tries", 32, "--json")
    assert conditions(done)[:2] == ["clean", "contrast(severity=2)"]
    (search,) = done.document["searches"]
    assert search["method"] == "gradient"
    assert 0 < search["forwards"] <= 320
    assert search["gradients"] <= 80


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--search", "night"), "has no range"),
        (("--search", "night(exposure_ev=-4..1)"), "out of range"),
        (("--search", "pgd(eps=0..0.1)"), "is no shift"),
        (("--search", RANGES, "--tries", 0), "tries=0"),
        (("--search", RANGES, "--preview"), "--search asks the network"),
        (("--lighting", "night", "--tries", 9), "Give --search"),
        (("--lighting", "night(exposure_ev=-4..-1)"), "rb shift --search"),
    ],
)
def test_searches_that_cannot_be(refused, words, told):
    assert told in refused("shift", *words)


def test_search_of_colour_on_grey_images_is_refused(refused, monkeypatch):
    monkeypatch.setattr(Brightness, "needs_colour", True)
    assert "changes colour" in refused("shift", "--search", "brightness(add=0..0.3)", "--limit", 5)
