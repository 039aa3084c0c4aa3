"""``rb train --shift``, ``--mix`` and ``--augment``."""

from __future__ import annotations

import pytest

QUICK = ("--data", "digits", "--model", "linear", "--limit", 60, "--epochs", 2)


def test_a_network_is_trained_on_shifts(rb):
    words = ("--shift", "night(severity=1..4), blur", "--mix", "clean=2, shift=1", "--augment", "crop,mixup")
    done = rb("train", *QUICK, *words, "--out", "a.safetensors", "--json")
    assert done.code == 0, done.err
    assert done.document["epochs"] == 2
    assert 'Next: rb eval --on "night(severity=4)" --on "gaussian_blur(severity=5)"' in done.err
    assert rb("shift", "--lighting", "night", "-s", 3, "--model", "a.safetensors", "--limit", 20).code == 0


def test_shifts_without_colour_are_left_out_once(rb, caplog):
    done = rb("train", *QUICK, "--shift", "lighting", "--out", "a.safetensors")
    assert done.code == 0, done.err
    assert caplog.text.count("left out of lighting") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--shift", "nigth"), "Did you mean 'night'"),
        (("--shift", "night(severity=1..9)"), "severity=9 is out of range"),
        (("--shift", "color_temperature"), "needs images of 3 channels"),
        (("--mix", "shift=1"), "Give --shift"),
        (("--shift", "night", "--mix", "clean=1"), "gives --shift no weight"),
        (
            ("--shift", "night", "--adversarial", "pgd", "--mix", "clean=1, shift=1"),
            "gives --adversarial no weight",
        ),
        (("--augment", "flips"), "Did you mean 'flip'"),
        (("--augment", "trivialaugment"), "nothing would be left"),
        (("--augment", "mixup", "--adversarial", "fast"), "do not go together"),
        (("--model", "vae", "--shift", "night"), "--shift means nothing to a model of images"),
        (("--model", "vae", "--adversarial", "pgd", "--eps", "0.1"), "--adversarial means nothing"),
    ],
)
def test_what_is_refused(refused, words, told):
    assert told in refused("train", "--data", "digits", *words, "--dry-run")
