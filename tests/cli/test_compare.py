"""The command ``rb compare``."""

from __future__ import annotations

import csv
import io
import json

import pytest
from made_runs import Made, write_made

from robustbench_lite.gates.matching import matching
from robustbench_lite.gates.rule import Where
from robustbench_lite.runs import read_run


@pytest.fixture
def pair(tmp_path):
    """Two runs; the second is worse under night."""
    for name, shift in (("a", 0.0), ("b", -0.2)):
        made = Made(record={"id": name})
        made.conditions = [
            (spec, kind, severity, threats, accuracy + (shift if "night" in spec else 0), gradients)
            for spec, kind, severity, threats, accuracy, gradients in made.conditions
        ]
        write_made(tmp_path / name, made)
    return tmp_path


def test_a_table(rb, pair):
    done = rb("compare", "a", "b")
    assert done.code == 0
    assert "A: demo (a), the baseline\n" in done.out
    assert "4 of 8 differences are beyond chance" in " ".join(done.out.split())
    assert "B is worse than A on 4 of 8 conditions, beyond chance." in done.out


def test_the_other_way_round(rb, pair):
    assert "B is better than A on 4 of 8" in rb("compare", "a", "--baseline", "b").out


def test_formats(rb, pair):
    document = json.loads(rb("compare", "a", "b", "--format", "json", "--samples", 2).out)
    night = next(d for d in document["runs"][0]["differences"] if d["condition"] == "night")
    assert (night["broken"], len(night["broken_images"])) == (20, 2)
    assert rb("compare", "a", "b", "--format", "md").out.startswith("# 2 runs on digits")
    assert len(list(csv.reader(io.StringIO(rb("compare", "a", "b", "--format", "csv").out)))) == 9
    images = rb("compare", "a", "b", "--format", "csv", "--samples", 100, "--condition", "night").out
    assert len(list(csv.reader(io.StringIO(images)))) == 21
    assert "broken" in rb("compare", "a", "b", "--samples", 1).out


def test_the_ending_says_the_format(rb, pair):
    for name, begins in (("c.html", "<!DOCTYPE html>"), ("c.md", "# "), ("c.csv", "name,"), ("c.json", "{")):
        assert rb("compare", "a", "b", "--out", name).out == f"{name}\n"
        assert (pair / name).read_text(encoding="utf-8").lstrip().startswith(begins)


def test_conditions_are_chosen(rb, pair):
    done = rb("compare", "a", "b", "--condition", "night*", "--condition", "clean", "--format", "json")
    specs = [d["condition"] for d in json.loads(done.out)["runs"][0]["differences"]]
    assert len(specs) == 5
    assert json.loads(done.out)["tested"] == 5


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("night(severity=3)", ["night"]),
        ("NIGHT", ["night"]),
        ("night( severity = 1 )", ["night(severity=1)"]),
        ("night(*", ["night(severity=1)", "night", "night(severity=5)", "night(severity=2) + pgd(eps=4/255)"]),
        ("night(severity=2)+pgd(eps=4/255)", ["night(severity=2) + pgd(eps=4/255)"]),
        ("gaussian-blur(severity=2.0)", ["gaussian_blur(severity=2)"]),
        ("*[[]*", []),
    ],
)
def test_a_condition_is_named_as_in_a_gate(rb, pair, pattern, meant):
    done = rb("compare", "a", "b", "--condition", pattern, "--format", "json")
    if not meant:
        assert done.code == 2
        return
    assert [d["condition"] for d in json.loads(done.out)["runs"][0]["differences"]] == meant
    in_gates = matching(Where(condition=pattern), read_run(pair / "a").record)
    assert [condition.spec for condition in in_gates] == meant


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a",), "needs two runs"),
        (("a", "a"), "are the same run"),
        (("a", "nothing"), "is no run"),
        (("a", "b", "--format", "pdf"), "unknown --format 'pdf'"),
        (("a", "b", "--out", "c.txt"), "does not say which format"),
        (("a", "b", "--out", "a", "--format", "md"), "is a folder"),
        (("a", "b", "--condition", "fog*"), "no condition that the runs share matches 'fog*'"),
    ],
)
def test_bad_input(rb, pair, words, said):
    done = rb("compare", *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_other_images_are_refused(rb, pair):
    write_made(pair / "c", Made(record={"id": "c"}, data={"manifest_sha256": "ef" * 32}))
    done = rb("compare", "a", "c")
    assert done.code == 2
    assert "other images" in done.err
