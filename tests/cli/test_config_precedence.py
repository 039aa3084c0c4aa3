"""The commands with a file, variables and --set: which network, which images, and what the record says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robustbench_lite import followup
from robustbench_lite.cli.app import app
from robustbench_lite.inputs import Inputs


@pytest.fixture
def rb(files, monkeypatch):
    """``rb`` in the folder with networks and images, and a file for them."""
    monkeypatch.chdir(files)
    (files / "rb.toml").write_text(
        'model.spec = "nets.py:Bright"\ndata = { spec = "folder:parts", split = "all" }\n'
    )

    def call(*words, env=None):
        return CliRunner().invoke(app, list(words), env=env, catch_exceptions=False)

    return call


def record(path="run"):
    return json.loads((Path(path) / "run.json").read_text())


def test_an_attack_uses_the_network_and_the_images_of_the_file(rb):
    done = rb("attack", "--method", "fgsm", "--out", "run", "--seed", "7", env={"RB_DATA_LIMIT": "8"})
    assert done.exit_code == 0, done.output
    assert "Your own network" not in done.stderr
    found = record()
    assert (found["model"]["spec"], found["data"]["spec"], found["demo"]) == (
        "nets.py:Bright",
        "folder:parts",
        False,
    )
    assert (found["data"]["split"], found["data"]["n_used"], found["seed"]) == ("all", 8, 7)
    assert set(found["origins"]) == set(found["config"])
    said = {name: origin for name, origin in found["origins"].items() if origin != "default"}
    assert said == {
        "model": "rb.toml",
        "data": "rb.toml",
        "split": "rb.toml",
        "limit": "RB_DATA_LIMIT",
        "seed": "option",
    }


def test_without_a_file_it_is_the_demo(rb, files):
    (files / "rb.toml").unlink()
    done = rb("attack", "--method", "fgsm", "--limit", "10", "--out", "run")
    assert "Your own network" in done.stderr
    assert record()["demo"]
    assert record()["origins"]["model"] == "default"


def test_another_data_set_leaves_the_split_of_the_file_out(rb):
    done = rb(
        "shift", "--lighting", "night", "-s", "1", "--data", "folder:./parts", "--out", "run", "--limit", "2"
    )
    assert done.exit_code == 0, done.output
    assert "note: data.split of rb.toml not used: for folder:parts only" in done.stderr
    assert record()["data"]["split"] == "test"
    assert rb("shift", "--lighting", "night", "--data", "folder:./parts", "--dry-run", "-q").stderr == ""


def test_config_names_another_file(rb, files):
    (files / "elsewhere").mkdir()
    (files / "elsewhere" / "mine.toml").write_text(
        'model.spec = "../nets.py:Bright"\ndata = { spec = "folder:../parts", limit = 4, split = "all" }\n'
    )
    done = rb("eval", "--on", "clean", "--config", "elsewhere/mine.toml", "--out", "run")
    assert done.exit_code == 0, done.output
    assert record()["data"]["n_used"] == 4
    assert record()["origins"]["limit"] == "elsewhere/mine.toml"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--config", "none.toml"], "cannot read none.toml"),
        (["--set", "data.lmit=3"], "did you mean 'data.limit'?"),
        (["--set", "data.limit"], "says no value"),
    ],
)
def test_bad_settings_are_one_line_and_exit_2(rb, words, told):
    for command in (["attack"], ["doctor"], ["outliers", "fit"], ["train"]):
        done = rb(*command, *words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_fault_of_the_file_stops_every_command_that_reads_it(rb, files):
    (files / "rb.toml").write_text("data.splitt = 1\nx = 2\n")
    done = rb("attack")
    assert done.exit_code == 2
    assert done.stderr.startswith(
        "error: rb.toml: data.splitt: unknown key; did you mean 'split'? And 1 more fault"
    )
    assert rb("ls", "attacks").exit_code == 0
    assert rb("ls", "suites").exit_code == 2


def test_the_suite_of_the_file_and_of_another_file_is_run(rb, files):
    (files / "mine.toml").write_text(
        'model.spec = "nets.py:Bright"\ndata = { spec = "folder:parts", split = "all" }\n'
        'run.suite = "own"\nsuites.own.conditions = ["night(severity=1)"]\n'
    )
    done = rb("eval", "--config", "mine.toml", "--out", "run")
    assert done.exit_code == 0, done.output
    assert record()["suites"] == {"own": ["night(severity=1)"]}
    assert rb("eval").exit_code == 2
    assert rb("eval", "--set", "run.suite=quick", "--dry-run").exit_code == 0


def test_training_reads_the_images_but_not_what_is_judged(rb, files):
    with (files / "rb.toml").open("a") as file:
        file.write("[run]\nbatch_size = 3\n")
    done = rb("train", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    assert plan["data"] == "folder:parts"
    assert plan["architecture"].startswith("cnn")


def test_a_detector_is_fitted_to_the_images_of_the_file(rb):
    done = rb("outliers", "fit", "--score", "hog", "--calibration", "0", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["data"] == "folder:parts"
    done = rb("outliers", "fit", "--score", "hog", "--model", "nets.py:Bright", "--dry-run")
    assert done.exit_code == 2
    assert "no score asks a classifier, so --model means nothing" in done.stderr


def test_the_detector_of_the_file_stands_beside_the_network(rb):
    done = rb("attack", "--set", "run.detector=nowhere", "--dry-run")
    assert done.exit_code == 2
    assert "nowhere" in done.stderr
    assert rb("shift", "--lighting", "night", "--preview", "--set", "run.detector=nowhere", "-q").exit_code == 0


def test_looks_at_images_take_their_own_number(rb, files):
    (files / "rb.toml").write_text('data = { spec = "folder:parts", split = "all", limit = 9 }\n')
    done = rb("shift", "--lighting", "night", "--preview", "--json", "--dry-run")
    assert len(json.loads(done.stdout)["images"]) == 4
    done = rb("shift", "--lighting", "night", "--preview", "--json", "--dry-run", "--set", "data.limit=6")
    assert len(json.loads(done.stdout)["images"]) == 6


def test_a_line_to_repeat_says_what_was_chosen():
    chosen = Inputs(
        model="x", origins={"model": "rb.toml", "split": "option", "limit": "default", "download": "rb.toml"}
    )
    assert followup.command(chosen, "doctor") == "rb doctor --model x --split test"


def test_help_names_both(rb):
    for command in ("attack", "shift", "eval", "train", "doctor", "generate"):
        shown = re.sub(r"\x1b\[[\d;]*m", "", rb(command, "--help").stdout)
        assert "--config" in shown
        assert "--set" in shown
