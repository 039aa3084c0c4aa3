"""Commands that need no network start without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

import robustbench_lite.__main__ as entry

PROGRAM = """
import contextlib, io, sys
from robustbench_lite.__main__ import main

def rb(*words):
    sys.argv = ["rb", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
        except SystemExit as end:
            assert not end.code, (words, end.code)
    assert out.getvalue(), words
    assert "torch" not in sys.modules, words

COMMANDS
"""
COMMANDS = ("attack", "shift", "eval", "train", "report", "show", "compare", "plot", "ls", "doctor", "init")


def python(commands, **settings):
    program = PROGRAM.replace("COMMANDS", "\n".join(f"rb({', '.join(map(repr, words))})" for words in commands))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **settings},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_help_lists_runs_and_pages_need_no_torch(run_folder, tmp_path):
    lists = [("ls",), ("ls", "attacks"), ("ls", "shifts"), ("ls", "models"), ("ls", "data"), ("ls", "--json")]
    helps = [("--help",), ("--version",), *((command, "--help") for command in COMMANDS)]
    other = tmp_path / "other"  # another run on the same images
    shutil.copytree(run_folder, other)
    record = json.loads((other / "run.json").read_text(encoding="utf-8"))
    (other / "run.json").write_text(json.dumps({**record, "id": "other"}), encoding="utf-8")
    both = (str(run_folder), str(other))
    compared = [("compare", *both, "--format", form) for form in ("md", "csv", "json", "html")]
    compared.append(("plot", *both, "--out", str(tmp_path / "plots")))
    runs = [("compare", *both), *compared, ("show", str(run_folder)), ("show", str(run_folder), "--json")]
    python([*lists, *helps, *runs, ("report", str(run_folder), "--out", str(tmp_path / "page.html"))])


def test_the_list_needs_no_typer_either():
    """``rb ls`` is what people type while they write a command; it must be there at once."""
    script = (
        "import sys; sys.argv = ['rb', 'ls']; from robustbench_lite.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    sys.exit('typer has run')\n"
        "late = {'torch', 'typer', 'pandas', 'numpy', 'pydantic', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported: {late}' if late else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pgd" in done.stdout
    assert "inspection" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("eval", "--on", "night", "--out", "taken"), "taken exists already"),
        (("eval", "--on", "night", "--out", "taken", "--resume"), "taken is finished: there is nothing to resume"),
        (("eval", "--on", "night", "--out", "taken/run.json/x"), "taken/run.json is a file, not a folder"),
        (("attack", "--resume", "--save-images"), "--resume has the rows"),
        (("attack", "--model", "no.safetensors", "--data", "digits"), "no such file: no.safetensors"),
        (("shift", "--lighting", "night", "--model", "cnn", "--data", "folder:no"), "no such folder: no"),
        (("attack", "--model", "cnn", "--data", "npz:no.npz"), "no such file: no.npz"),
        (("attack", "--data", "mnist"), "the demo network knows the digits only, not mnist"),
        (("attack", "--detector", "taken"), "taken is no detector"),
        (("attack", "--input-size", "3z"), "--input-size 3z is no size"),
        (("attack", "--shard", "3/2"), "--shard 3/2 is no part of a whole"),
        (("eval", "--suite", "nothing"), "unknown suite 'nothing'"),
        (("eval", "--on", "nigt"), "unknown attack or shift 'nigt'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_command_line_tells_is_refused_before_torch_is_there(
    rb, tmp_path, monkeypatch, run_folder, words, said
):
    shutil.copytree(run_folder, tmp_path / "taken")
    monkeypatch.setitem(sys.modules, "robustbench_lite.runner", None)  # which imports torch: an error of ours
    monkeypatch.delattr("robustbench_lite.runner", raising=False)
    done = rb(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_refusal_is_without_torch_in_a_process_of_its_own(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    program = (
        "import sys\nfrom robustbench_lite.__main__ import main\nfor more in ([], ['--resume']):\n"
        "    sys.argv = ['rb', 'eval', '--on', 'night', '--out', 'taken', *more]\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert end.code == 2, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("taken exists already") == 2


@pytest.mark.slow
def test_the_command_is_installed(tmp_path):
    """The one test that goes the whole way: a process, an empty folder, real streams."""
    words = [sys.executable, "-m", "robustbench_lite", "attack", "--method", "fgsm", "--limit", "20", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{\n")
    assert done.stdout.endswith("}\n")
    assert "Warning" not in done.stderr


def test_a_closed_pipe_is_no_error(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m robustbench_lite ls --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "{"
    assert done.stderr == ""


def test_what_is_left_for_a_closed_pipe_is_dropped(monkeypatch):
    """It may be closed between the last line and the end of Python."""
    reader, writer = os.pipe()
    left = open(writer, "w")  # noqa: SIM115
    left.write("the end of a list")
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", left)
    monkeypatch.setattr(sys, "argv", ["rb", "ls", "suites"])
    monkeypatch.setattr(entry, "_listed", lambda *what: True)
    entry.main()
    left.close()


@pytest.mark.parametrize("words", [("ls", "suites"), ("ls", "suites", "--json"), ("config", "schema")])
def test_a_pipe_that_nobody_reads_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as unread:
        command = [sys.executable, "-m", "robustbench_lite", *words]
        done = subprocess.run(command, stdout=unread, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
