"""The course of a training as a picture and in the terminal."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from robustbench_lite.cli import train_watch as watch
from robustbench_lite.reports.training_curves import training_curves


def history(losses, *, robust=None, shift=None, baselines=True):
    epochs = [
        {
            "epoch": i + 1,
            "train_loss": loss,
            "val_loss": 1.1 * loss,
            "train_accuracy": 0.9,
            "val_accuracy": 0.8,
            "robust_accuracy": robust,
            "shift_accuracy": shift,
            "lr": 0.001,
            "seconds": 2.0,
            "validation_seconds": 1.0,
        }
        for i, loss in enumerate(losses)
    ]
    simple = [{"name": n, "accuracy": 0.5} for n in ("majority class", "nearest neighbour", "logistic regression")]
    return {"epochs": epochs, "best_epoch": len(epochs), "baselines": simple if baselines else []}


def pixels(made):
    return np.asarray(Image.open(io.BytesIO(training_curves(made))).convert("RGB")).astype(int)


def count(picture, color):
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture - wanted).sum(2) < 12).sum())


def test_a_line_for_everything_that_was_measured():
    from robustbench_lite.reports.training_curves import ROBUST, SHIFT, TRAIN, VALIDATION

    plain = pixels(history([2.0, 1.0, 0.1]))
    assert min(count(plain, TRAIN), count(plain, VALIDATION)) > 200
    assert count(plain, ROBUST) == count(plain, SHIFT) == 0
    robust = pixels(history([2.0, 1.0, 0.1], robust=0.3, shift=0.6))
    assert min(count(robust, ROBUST), count(robust, SHIFT)) > 200


def test_simple_methods_are_lines():
    beside, alone = (pixels(history([1.0, 0.5], baselines=b)) for b in (True, False))
    assert (beside != alone).any()


@pytest.mark.parametrize("losses", [[1.0], [0.0], [0.0, 0.0], [3.0, 1e-5], [1e6, 2.0], [0.1] * 300])
def test_any_course_can_be_drawn(losses):
    assert pixels(history(losses)).std() > 10
    watch.panel(history(losses), len(losses))


def test_the_curve_of_the_terminal():
    assert watch.sparkline([0, 1, 2, 3, 4, 5, 6, 7], 0, 7) == "▁▂▃▄▅▆▇█"
    assert watch.sparkline([3.0], 3.0, 3.0) == "▁"
    long = watch.sparkline(list(range(1000)), 0, 999)
    assert len(long) == watch.WIDTH
    assert long[-1] == "█"


def test_the_panel_says_where_it_is():
    console = Console(width=110, file=io.StringIO(), record=True)
    console.print(watch.panel(history([2.0, 1.0, 0.5], robust=0.3), 10))
    shown = console.export_text()
    assert "3 of 10" in shown
    assert "0:21 left at most" in shown
    for words in (
        "loss",
        "training",
        "0.5000",
        "validation",
        "0.5500",
        "accuracy",
        "90.0 %",
        "attacked",
        "30.0 %",
    ):
        assert words in shown
    assert "shifted" not in shown


def test_a_table_of_epochs_where_it_is_asked_for(capsys, tmp_path):
    for verbose, quiet, lines in ((True, False, 3), (False, False, 0), (True, True, 0)):
        with watch.watching(tmp_path / "a.png", 2, verbose=verbose, quiet=quiet) as follow:
            follow(history([1.0]))
            follow(history([1.0, 0.5]))
        shown = capsys.readouterr()
        assert shown.out == ""
        assert len(shown.err.splitlines()) == lines
    assert not (tmp_path / "a.png").exists()  # it was too short


def test_curves_on_a_terminal(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with watch.watching(tmp_path / "a.png", 2, verbose=False, quiet=False) as follow:
        follow(history([1.0, 0.5]))
    assert "█" in capsys.readouterr().err
    with watch.watching(tmp_path / "a.png", 2, verbose=False, quiet=True) as follow:
        follow(history([1.0, 0.5]))
    assert capsys.readouterr().err == ""


def test_the_picture_is_drawn_now_and_then(monkeypatch, tmp_path):
    now, drawn = [100.0], []

    def draw(made):
        drawn.append(now[0])
        now[0] += 0.5  # so long it takes
        return b"picture"

    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("robustbench_lite.reports.training_curves.training_curves", draw)
    curves = watch.Curves(tmp_path / "net.curves.png")
    for _ in range(60):
        now[0] += 1
        curves.follow(history([1.0]))
    assert drawn[0] == 105
    assert np.diff(drawn).min() >= 10  # twenty times what it takes
    assert [p.name for p in tmp_path.iterdir()] == ["net.curves.png"]


def test_a_picture_that_cannot_be_written_stops_nothing(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("no folder")
    curves = watch.Curves(tmp_path / "file" / "net.curves.png")
    assert not curves.draw(history([1.0]))
    assert "no picture of the curves" in capsys.readouterr().err
