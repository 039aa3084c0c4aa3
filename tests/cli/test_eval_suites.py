"""``rb eval --suite`` and ``rb ls suites``."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_lite.reports.listing import LISTS
from robustbench_lite.runs import read_run
from robustbench_lite.suites import suite

OWN = """
[suites.line]
about = "Our line \\u001b[31m at night"
include = ["short"]
conditions = ["night(severity=3)", "saturation(severity=2)", "fgsm"]

[suites.short]
conditions = ["jpeg(severity=1)"]
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "rb.toml").write_text(OWN, encoding="utf-8")


def conditions(done):
    assert done.code == 0, done.err
    return [row["condition"] for row in done.document["results"]]


def test_a_suite_and_conditions_beside_it_each_once(rb, own):
    done = rb(
        "eval", "--suite", "line", "--suite", "short", "--on", "fgsm", "--on", "flip", "--limit", 8, "--json"
    )
    assert conditions(done) == ["clean", "jpeg(severity=1)", "night(severity=3)", "fgsm(eps=0.1)", "flip"]
    assert "left out, because they change colour and the images have 1 channel(s): saturation" in done.err
    record = read_run(done.document["run"]).record
    assert record.suites == {
        "line": ["jpeg(severity=1)", "night(severity=3)", "saturation(severity=2)", "fgsm(eps=0.1)"],
        "short": ["jpeg(severity=1)"],
    }


def test_what_was_asked_for_by_name_is_not_left_out(rb, own, refused):
    asked = ("eval", "--suite", "line", "--on", "saturation(severity=2)", "--limit", 8)
    assert "Saturation changes colour" in refused(*asked)


def test_the_configuration_may_say_the_usual_suite(rb, tmp_path):
    (tmp_path / "rb.toml").write_text("[run]\nsuite = 'short'\n" + OWN, encoding="utf-8")
    assert conditions(rb("eval", "--limit", 8, "--json")) == ["clean", "jpeg(severity=1)"]
    assert conditions(rb("eval", "--on", "flip", "--limit", 8, "--json")) == ["clean", "flip"]


def test_nothing_asked_for_and_names_that_are_none(rb, refused, own):
    told = refused("eval")
    assert "--suite" in told
    assert "--on" in told
    assert "run.suite" in told
    assert "Did you mean 'line'?" in refused("eval", "--suite", "lin")


def test_quick_is_quick(rb):
    done = rb("eval", "--suite", "quick", "--limit", 40, "--json")
    assert len(conditions(done)) == 1 + len(suite("quick"))
    assert done.document["results"][-1]["condition"] == "pgd(eps=0.5, norm=l2)"


def test_the_list_has_ones_own_and_shows_no_escape(rb, own):
    listed = rb("ls", "suites")
    assert "  line            Our line  [31m at night" in listed.out
    assert "4 conditions: jpeg, night, saturation, fgsm" in listed.out
    assert "For every commit" in listed.out
    document = rb("ls", "suites", "--json").document
    assert list(document) == ["suites"]
    assert document["suites"][1] == {"name": "short", "about": "", "conditions": ["jpeg(severity=1)"]}


def test_without_a_configuration_the_list_has_those_built_in(rb):
    assert not Path("rb.toml").exists()
    for what in ([], ["suites"]):
        out = rb("ls", *what).out
        assert "  inspection      For a camera" in out
        assert out.endswith("\n")
    assert "Did you mean 'suites'?" in rb("ls", "suite").err
    assert LISTS[-1] == "suites"
