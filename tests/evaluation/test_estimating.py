"""What ``--dry-run`` says of the time."""

from __future__ import annotations

import pytest

from robustbench_lite.estimating import Line, _line, plan
from robustbench_lite.reports.plan import duration, time_told
from robustbench_lite.runner import Inputs, prepare

SLOW = """
import time
from dataclasses import dataclass

from robustbench_lite.types import Shift


@dataclass(frozen=True)
class Slow(Shift):
    'Takes its time.'

    severity: float = 3.0
    batch_s: float = 0.0
    image_s: float = 0.0

    def __call__(self, images, streams):
        time.sleep(self.batch_s + self.image_s * len(images))
        return images
"""


def test_a_line_through_two_sizes_gives_what_a_batch_and_an_image_take():
    line = _line([(4, 9.0), (16, 2.6), (64, 7.4)])
    assert line == pytest.approx(Line(1.0, 0.1))
    assert line.of(100, 40) == pytest.approx(3 * 1.0 + 100 * 0.1)
    assert _line([(4, 0.8)]) == pytest.approx(Line(0, 0.2))


def test_a_line_stays_between_nothing_and_all_of_it():
    assert _line([(16, 3.0), (64, 2.0)]) == pytest.approx(Line(2.0, 0.0))  # the first had to warm up
    assert _line([(16, 0.1), (64, 6.4)]) == pytest.approx(Line(0.0, 0.1))
    assert Line(1, 2).less(Line(2, 1), 0.5) == Line(0, 0.5)


@pytest.mark.parametrize("arguments", ["batch_s=0.2", "image_s=0.01"])
def test_the_estimate_is_near_the_truth(tmp_path, monkeypatch, arguments):
    """Of a shift that sleeps: 300 images in batches of 100 take 0.6 s, or 3 s."""
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.chdir(tmp_path)
    truth = 0.6 if "batch" in arguments else 3.0
    prepared = prepare(Inputs(first=300, batch_size=100), [f"slow.py:Slow({arguments})"])
    found = plan(prepared)
    assert found.timed == 64
    _, row = found.conditions
    assert truth * 0.9 < row["seconds"] < truth * 2.5  # a busy machine may add to it
    assert found.seconds == pytest.approx(sum(r["seconds"] for r in found.conditions))


def test_attacks_cost_more_the_more_they_may_do():
    rows = plan(
        prepare(Inputs(first=200), ["fgsm", "pgd", "pgd(steps=400)", "night(severity=2) + pgd"])
    ).conditions
    seconds = {row["condition"]: row["seconds"] for row in rows}
    assert seconds["fgsm(eps=0.1)"] < seconds["pgd(eps=0.1)"] < seconds["pgd(eps=0.1, steps=400)"]
    assert seconds["night(severity=2) + pgd(eps=0.1)"] > seconds["pgd(eps=0.1)"]
    assert [row["attacks"] for row in rows] == [False, True, True, True, True]


def test_few_images_are_timed_too():
    found = plan(prepare(Inputs(first=3), ["square(eps=0.1)"]))
    assert found.timed == 3
    assert found.conditions[1]["seconds"] > found.conditions[0]["seconds"]


def test_an_attack_is_expected_to_take_the_share_of_its_passes_that_it_takes_of_a_few_images():
    """Of the demo, whose images fall to a large budget in the first step, and never to a tiny one."""
    found = plan(prepare(Inputs(first=40), ["pgd(eps=1, steps=40)", "pgd(eps=1e-6, steps=40)", "night"]))
    clean, large, tiny, night = (row["expected_seconds"] / row["seconds"] for row in found.conditions)
    assert large < 0.3
    assert tiny > 0.85
    assert clean == night == 1
    assert found.expected_seconds == pytest.approx(sum(row["expected_seconds"] for row in found.conditions))


def test_a_trial_that_takes_too_long_is_ended_and_leaves_the_bound(monkeypatch):
    monkeypatch.setattr("robustbench_lite.estimating.TRIAL_S", 0.2)
    prepared = prepare(Inputs(first=40), ["pgd(steps=100000, eps=1e-6)", "fgsm"])
    found = plan(prepared)
    rows = {row["condition"].partition("(")[0]: row["expected_seconds"] for row in found.conditions}
    assert rows["pgd"] is None
    assert rows["clean"] is not None
    assert found.expected_seconds is None
    assert not prepared.classifier.network._forward_pre_hooks  # nothing stays behind


CALLED = """
from pathlib import Path


def scores(images):
    Path("called").touch()
    return images.flatten(1)[:, :10]
"""


def test_a_function_which_may_cost_money_is_not_called(rb, tmp_path):
    (tmp_path / "own.py").write_text(CALLED)
    words = ["--model", "own.py:scores", "--data", "digits", "--on", "square(queries=9)", "--on", "flip"]
    told = rb("eval", *words, "--dry-run")
    assert told.code == 0, told.err
    assert "\ntime: no estimate, for the network is a function" in told.out
    document = rb("eval", *words, "--dry-run", "--json").document
    assert (document["seconds"], document["timed"]) == (None, 0)
    assert [(c["seconds"], c["attacks"]) for c in document["conditions"]] == [(None, n == 1) for n in range(3)]
    assert [c["forwards_per_sample"] > 1 for c in document["conditions"]] == [False, True, False]
    assert not (tmp_path / "called").exists()
    assert rb("eval", *words, "--limit", 8).code == 0
    assert (tmp_path / "called").exists()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.004, "0.004 s"),
        (0.31, "0.3 s"),
        (9.4, "9 s"),
        (9.6, "10 s"),
        (12.4, "12 s"),
        (89, "89 s"),
        (95, "2 min"),
        (5300, "88 min"),
    ],
)
def test_durations_are_told_as_exactly_as_they_are_known(seconds, told):
    assert duration(seconds) == told
    assert duration(9000) == "2.5 h"
    assert duration(90_000) == "25 h"


def test_the_sentence_tells_what_stops_early_from_what_does_not():
    fixed, attack, untried, search = (
        {"seconds": s, "attacks": a, "expected_seconds": e}
        for s, a, e in ((180.0, False, 180.0), (600.0, True, 200.0), (600.0, True, None), (None, False, None))
    )
    assert time_told([fixed], 16) == "time: about 3 min on this machine (measured on 16 images)"
    assert "about 3 min, and about 3 min for attacks (at most 10 min), on" in time_told([fixed, attack], 16)
    assert "about 3 min, and at most 20 min for attacks" in time_told([fixed, attack, untried], 16)
    assert "about 3 min, and the search" in time_told([fixed, search], 16)
