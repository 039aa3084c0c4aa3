"""What is finished is kept: Ctrl-C, and conditions that fail half-way."""

from __future__ import annotations

import re

import pytest

from robustbench_lite.runs import read_run

BRIGHT = ("--model", "nets.py:Bright", "--data", "folder:parts", "--split", "all")
SECOND = ("eval", "--on", "fgsm", "--on", "own.py:Second(error={})", "--batch-size", 4)


def words(error):
    return [str(word).format(error) for word in SECOND]


def finished(path):
    """Rows per condition of the run, and its status."""
    run = read_run(path)
    return run.samples.groupby("condition", sort=False).size().to_dict(), run.record


def test_ctrl_c_keeps_what_is_finished(rb, files):
    done = rb(*words("KeyboardInterrupt"), *BRIGHT, "--out", "run")
    assert done.code == 130
    assert "interrupted; what was finished is in run" in done.err
    rows, record = finished("run")
    assert record.status == "interrupted"
    # Three batches of four: the second was under way when the key was pressed.
    assert list(rows.values()) == [8, 8, 4]
    assert [c.n for c in record.conditions] == [8, 8, 4]
    assert record.data.n_used == 8
    assert "clean" in done.out
    assert rb("show", "run").code == 0
    assert rb("report", "run").code == 0


def test_ctrl_c_with_json(rb, files):
    done = rb(*words("KeyboardInterrupt"), *BRIGHT, "--json", "--quiet")
    assert done.code == 130
    assert done.document["status"] == "interrupted"
    assert [r["n"] for r in done.document["results"]] == [8, 8, 4]
    paired = done.document["results"][2]
    assert paired["drop"] == 0  # against the same four images, not against all eight


def test_ctrl_c_before_the_first_image(rb, files):
    done = rb("attack", "--method", "fgsm", "--model", "nets.py:Stopped", *BRIGHT[2:], "--out", "run", "--json")
    assert done.code == 130
    assert done.document["results"] == []
    assert "interrupted; nothing was finished: no image is in run" in done.err
    rows, record = finished("run")
    assert rows == {}
    assert record.status == "interrupted"
    for command in ("show", "report"):
        assert rb(command, "run").code == 0


def test_a_failure_half_way_keeps_and_names_what_is_finished(rb, files):
    done = rb(*words("ValueError"), *BRIGHT)
    assert done.code not in (0, 130)
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert done.err.startswith("error: own.py failed in __call__: ValueError: in the second")
    assert "fault of ours" not in done.err
    (place,) = re.findall(r"What was finished is in (runs/\S+)\.\n", done.err)
    rows, record = finished(place)
    assert record.status == "failed"
    assert list(rows.values()) == [8, 8, 4]


def test_a_failure_of_ours_is_called_one(rb, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr("robustbench_lite.attacks.fgsm.FGSM.__call__", broken)
    done = rb("attack", "--method", "fgsm", "--limit", 10)
    assert done.code == 1
    assert "error: ZeroDivisionError: unforeseen This is a fault of ours; RB_DEBUG=1 shows where." in done.err


def test_nothing_is_left_of_a_run_that_never_began(rb, files, tmp_path):
    done = rb("attack", "--model", "nets.py:NaN", *BRIGHT[2:], "--out", "place/run")
    assert done.code == 2
    assert list((tmp_path / "place").iterdir()) == []


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_ctrl_c_elsewhere(rb, monkeypatch, command):
    def stopped(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("robustbench_lite.runner.load_dataset", stopped)
    done = rb(command)
    assert done.code == 130
    assert done.err == "interrupted\n"
