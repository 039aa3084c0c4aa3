"""The command ``rb plot``."""

from __future__ import annotations

import pytest
from made_runs import Made, write_made


@pytest.fixture
def runs(tmp_path):
    for name in ("a", "b"):
        write_made(tmp_path / name, Made(record={"id": name}, examples=0))
    return tmp_path


def test_everything_that_the_runs_can_give(rb, runs):
    done = rb("plot", "a", "b")
    assert done.code == 0
    assert done.out.splitlines() == [
        f"a/plots/{kind}.svg" for kind in ("severity", "eps", "tradeoff", "risk-coverage")
    ]
    assert all((runs / line).read_bytes().startswith(b"<?xml") for line in done.out.splitlines())


def test_what_is_missing_is_a_note(rb, runs):
    conditions = [("clean", "clean", None, [], 0.9, 0)]
    write_made(runs / "c", Made(record={"id": "c"}, conditions=conditions))
    done = rb("plot", "c", "--format", "png", "--out", "pictures")
    assert done.code == 0
    assert done.out == "pictures/risk-coverage.png\n"
    assert done.err.count("note: no ") == 3
    assert "rb shift --lighting night" in done.err


def test_one_file(rb, runs):
    done = rb("plot", "a", "--kind", "severity", "--out", "x/night.pdf", "--size", "6.5x4", "--dark")
    assert done.out == "x/night.pdf\n"
    assert (runs / "x" / "night.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "pie"), "unknown kind of plot 'pie'"),
        (("--out", "x.svg"), "one file for several plots"),
        (("--kind", "eps", "--out", "x.bmp"), "does not say which format"),
        (("--kind", "eps", "--out", "x.svg", "--format", "png"), "two formats"),
        (("--format", "gif"), "unknown format"),
        (("--size", "huge"), "is no size"),
        (("--size", "0x4"), "is no size"),
        (("--kind", "severity", "--condition", "fog*"), "two severities"),
        (("--condition", "nothing"), "nothing to plot"),
        (("b", "a"), "same run"),
    ],
)
def test_bad_input(rb, runs, words, said):
    done = rb("plot", "a", *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (runs / "a" / "plots").exists()
