"""Reading rb.toml: what is refused, where it says that the fault is, and what it takes to be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

import robustbench_lite as rb
from robustbench_lite.config.faults import ConfigError
from robustbench_lite.config.reading import find_config, load_config
from robustbench_lite.config.schema import Config
from robustbench_lite.errors import InputError


def faults(tmp_path, text):
    file = tmp_path / "rb.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data.splitt = 'test'", "data.splitt: unknown key; did you mean 'split'?"),
        ("run.batch-size = 3", "run.batch-size: unknown key; did you mean 'batch_size'?"),
        ("datas = {}", "datas: unknown key; did you mean 'data'?"),
        ("seed = 1", "seed: unknown key; did you mean 'run.seed'?"),
        ("data.seed = 1", "data.seed: unknown key; did you mean 'run.seed'?"),
        ("suites.mine.includ = []", "suites.mine.includ: unknown key; did you mean 'include'?"),
        ("report.zzzz = 1", "report.zzzz: unknown key; known: title, product, intended_use, organisation, sign"),
        ("[[gate]]\nid='n'\nmin=1\nmaxdrop=1", "gate[n].maxdrop: unknown key; did you mean 'max_drop'?"),
        ("[[gate]]\nid='n'\nmin=1\nwhere.clas='a'", "gate[n].where.clas: unknown key; did you mean 'class'?"),
        ("[[gate]]\nmin=1", "gate[number 1].id: is missing"),
        ("[[gate]]\nid='a'\nmin=true", "gate[a].min: is true, and must be a number"),
        ("[[gate]]\nid='a'\nmin=1\nlevel='hard'", "gate[a].level: is 'hard', and must be 'fail' or 'warn'"),
        ("[[gate]]\nid='a'", "gate[a]: give min and/or max, or else max_drop and/or max_rise"),
        ("[[gate]]\nid='a'\nmin=1\n[[gate]]\nid='a'\nmax=1", "two gates have the id 'a'"),
        ("gate = 3", "gate: is 3, and must be a list, in [ ]"),
        ("run = 'x'", "run: is 'x', and must be a table"),
        ("run.seed = '3'", "run.seed: is '3', and must be a whole number"),
        ("run.seed = 1.5", "run.seed: is 1.5, and must be a whole number"),
        ("data.download = 'yes'", "data.download: is 'yes', and must be true or false"),
        ("data.limit = 0", "data.limit: is 0, and must be at least 1"),
        ("data.max_damaged = nan", "data.max_damaged: is nan, and must be a finite number"),
        ("gates.confidence = 1", "gates.confidence: is 1, and must be less than 1"),
        (
            "suites.s.conditions = ['clean', 3]",
            "suites.s.conditions[number 2]: is 3, and must be a text in quotes",
        ),
        ("suites.s.conditions = 'clean'", "suites.s.conditions: is 'clean', and must be a list, in [ ]"),
        ("report.title = 2026-01-31", None),  # a date is taken as text
    ],
)
def test_a_fault_has_its_place_and_what_was_meant(tmp_path, text, told):
    if told is None:
        (tmp_path / "rb.toml").write_text(text)
        assert load_config(tmp_path / "rb.toml").config.report.title == "2026-01-31"
    else:
        assert faults(tmp_path, text) == [told]


def test_all_faults_are_kept_and_the_message_says_how_many_more(tmp_path):
    found = faults(tmp_path, "data.splitt = 1\nseed = 1\nrun.seed = 'x'")
    assert len(found) == 3
    with pytest.raises(ConfigError, match=r"rb\.toml: .*And 2 more faults: rb config check lists all\."):
        load_config(tmp_path / "rb.toml")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[model]\nspec = demo\n", r"rb\.toml:2:8: Invalid value\."),
        (b"[model\n", r"rb\.toml:1:7: "),
        (b"seed = 1\nseed = 2\n", r"rb\.toml:2:9: Cannot overwrite a value\."),
        (b"a = '\xff'\n", r"rb\.toml:1:6: not UTF-8\."),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "Exceeds the limit"),
        (b'a = """\n\n', r"rb\.toml:3:1: Unterminated string"),
    ],
)
def test_what_is_no_toml_is_refused_with_line_and_column(tmp_path, content, told):
    file = tmp_path / "rb.toml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=told):
        load_config(file)


def test_a_message_holds_no_escapes_and_no_end_of_line(tmp_path):
    (fault,) = faults(tmp_path, '"\\u001b[31mx\\n\\u202e::error::" = 1')
    assert all(c.isprintable() for c in fault)
    (fault,) = faults(tmp_path, f"run.device = ['{'x' * 10_000}', 1]\n")
    assert len(fault) < 100


def test_numbers_may_stand_for_the_options_that_are_texts(tmp_path):
    (tmp_path / "rb.toml").write_text(
        "data.input_size = 96\nmodel.spec='x'\nmodel.mean = [0.5, 0.25]\nmodel.std = 1\n"
    )
    config = load_config(tmp_path / "rb.toml").config
    assert (config.data.input_size, config.model.mean, config.model.std) == ("96", "0.5,0.25", "1")


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    (tmp_path / "rb.toml").write_bytes(b"\xef\xbb\xbf[data]\r\nlimit = 3\r\n")
    assert load_config(tmp_path / "rb.toml").config.data.limit == 3


def test_which_file_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config() is None
    assert load_config().config == Config()
    assert load_config().path is None
    project = Path("pyproject.toml")
    project.write_text("[tool.ruff]\nline-length = 3\n")
    assert find_config() is None
    project.write_text("[tool.ruff\n")  # not our concern
    assert find_config() is None
    project.write_text("[tool.rb.data]\nlimit = 3\n")
    assert load_config().config.data.limit == 3
    assert load_config().notes == ()
    Path("rb.toml").write_text("data.limit = 4\n")
    assert load_config().config.data.limit == 4
    assert load_config().notes == ("rb.toml holds, and not [tool.rb] in pyproject.toml",)
    assert load_config("pyproject.toml").config.data.limit == 3
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert find_config() is None  # folders above are not looked at


def test_a_broken_project_file_that_is_ours_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text("[tool.rb]\nmodel = {\n[tool.ruff\n")
    with pytest.raises(InputError, match=r"pyproject\.toml:\d+:\d+"):
        load_config()


@pytest.mark.parametrize("text", ["", "tool = 3", "[tool.ruff]"])
def test_a_named_project_file_must_have_the_section(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(InputError, match=r"has no \[tool\.rb\]"):
        load_config(tmp_path / "pyproject.toml")


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            load_config(path)


def test_paths_are_relative_to_the_file(tmp_path):
    file = tmp_path / "rb.toml"
    file.write_text("")
    loaded = rb.load_config(file)
    assert loaded.resolve("runs/main") == tmp_path / "runs" / "main"
    assert loaded.resolve("/runs/main") == Path("/runs/main")
    assert rb.load_config(str(file)).given == {}
