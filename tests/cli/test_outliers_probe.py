"""``rb outliers probe``, and the probes that ``rb outliers fit`` tries at once."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from robustbench_lite.cli.app import app

FILES = ["probes.csv", "probes.png", "scatter.png"]


def rb(*words):
    return CliRunner().invoke(app, ["outliers", *map(str, words)])


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probed") / "detector"
    done = rb(
        "fit", "--score", "pca(components=12)", "--limit", 400, "--false-alarms", "0.05", "--out", folder, "--json"
    )
    assert done.exit_code == 0, done.output
    return folder, json.loads(done.stdout)


def test_fitting_probes_at_once(detector):
    folder, result = detector
    with open(folder / "probes.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = {row["score"] for row in rows}
    assert scores == {"detector", "pca(components=12)", "pca"}
    first = next(row for row in rows if row["score"] == "detector" and row["symmetry"] == "False")
    assert first["probe"] == result["probes"]["worst_probe"]
    assert float(first["auroc"]) == pytest.approx(result["probes"]["worst_auroc"])
    for name in FILES[1:]:
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 200


def test_probing_later_with_a_shift_of_ones_own(detector, tmp_path):
    folder, _ = detector
    done = rb("probe", folder, "--probe", "gamma(severity=5)", "--out", tmp_path / "p", "--limit", 60)
    assert done.exit_code == 0, done.output
    assert "gamma(severity=5)" in done.stdout
    assert "worst case: " in done.stdout
    assert "pca(components=12) prefers outliers (AUROC < 0.5): " in done.stdout  # blurred digits
    assert sorted(file.name for file in (tmp_path / "p").iterdir()) == FILES


def test_the_same_twice(detector, tmp_path):
    folder, _ = detector
    found = [rb("probe", folder, "--limit", 50, "--dry-run", "--json") for _ in range(2)]
    assert found[0].stdout == found[1].stdout
    assert json.loads(found[0].stdout)["n"] == 50


def test_without_probes(tmp_path):
    done = rb(
        "fit",
        "--score",
        "pca",
        "--no-probes",
        "--limit",
        400,
        "--false-alarms",
        "0.05",
        "--out",
        tmp_path / "d",
        "--json",
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["probes"] is None
    assert not (tmp_path / "d" / "probes.csv").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--probe", "pgd"], "no shift"),
        (["--probe", "nigth"], "nigth"),
        (["--limit", "5"], "too few"),
        (["--split", "train"], "used for fitting"),
    ],
)
def test_bad_input(detector, words, reason):
    done = rb("probe", detector[0], *words)
    assert done.exit_code == 2
    assert reason in done.output
    assert "Traceback" not in done.output
