"""``rb shift --suite``: the published sets of corruptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_lite.shifts.published_tables import CORRUPTIONS, MAIN


def conditions(done):
    return [row["condition"] for row in done.document["results"]]


def test_a_suite_names_the_corruptions_of_a_published_set_in_their_order(rb):
    done = rb("shift", "--suite", "CIFAR10-C", "--severity", "1,5", "--limit", 5, "--json")
    assert done.code == 0, done.err
    wanted = [f"cifar10_c(corruption={name}, severity={s})" for name in MAIN for s in (1, 5)]
    assert conditions(done) == ["clean", *wanted]


def test_a_suite_takes_arguments(rb):
    done = rb("shift", "--suite", "cifar10-c(extra=true, legacy=true)", "--severity", 2, "--limit", 5, "--json")
    assert done.code == 0, done.err
    grey = [name for name in CORRUPTIONS if name != "saturate"]
    wanted = [f"cifar10_c(corruption={name}, severity=2, legacy=true)" for name in grey]
    assert conditions(done) == ["clean", *wanted]
    (note,) = [line for line in done.err.splitlines() if "left out" in line]
    assert "corruption=saturate" in note


def test_one_corruption_of_a_suite_beside_a_shift(rb):
    asked = ["--suite", "imagenet-c(corruption=contrast)", "--digital", "contrast"]
    done = rb("shift", *asked, "--severity", "1,2", "--limit", 5, "--json")
    assert done.code == 0, done.err
    found = conditions(done)
    assert [c for c in found if c.startswith("imagenet_c")] == [
        f"imagenet_c(corruption=contrast, severity={s})" for s in (1, 2)
    ]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--suite", "imagnet-c"], "Did you mean 'imagenet_c'"),
        (["--suite", "night"], "unknown suite 'night'"),
        (["--suite", "imagenet-c(extra=2)"], "Write extra=true"),
        (["--suite", "imagenet-c(corruption=fgo)"], "Did you mean 'fog'"),
        (["--suite", "imagenet-c", "--severity", "0.5"], "gaussian_noise(severity=0.5)"),
        (["--weather", "imagenet_c"], "rb shift --suite imagenet_c"),
    ],
)
def test_what_is_no_suite_is_refused_with_what_to_do(rb, asked, told):
    done = rb("shift", *asked, "--limit", 5)
    assert done.code == 2
    assert told in " ".join(done.err.split())


@pytest.fixture
def base(rb):
    """A run of a whole corruption, as the reference."""
    asked = ("shift", "--suite", "imagenet-c(corruption=contrast)", "--limit", 20)
    assert rb(*asked, "--out", "base").code == 0
    return asked


def test_mce_is_told_against_a_baseline_everywhere(rb, base):
    alone = rb(*base)
    assert "mean corruption error" in alone.out
    assert "no mCE" in alone.out
    beside = rb(*base, "--out", "new", "--baseline", "base")
    assert beside.code == 0, beside.err
    assert "mCE 100.0" in beside.out
    shown = rb("show", "new", "--baseline", "base", "--json").document["suites"]
    assert rb(*base, "--baseline", "base", "--json").document["suites"] == shown
    (suite,) = shown
    assert (suite["suite"], suite["measured"], suite["n"]) == ("imagenet_c", 1, 20)
    assert suite["mce"] == {"value": 1.0, "ci_low": 1.0, "ci_high": 1.0}
    assert "baseline run" in suite["reference"]
    assert rb("report", "new", "--baseline", "base", "--out", "page.html").code == 0
    assert "Published set" in Path("page.html").read_text()
    assert "baseline run" in Path("page.html").read_text()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--suite", "imagenet-c(corruption=contrast)", "--limit", 21], "saw other images"),
        (["--suite", "imagenet-c(corruption=contrast)", "--limit", 20, "--seed", 1], "saw other images"),
        (["--suite", "imagenet-c(corruption=fog)", "--limit", 20], "lacks imagenet_c(corruption=fog, severity=1)"),
        (["--digital", "contrast", "--limit", 20], "Give --suite"),
        (["--suite", "imagenet-c(corruption=contrast)", "-s", "1,3"], "needs all five severities"),
    ],
)
def test_a_baseline_that_does_not_fit_is_refused_before_anything_is_computed(rb, base, asked, told):
    done = rb("shift", *asked, "--baseline", "base", "--out", "new")
    assert done.code == 2
    assert told in " ".join(done.err.split())
    assert not Path("new").exists()
    assert rb("show", "nowhere").code == 2
