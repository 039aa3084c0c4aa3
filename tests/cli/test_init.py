"""rb init: what it finds, what it writes, and that others can read it."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robustbench_lite.cli import init as init_module
from robustbench_lite.cli.app import app
from robustbench_lite.config.folder import Images, find_images, find_network
from robustbench_lite.config.reading import load_config
from robustbench_lite.config.writing import Proposal, config_file, toml_text
from robustbench_lite.suites import suites


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rb(*words, **options):
    return CliRunner().invoke(app, list(words), catch_exceptions=False, **options)


def safetensors(path, about=None, age=0):
    """An empty file of the format, with a description or without."""
    metadata = {} if about is None else {"__metadata__": {"robustbench_lite": json.dumps(about)}}
    header = json.dumps(metadata).encode()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    os.utime(path, (1e9 - age, 1e9 - age))


def images(folder, *names):
    for name in names:
        (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).touch()


CLASSIFIER = {"class_names": ["a", "b"], "kind": "classifier"}


def test_an_empty_folder_begins_with_the_demo(place):
    done = rb("init", "--yes")
    assert done.exit_code == 0, done.output
    assert done.stdout == "rb.toml\n"
    config = load_config().config
    assert (config.model.spec, config.data.spec, config.gates.allow_demo) == ("demo", "digits", False)
    assert "# allow_demo = true\n" in Path("rb.toml").read_text()
    assert "The demo network stands in until you name one of yours" in done.stderr
    assert rb("config", "check").exit_code == 0


def test_what_is_there_is_found(place):
    safetensors("old.safetensors", CLASSIFIER, age=9)
    safetensors("nets/new.safetensors", CLASSIFIER, age=5)
    safetensors("vae.safetensors", {**CLASSIFIER, "class_names": [], "kind": "generator"})
    safetensors("bare.safetensors")
    Path("broken.safetensors").write_bytes(b"\xff" * 20)
    images("parts", "train/a/1.png", "train/b/1.JPG", "test/a/1.png", "test/c/2.tiff", "test/c/notes.txt")
    images("small", "a/1.png", "b/1.png")
    images(".hidden", *(f"{c}/{i}.png" for c in "ab" for i in range(9)))
    done = rb("init", "--yes")
    config = load_config().config
    assert (config.model.spec, config.data.spec) == ("nets/new.safetensors", "folder:parts")
    assert "demo" not in Path("rb.toml").read_text()
    assert "demo" not in done.stderr
    assert find_images(Path()) == Images("parts", 3, 4, ("test", "train"))
    assert "note: found parts/, 4 images of 3 classes, divided into test, train" in done.stderr
    assert "warning: the network knows 2 classes, the images have 3" in done.stderr


def test_weights_that_say_nothing_are_named_but_not_taken(place):
    safetensors("bare.safetensors")
    assert find_network(Path()) == ("bare.safetensors", None)
    done = rb("init", "--yes")
    assert "bare.safetensors does not say what network" in done.stderr
    assert load_config().config.model.spec == "demo"


def test_images_without_a_network_are_to_be_trained_on(place):
    images("parts", "a/1.png", "b/1.png")
    done = rb("init", "--yes")
    assert load_config().config.model.spec == "net.safetensors"
    assert "Next: rb train --out net.safetensors" in done.stderr
    done = rb("config", "check")
    assert done.exit_code == 0
    assert "warning: rb.toml: model.spec: there is no net.safetensors" in done.stdout


@pytest.mark.parametrize(
    "names",
    [
        ("a/1.png",),  # one class
        ("1.png", "2.png"),  # none
        ("a/1.png", "b/1.png", "c/notes.txt"),  # rb refuses a class folder without images
    ],
)
def test_what_is_no_image_folder_is_not_proposed(place, names):
    images("parts", *names)
    assert find_images(Path()) is None


NAMES = [
    'a"b\\c',
    "tab\there",
    "new\nline",
    "é 漢字 😀",
    "\x7f\x01\x85",
    "'''",
    '"""',
    "#",
    "\u202e<script>",
    "{{ x }}<< y >>",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_text_comes_back_from_the_file(name):
    assert tomllib.loads(f"x = {toml_text(name)}") == {"x": name}
    text = config_file(Proposal(name, f"folder:{name}", "quick", 0.9, 0.5, name))
    found = tomllib.loads(text)
    assert (found["model"]["spec"], found["data"]["spec"], found["report"]["title"]) == (
        name,
        f"folder:{name}",
        name,
    )
    with pytest.raises(UnicodeEncodeError):
        toml_text("\ud800")


def test_names_that_are_no_text_are_passed_over(place):
    bad = os.fsdecode(b"p\xff")
    images(bad, "a/1.png", "b/1.png")
    assert find_images(Path()) is None
    assert rb("init", "--yes").exit_code == 0


@pytest.mark.parametrize("suite", suites())
def test_gates_can_match_in_every_suite(place, suite):
    Path("rb.toml").write_text(config_file(Proposal("demo", "digits", suite, 0.9, 0.5)))
    done = rb("config", "check")
    assert (done.exit_code, done.stdout) == (0, "rb.toml is sound: 2 gates, 0 suites of its own\n")


def test_commented_keys_are_keys(place):
    """Every key that the file only speaks of can be taken in."""
    text = config_file(Proposal("demo", "digits", "quick", 0.9, 0.5))
    lines = text.splitlines()
    plain = [
        line.removeprefix("# ") if "=" in line or line.startswith(("# [[", "# [s")) else line for line in lines
    ]
    known = [line for line in plain if line.startswith(("#", "[")) or "=" in line or not line]
    Path("rb.toml").write_text("\n".join(known))
    config = load_config().config
    assert config.model.mean == "0.485,0.456,0.406"
    assert config.gate[2].max_drop == 0.01
    assert "line" in config.suites


def test_nothing_is_replaced_unless_asked(place):
    Path("rb.toml").write_text("# mine\n")
    done = rb("init", "--yes")
    assert done.exit_code == 2
    assert "Give --overwrite" in done.stderr
    assert Path("rb.toml").read_text() == "# mine\n"
    assert rb("init", "--yes", "--overwrite").exit_code == 0
    assert "[model]" in Path("rb.toml").read_text()
    assert rb("init", "--yes", "--ci", "github").exit_code == 0
    workflow = Path(".github/workflows/robustness.yml")
    workflow.write_text("mine")
    assert rb("init", "--yes", "--ci", "github").exit_code == 2
    assert workflow.read_text() == "mine"


def test_a_section_in_the_project_is_not_hidden(place):
    Path("pyproject.toml").write_text("[tool.rb]\nrun.suite = 'quick'\n")
    done = rb("init", "--yes", "--overwrite")
    assert done.exit_code == 2
    assert "[tool.rb]" in done.stderr
    assert rb("init", "--yes", "--ci", "github").stdout == ".github/workflows/robustness.yml\n"
    assert not Path("rb.toml").exists()
    assert "--config pyproject.toml" in Path(".github/workflows/robustness.yml").read_text()


def test_it_asks_on_a_terminal_only(place, monkeypatch):
    done = rb("init")
    assert done.exit_code == 2
    assert "Give --yes" in done.stderr
    monkeypatch.setattr(init_module, "_can_ask", lambda: True)
    Path("x y").mkdir()
    answers = 'timm:resnet18\nfolder:x y\nattacks\n0.8\n0.3\nMy "part"\n'
    done = rb("init", input=answers)
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("rb.toml\n")
    config = load_config().config
    assert (config.model.spec, config.data.spec, config.run.suite) == ("timm:resnet18", "folder:x y", "attacks")
    assert [(rule.id, rule.min) for rule in config.gate] == [("clean", 0.8), ("attack", 0.3)]
    assert config.report.title == 'My "part"'


WRONG = {
    "no.safetensors\nno.py:make\n": ["no such file: no.safetensors.", "no such file: no.py."],
    "\nfolder:no\nnpz:no.npz\n": ["no such folder: no.", "no such file: no.npz."],
    "\n\nattaks\ninspektion\n": ["unknown suite 'attaks'", "Did you mean 'inspection'?"],
    "\n\n\n90\nmany\n": ["90 is no share. Give a number between 0 and 1.", "many is no share."],
    "\n\n\n\n1.5\nnan\n": ["1.5 is no share.", "nan is no share."],
}


@pytest.mark.parametrize("answers", WRONG)
def test_a_wrong_answer_is_asked_again(place, monkeypatch, answers):
    monkeypatch.setattr(init_module, "_can_ask", lambda: True)
    again = answers.splitlines()[-1] + "\n"
    for end, told in (("", "there is no answer."), (again, WRONG[answers][1])):  # nothing more, or wrong again
        done = rb("init", input=answers + end)
        assert done.exit_code == 2
        assert told in done.stderr.splitlines()[-1]
        assert list(place.iterdir()) == []
    done = rb("init", input=f"{answers}\n" + "\n" * 6)
    assert done.exit_code == 0, done.stderr
    assert all(told in done.stderr for told in WRONG[answers])
    assert load_config().config.run.suite == "inspection"


def test_the_workflow_of_github(place):
    yaml = pytest.importorskip("yaml")
    rb("init", "--yes", "--ci", "github")
    found = yaml.safe_load(Path(".github/workflows/robustness.yml").read_text())
    assert set(found[True]) == {"pull_request", "push", "workflow_dispatch"}  # YAML 1.1 reads "on" as true
    assert found["permissions"] == {"contents": "read"}
    (job,) = found["jobs"].values()
    steps = job["steps"]
    uses = [step["uses"] for step in steps if "uses" in step]
    assert all(name.startswith("actions/") and name.rpartition("@v")[2].isdecimal() for name in uses)
    runs = [step["run"] for step in steps if "run" in step]
    assert runs[2:] == [
        "rb eval --config rb.toml --out runs/ci",
        'rb gate runs/ci --config rb.toml --junit gate.xml --summary "$GITHUB_STEP_SUMMARY"',
        "rb report runs/ci --config rb.toml --out report.html",
    ]
    upload = steps[-1]
    assert upload["if"] == "${{ !cancelled() }}"
    assert upload["with"]["path"].split() == ["report.html", "gate.xml", "runs/ci"]


def test_the_workflow_of_gitlab(place):
    yaml = pytest.importorskip("yaml")
    rb("init", "--yes", "--ci", "gitlab")
    found = yaml.safe_load(Path(".gitlab-ci.yml").read_text())["robustness"]
    assert found["script"][1] == "rb eval --config rb.toml --out runs/ci"
    assert found["artifacts"]["when"] == "always"
    assert found["artifacts"]["reports"] == {"junit": "gate.xml"}
    assert found["after_script"] == ["rb report runs/ci --config rb.toml --out report.html"]


def test_a_pipeline_of_ones_own_is_never_replaced(place):
    Path(".gitlab-ci.yml").write_text("mine: {}\n")
    done = rb("init", "--yes", "--overwrite", "--ci", "gitlab")
    assert done.exit_code == 0
    assert Path(".gitlab-ci.yml").read_text() == "mine: {}\n"
    assert Path("robustness.gitlab-ci.yml").exists()
    assert "include:\n  - local: robustness.gitlab-ci.yml" in done.stderr


def test_what_rb_wrote_itself_is_not_called_yours(place):
    pipeline = Path(".gitlab-ci.yml")
    assert rb("init", "--yes", "--ci", "gitlab").exit_code == 0
    done = rb("init", "--ci", "gitlab")
    assert (done.exit_code, done.stderr) == (2, "error: .gitlab-ci.yml exists already. Give --overwrite.\n")
    assert not Path("robustness.gitlab-ci.yml").exists()
    pipeline.write_text(pipeline.read_text().replace("2 hours", "9 hours"))
    assert rb("init", "--yes", "--overwrite", "--ci", "gitlab").exit_code == 0
    assert "2 hours" in pipeline.read_text()
    with pipeline.open("a") as stream:  # a job beside it makes the file the user's own
        stream.write("mine:\n  script: [make]\n")
    assert rb("init", "--yes", "--overwrite", "--ci", "gitlab").stdout.endswith("robustness.gitlab-ci.yml\n")
    assert "mine:" in pipeline.read_text()


def test_a_workflow_names_a_suite_only_if_the_file_names_none(place):
    Path("rb.toml").write_text("run.seed = 1\n")
    rb("init", "--ci", "github")
    assert "rb eval --suite inspection --config" in Path(".github/workflows/robustness.yml").read_text()


def test_an_unknown_host_is_refused_in_our_words(place):
    done = rb("init", "--yes", "--ci", "bitbucket")
    assert (done.exit_code, done.stderr) == (2, "error: unknown --ci 'bitbucket'. Known: github, gitlab.\n")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "file"), [("github", ".github/workflows/robustness.yml"), ("gitlab", ".gitlab-ci.yml")]
)
def test_the_workflow_says_how_to_install_from_elsewhere(place, host, file):
    assert "Next: set the install line of the workflow" in rb("init", "--yes", "--ci", host).stderr
    (line,) = [line for line in Path(file).read_text().splitlines() if "git+https" in line]
    assert line.strip().startswith("#")
    assert ".whl" in line


@pytest.mark.parametrize("suite", ["odd: 'one' #", "$(touch x)"])
def test_a_suite_of_the_file_is_not_written_into_a_script(place, suite):
    Path("rb.toml").write_text(f"run.suite = {toml_text(suite)}\n")
    for host, file in (("github", ".github/workflows/robustness.yml"), ("gitlab", ".gitlab-ci.yml")):
        assert rb("init", "--ci", host).exit_code == 0
        text = Path(file).read_text()
        assert "rb eval --config rb.toml --out runs/ci" in text
        assert suite not in text


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_the_commands_of_a_workflow_exist(place, host):
    import shlex

    import typer

    rb("init", "--yes", "--ci", host)
    text = Path({"github": ".github/workflows/robustness.yml", "gitlab": ".gitlab-ci.yml"}[host]).read_text()
    commands = typer.main.get_command(app).commands
    lines = [line.partition("rb ")[2] for line in text.splitlines() if "run: rb " in line or "- rb " in line]
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line)
        command = commands[words.pop(0)]
        if hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("rb", words)
