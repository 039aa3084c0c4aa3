"""The documentation is complete, and what it shows works.

A ``console`` block is run: its ``$ rb …`` and ``$ python FILE`` lines, in order, in a folder that holds
``parts/``, ``parts.npz``, ``examples/`` and (unless the page makes it) ``net.safetensors``. A line that must fail
ends in ``# exit CODE``. ``rb`` lines in ``text`` blocks are only parsed. A Python block whose first line is
``# file.py`` is written there first, and if it names a file of ``examples/`` it must be that file; so is a
``toml`` block that begins with ``# rb.toml``. Another ``toml`` block holds a package's entry points.
"""

import re
import runpy
import shlex
import shutil
import sys
import tomllib
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from pydantic import BaseModel
from typer.testing import CliRunner

from robustbench_lite import descriptions, load_classifier, registry
from robustbench_lite.cli.app import app
from robustbench_lite.records import RunRecord
from robustbench_lite.run_rows import COLUMNS

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def flattened(commands, prefix=""):
    """The commands of a group as ``group command``."""
    for name, command in commands.items():
        inner = getattr(command, "commands", None)
        yield from flattened(inner, f"{prefix}{name} ") if inner else [(f"{prefix}{name}", command)]


COMMANDS = dict(flattened(typer.main.get_command(app).commands))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def lines(page, language):
    joined = "\n".join(blocks(page, language)).replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def code():
    """Everything that is set as code, on all pages."""
    text = "\n".join(PAGES.values())
    fenced = re.findall(r"^```\w*\n.*?^```", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`[^`\n]+`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return "\n".join(fenced + inline)


def is_mentioned(word):
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", code()) is not None


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_every_registered_name_is_documented(kind):
    assert [name for name in registry.BUILTIN[kind] if not is_mentioned(name)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command):
    assert f"rb {command}" in code()
    options = [flag for parameter in COMMANDS[command].params for flag in parameter.opts if flag.startswith("-")]
    assert [flag for flag in options if not is_mentioned(flag)] == []


@pytest.mark.parametrize("kind", ["attack", "shift", "generator", "defence", "score"])
def test_every_argument_is_documented(kind):
    arguments = {a for entry in descriptions.describe(kind) for a in entry.parameters}
    assert [a for a in sorted(arguments) if not is_mentioned(a)] == []


def fields(model, prefix=""):
    """Dotted paths of all fields, as run.md writes them."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        inner = getattr(field.annotation, "__args__", (field.annotation,))[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            many = "[]" if typing.get_origin(field.annotation) is list else ""
            yield from fields(inner, f"{prefix}{name}{many}.")


def documented(heading):
    section = PAGES["run.md"].partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_run_page_has_every_field_of_the_record():
    assert documented("run.json") == list(fields(RunRecord))


def test_run_page_has_every_column_with_its_type():
    assert documented("samples.parquet") == list(COLUMNS)
    for name, dtype in COLUMNS.items():
        assert f"| `{name}` | {dtype} |" in PAGES["run.md"]


def anchors(text):
    """What GitHub makes of the headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        place, _, anchor = target.partition("#")
        if "://" in place:
            continue
        assert not place or (ROOT / "docs" / place).exists(), target
        if anchor:
            assert anchor in anchors(PAGES[place or page]), target


def test_index_names_every_page():
    assert [page for page in PAGES if page != "README.md" and f"({page})" not in PAGES["README.md"]] == []


@pytest.mark.parametrize("page", [p for p in PAGES if lines(p, "(?:console|text)")])
def test_commands_parse(page):
    for line in lines(page, "(?:console|text)"):
        words = shlex.split(line, comments=True)
        known = next((n for n in (3, 2) if words[0] == "rb" and " ".join(words[1:n]) in COMMANDS), None)
        if known:
            COMMANDS[" ".join(words[1:known])].make_context("rb", words[known:])
        else:
            assert words[0] in ("python", "pip") or words == ["rb", "--version"], line


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder that the pages' commands find: small images of two classes, and a network for them."""
    folder = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(0)
    images, labels, cameras = [], [], []
    for split, count in (("train", 8), ("val", 2), ("test", 2)):
        for label, name in enumerate(("good", "scratch")):
            for i in range(count):
                image = rng.integers(80, 120, (12, 12)).astype(np.uint8)
                if label:
                    image[rng.integers(2, 10)] = 230
                file = folder / "parts" / split / name / f"day{i % 2}" / f"part{i // 2}_{i % 2}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(file)
                images.append(image)
                labels.append(label)
                cameras.append(f"camera{len(images) % 12}")
    np.savez(folder / "parts.npz", images=images, labels=labels, class_names=["good", "scratch"], camera=cameras)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("rb train --data folder:parts --model 'cnn(width=8)' --epochs 2 --out net.safetensors")
    return folder


def run(line):
    """Run a command in this process, and hold it to its exit code."""
    command, _, wanted = line.partition("  # exit ")
    words = shlex.split(command)
    if words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
        return ""
    result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
    assert result.exit_code == int(wanted or 0), f"{line}\n{result.output}"
    return result.stdout


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """A copy of that folder as the current one; what is imported from it is forgotten again."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    registry._entry_points.cache_clear()


def install_entry_points(toml, folder):
    """What pip would do with them."""
    (group, points), *_ = tomllib.loads(toml)["project"]["entry-points"].items()
    info = folder / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    registry._entry_points.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if lines(page, "console")])
def test_commands_run(page, place):
    for block in blocks(page, "python"):
        if match := re.match(r"# ([\w/]+\.py)\n(.+)", block, re.DOTALL):
            (place / match[1]).write_text(match[2])
    for block in blocks(page, "toml"):
        if block.startswith("# rb.toml\n"):
            (place / "rb.toml").write_text(block, encoding="utf-8")
        elif block.startswith("[project.entry-points"):
            install_entry_points(block, place)
    if "--out net.safetensors" in PAGES[page]:
        (place / "net.safetensors").unlink()
    for line in lines(page, "console"):
        run(line)


def test_shown_examples_are_the_files():
    for page in PAGES:
        for block in blocks(page, "python"):
            if match := re.match(r"# (examples/\w+\.py)\n(.*)", block, re.DOTALL):
                assert match[2].strip() == (ROOT / match[1]).read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_used(path):
    """One that nothing runs is one that breaks unseen: the two with conditions run in architecture.md."""
    assert f"examples/{path.name}" in "\n".join(PAGES.values())


def test_quickstart_example(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["quickstart.py", str(tmp_path / "run")])
    runpy.run_path(str(ROOT / "examples" / "quickstart.py"), run_name="__main__")
    assert (tmp_path / "run" / "report.html").is_file()
    assert "night(severity=3)" in capsys.readouterr().out


def test_wong_example_takes_the_published_keys(tmp_path):
    reference = f"{ROOT / 'examples' / 'wong_mnist.py'}:network"
    state = load_classifier(reference, device="cpu").network.state_dict()
    assert {name.partition(".")[0] for name in state} == {"0", "2", "5", "7"}
    torch.save(state, tmp_path / "weights.pth")
    classifier = load_classifier(reference, weights=tmp_path / "weights.pth", device="cpu")
    assert classifier(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    "name", ["custom_attack.py:Blind(eps=0.1, tries=3)", "custom_shift.py:DeadColumns(severity=4)"]
)
def test_own_conditions_return_from_their_spec(name):
    condition = registry.make(f"{ROOT / 'examples'}/{name}")
    assert registry.make(registry.spec(condition)) == condition
