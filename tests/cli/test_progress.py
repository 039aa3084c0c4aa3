"""What is told while a run goes on, where there is no terminal."""

import json
import re

import pytest

from robustbench_lite.cli import progress
from robustbench_lite.cli.progress import Lines
from robustbench_lite.working import Progress

WORDS = (
    "eval",
    "--on",
    "gaussian_blur(severity=5)",
    "--on",
    "fgsm",
    "--limit",
    60,
    "--batch-size",
    30,
    "--no-checks",
)


def test_at_most_one_line_in_ten_seconds(capsys):
    now = [0.0]
    lines = Lines(lambda: now[0])
    for second in range(31):
        now[0] = float(second)
        lines.tell(Progress(second, 40, f"night(severity={second})", 0.5 if second == 20 else None, 3.25))
    assert capsys.readouterr().err.splitlines() == [
        "25% done, at night(severity=10)",
        "50% done: night(severity=20): 50.0% right, 3.2 s",
        "75% done, at night(severity=30)",
    ]


def test_hostile_names_stay_on_their_line(capsys):
    now = iter((0.0, 11.0))
    Lines(lambda: next(now)).tell(Progress(1, 2, "a.py:B(c='\x1b[31m\u202e')"))
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert told.count("\n") == 1


def test_every_condition_is_told_once_with_its_accuracy(rb, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    done = rb(*WORDS, "--json")
    told = re.findall(r"% done: (.+): ([\d.]+)% right, [\d.]+ s$", done.err, re.MULTILINE)
    results = [(r["condition"], f"{100 * r['accuracy']:.1f}") for r in json.loads(done.out)["results"]]
    assert told == results
    assert len(results) == 3
    assert "100% done" in done.err


@pytest.mark.parametrize("flag", ["-q", None])
def test_a_quick_run_and_a_quiet_one_tell_nothing(rb, monkeypatch, flag):
    monkeypatch.setattr(progress, "EVERY", 0.0 if flag else 1e9)
    done = rb(*WORDS, *([flag] if flag else []))
    assert done.code == 0
    assert "% done" not in done.err
