"""What commands print of hostile names: no escape sequences, and no workflow commands."""

import json

import pytest
from made_runs import Made, write_made
from rich.table import Table
from rich.text import Text

from robustbench_lite import console

NAME = "::error::owned \x1b[31mred\x1b[0m ##[add-mask]x \u202ereversed"


def harmless(out):
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "##[" not in out
    assert not any(line.lstrip().startswith("::") for line in out.splitlines())


def test_notes_are_one_line_of_text(capsys):
    console.note(f"note: {NAME}\n{NAME}")
    err = capsys.readouterr().err
    harmless(err)
    assert err.count("\n") == 2
    assert "red" in err


@pytest.mark.parametrize("width", [20, 140])
def test_tables_titles_and_captions(capsys, width):
    table = Table(title=Text(NAME), caption=Text(NAME), title_justify="left", caption_justify="left", box=None)
    table.add_column(Text(NAME), overflow="fold")
    table.add_row(Text(NAME))
    out = console.stdout()
    out.width = width
    out.print(table)
    found = capsys.readouterr().out
    harmless(found)
    assert "│" not in found  # no border kept the names away from the start of a line
    assert found.count("owned") >= 3


def test_own_colours_stay(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console.stdout().print(Text(NAME, style="red"))
    found = capsys.readouterr().out
    assert found.startswith("\x1b[31m")
    harmless(found.removeprefix("\x1b[31m").removesuffix("\x1b[0m\n"))


def test_a_run_is_shown(rb, tmp_path):
    made = Made(record={"argv": [NAME]}, data={"spec": NAME, "class_names": [NAME] * 10}, file=NAME + "{}")
    made.conditions = [made.conditions[0], (NAME, *made.conditions[1][1:])]
    run = write_made(tmp_path / "run", made)
    done = rb("show", run.path)
    assert done.code == 0
    harmless(done.out + done.err)
    assert "owned" in done.out


def test_json_hides_nothing_and_turns_nothing(capsys):
    document = {"Größe": [f"{NAME}\x7f\x9b31m\u2028\u2066\U000e0001é日"], "half": "\udcff"}
    console.print_json(document)
    out = capsys.readouterr().out
    assert json.loads(out) == document
    assert "Größe" in out
    assert "é日" in out
    assert all(c == "\n" or c.isprintable() for c in out)
