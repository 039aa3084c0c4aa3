"""What goes before what, and what is left out with what it belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_lite.config.faults import ConfigError
from robustbench_lite.config.places import OPTIONS, anchored, variables
from robustbench_lite.config.settling import settle
from robustbench_lite.errors import InputError

FILE = """
model = { spec = "net.pt", weights = "w.pt", mean = 0.5, std = 0.25 }
data = { spec = "folder:parts", root = "sets", split = "all", group = "level:1", input_size = 96, limit = 40 }
run = { seed = 3, detector = "detector" }
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rb.toml").write_text(FILE)


def chosen(*args, **kwargs):
    """Shared options that something was said of, without their origins."""
    return {name: value for name, (value, _) in settle(*args, **kwargs).options().items()}


def test_without_anything_everything_has_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settled = settle(environ={"PATH": "x", "RB_DEBUG": "1", "RB_DATA": ""})
    assert (settled.options(), settled.origins, settled.notes, settled.warnings) == ({}, {}, (), ())


def test_set_goes_before_variables_before_the_file(file):
    environ = {"RB_RUN_SEED": "4", "RB_DATA_LIMIT": "50"}
    found = settle(sets=["run.seed=5", "run.seed=6"], environ=environ).options()
    assert found["seed"] == (6, "--set")
    assert found["limit"] == (50, "RB_DATA_LIMIT")
    assert found["data"] == ("folder:parts", "rb.toml")
    assert "device" not in found


def test_nothing_behind_set_brings_the_default_back(file):
    assert "group" not in chosen(sets=["data.group="])
    assert settle(sets=["run.detector="]).config.run.detector is None


@pytest.mark.parametrize(
    ("sets", "key", "value"),
    [
        ("data.download=true", "download", True),
        ("data.input_size=64", "input_size", "64"),
        ("data.group='part(\\d+)'", "group", "part(\\d+)"),
        ("data.group=part(\\d+)", "group", "part(\\d+)"),
        ("data.split=2024", "split", "2024"),
        ("data.max_damaged=1", "max_damaged", 1.0),
        ("data.root=a\nb = 3", "data_root", Path("a\nb = 3")),
        (" data.limit = 7 ", "limit", 7),
    ],
)
def test_values_are_toml_or_text(file, sets, key, value):
    assert chosen(sets=[sets])[key] == value


def test_lists_and_words_are_set_too(file):
    config = settle(sets=["suites.mine.conditions=['clean', 'fgsm']", "run.suite=mine"]).config
    assert config.suites["mine"].conditions == ("clean", "fgsm")
    assert config.run.suite == "mine"


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ("data.lmit=3", "--set data.lmit: unknown key; did you mean 'data.limit'?"),
        ("limit=3", "--set limit: unknown key; did you mean 'data.limit'?"),
        ("seed=3", "--set seed: unknown key; did you mean 'run.seed'?"),
        ("gate.night.min=3", "--set gate.night.min: what is judged and signed stands in the file only"),
        ("gates.allow_demo=true", "--set gates.allow_demo: what is judged and signed stands in the file only"),
        ("data=3", "--set data is a table"),
        ("suites.mine=3", "--set suites.mine: unknown key"),
        ("data.limit", "--set data.limit says no value"),
        ("data.limit=many", "--set: data.limit: is 'many', and must be a whole number"),
        ("data.limit=0", "--set: data.limit: is 0, and must be at least 1"),
    ],
)
def test_what_cannot_be_set_is_refused(file, sets, told):
    with pytest.raises(InputError) as caught:
        settle(sets=[sets])
    assert str(caught.value).startswith(told)


def test_a_fault_in_a_variable_names_it(file):
    with pytest.raises(ConfigError, match=r"^RB_RUN_SEED: run\.seed: is 'x', and must be a whole number"):
        settle(environ={"RB_RUN_SEED": "x"})


def test_a_variable_that_means_nothing_is_named(file):
    environ = {
        "RB_DATA_SPLITT": "x",
        "RB_MODEL_SPEC": "x",
        "RB_DEBUG": "1",
        "RBX": "1",
        "RB_ZZZ": "1",
        "RB_GATES_ALLOW_DEMO": "1",
    }
    assert settle(environ=environ).warnings == (
        "the variable RB_DATA_SPLITT means nothing. Did you mean RB_DATA_SPLIT?",
        "the variable RB_GATES_ALLOW_DEMO means nothing.",
        "the variable RB_MODEL_SPEC means nothing. Did you mean RB_MODEL_STD?",
        "the variable RB_ZZZ means nothing.",
    )


def test_every_shared_option_has_a_variable():
    from dataclasses import fields

    from robustbench_lite.inputs import Inputs

    assert set(OPTIONS.values()) <= set(variables().values())
    assert [*OPTIONS] == [f.name for f in fields(Inputs) if f.name != "origins"]


OF_MODEL = {"weights", "mean", "std", "input_size"}
OF_DATA = {"data_root", "split", "group"}


@pytest.mark.parametrize("how", [{"options": {"model": "x.pt"}}, {"environ": {"RB_MODEL": "x.pt"}}])
def test_what_is_said_of_a_network_is_not_applied_to_another(file, how):
    settled = settle(**how)
    assert OF_MODEL & set(settled.options()) == set()
    assert set(settled.options()) >= OF_DATA
    assert settled.notes == (
        "model.weights, model.mean, model.std, data.input_size of rb.toml not used: for net.pt only",
    )


@pytest.mark.parametrize("how", [{"options": {"data": "npz:x"}}, {"sets": ["data.spec=npz:x"]}])
def test_what_is_said_of_data_is_not_applied_to_others(file, how):
    settled = settle(**how)
    assert OF_DATA & set(settled.options()) == set()
    assert set(settled.options()) >= OF_MODEL | {"limit"}
    assert settled.notes == ("data.root, data.split, data.group of rb.toml not used: for folder:parts only",)


def test_the_same_network_keeps_what_is_said_of_it(file):
    assert set(chosen(options={"model": "net.pt", "data": "folder:parts"})) >= OF_MODEL | OF_DATA


def test_a_variable_beside_a_variable_holds(file):
    found = settle(environ={"RB_MODEL": "x.py:net", "RB_MODEL_WEIGHTS": "x.pt"}).options()
    assert found["weights"] == (Path("x.pt"), "RB_MODEL_WEIGHTS")
    assert "mean" not in found
    found = settle(environ={"RB_MODEL_WEIGHTS": "x.pt"}, options={"model": "y.py:net"}).options()
    assert "weights" not in found


def test_where_the_sets_of_this_machine_are_holds_for_all_data(file):
    assert chosen(environ={"RB_DATA_ROOT": "/sets"}, options={"data": "mnist"})["data_root"] == Path("/sets")


def test_of_two_that_go_together_the_one_that_is_said_last_decides(file):
    assert not {"mean", "std"} & set(chosen(options={"mean": "imagenet"}))
    assert "limit" not in chosen(options={"first": 3})
    assert chosen(environ={"RB_DATA_FIRST": "3"})["first"] == 3
    assert "limit" not in chosen(environ={"RB_DATA_FIRST": "3"})


def test_what_a_command_leaves_unread_can_still_be_set(file):
    unread = ["model", "weights", "split"]
    found = chosen(unread=unread, environ={"RB_DATA_SPLIT": "val"}, sets=["model.spec=cnn"])
    assert found["model"] == "cnn"
    assert not {"weights", "split"} & set(found)
    # The sizes are those of the images then, whatever network learns from them.
    assert chosen(unread=unread, options={"model": "cnn"})["input_size"] == "96"


def test_paths_start_at_the_file(file, tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    settled = settle("../rb.toml", environ={"RB_MODEL_WEIGHTS": "mine.pt"})
    found = {name: str(value) for name, (value, _) in settled.options().items()}
    assert found["model"] == "../net.pt"
    assert found["weights"] == "mine.pt"
    assert found["data"] == "folder:../parts"
    assert found["data_root"] == "../sets"
    assert settled.config.run.detector == Path("../detector")
    assert settled.origins["model.spec"] == "../rb.toml"


@pytest.mark.parametrize(
    ("key", "text", "seen"),
    [
        ("model", "demo", "demo"),
        ("model", "cnn(width=8)", "cnn(width=8)"),
        ("model", "timm:resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("model", "nets.py:make(gain=2)", "in/nets.py:make(gain=2)"),
        ("model", "package.nets:make", "package.nets:make"),
        ("model", "/abs/net.safetensors", "/abs/net.safetensors"),
        ("data", "mnist", "mnist"),
        ("data", "Folder:a/b", "Folder:in/a/b"),
        ("data", "folder:/a", "folder:/a"),
        ("data", "run:runs/one#fgsm(eps=0.1)", "run:in/runs/one#fgsm(eps=0.1)"),
        ("data", "own.py:load:x", "in/own.py:load:x"),
        ("data", "folder:a.py:b", "folder:in/a.py:b"),
    ],
)
def test_which_texts_are_paths(key, text, seen):
    assert anchored({(key, "spec"): text}, Path("in")) == {(key, "spec"): seen}
    assert anchored({(key, "spec"): text}, Path()) == {(key, "spec"): text}
