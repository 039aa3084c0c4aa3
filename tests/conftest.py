"""``rb`` as it is called, for all tests; and one thread, which is quicker for small tensors on shared cores."""

from __future__ import annotations

import functools
import json
import logging
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import typer.main
import typer.testing

from robustbench_lite.__main__ import main

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _built_once():
    """Typer makes all commands anew for every call: half of the time of one that only refuses its input."""
    once = functools.cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", once)
        patch.setattr(typer.testing, "_get_command", once)
        yield


@pytest.fixture(autouse=True)
def _heard():
    """A command that was called with -q does not keep later tests from seeing the log."""
    yield
    logging.getLogger("robustbench_lite").setLevel(logging.NOTSET)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The whole of stdout as JSON: anything beside the document fails."""
        return json.loads(self.out)


@pytest.fixture
def rb(capsys, monkeypatch, tmp_path):
    """Call ``rb`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("RB_DEBUG", raising=False)

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["rb", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def refused(rb):
    """Call ``rb`` with bad input; the message, which must be one line with exit code 2, is returned."""

    def call(*words: object) -> str:
        outcome = rb(*words)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1, outcome.err
        assert outcome.err.endswith("\n")
        assert "Traceback" not in outcome.err
        assert "fault of ours" not in outcome.err
        assert not list(Path("runs").glob("*")), "a refused command left something behind"
        return outcome.err

    return call
