"""What judges and shows runs works where torch is not installed, with the packages that docs/ci.md names."""

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from made_runs import Made, write_made, write_shards
from packaging.requirements import Requirement

import robustbench_lite

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def wanted():
    """The packages that the page installs, and theirs, as pip would."""
    found, waiting = {}, re.search(r"^pip install ((?!--)[\w\- ]+)$", PAGE, re.MULTILINE)[1].split()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = distribution(name)
        needs = [Requirement(text) for text in found[name].requires or []]
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found.values()


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Python of an environment with links to those packages and to ours."""
    place = tmp_path_factory.mktemp("small")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    for dist in wanted():
        for top in {file.parts[0] for file in dist.files if file.parts[0] not in ("..", "__pycache__")}:
            link = packages / top
            if not link.exists():
                link.symlink_to(Path(dist.locate_file(top)))
    (packages / "robustbench_lite").symlink_to(Path(robustbench_lite.__file__).parent)
    return place / "bin" / "python"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    for name in ("one", "other"):
        write_made(place / name, Made(record={"id": f"20260101T000000Z-eval-{name}"}))
    write_shards(place / "parts", Made(examples=0))
    return place


def call(python, folder, *words):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [python, "-m", "robustbench_lite", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["torch", "torchvision", "timm", "sklearn", "safetensors"])
def test_it_is_another_environment(python, runs, name):
    done = subprocess.run(
        [python, "-I", "-c", f"import {name}"], cwd=runs, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"No module named '{name}'" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["ls"],
        ["ls", "shifts", "--json"],
        ["show", "one"],
        ["show", "one", "--json"],
        ["ls", "suites"],
        ["report", "one"],
        ["report", "one", "other", "--out", "both.html"],
        ["merge", "parts/2", "parts/1", "--out", "merged"],
        ["gate", "one", "--min", "accuracy=0.5", "--junit", "gate.xml", "--summary", "gate.md"],
        ["gate", "one", "--baseline", "other", "--max-drop", "accuracy@night(*)=0.5", "--json"],
        ["compare", "one", "other"],
        ["plot", "one", "other", "--kind", "severity", "--out", "plots"],
        ["compare", "one", "other", "--format", "html", "--out", "compared.html"],
    ],
    ids=" ".join,
)
def test_commands_run(python, runs, words):
    done = call(python, runs, *words)
    assert done.returncode == 0, done.stderr
    assert "orch" not in done.stderr
    assert done.stdout


def test_a_configuration_is_written_and_checked(python, tmp_path):
    for words in (["init", "--yes"], ["config", "check"], ["config", "show"], ["config", "schema"]):
        done = call(python, tmp_path, *words)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout, words


@pytest.mark.parametrize("words", [["eval", "--on", "night"], ["attack"], ["train"], ["doctor"]], ids=" ".join)
def test_others_say_what_is_missing(python, runs, words):
    done = call(python, runs, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*'?torch'?.*[Ii]nstall it.*\n", done.stderr), done.stderr
    assert "fault of ours" not in done.stderr
