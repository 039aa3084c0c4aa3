"""``rb train --find-lr``, and what goes together with what."""

from __future__ import annotations

import pytest


def test_a_rate_and_its_picture_but_no_checkpoint(rb, tmp_path):
    words = ("train", "--data", "digits", "--model", "linear", "--find-lr", "--out", "made/net.safetensors")
    done = rb(*words, "--json")
    assert done.code == 0, done.err
    found = done.document
    assert 1e-4 < found["suggestion"] < 1
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"]) == found["steps"]
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["net.lr.png"]
    assert (tmp_path / "made/net.lr.png").read_bytes().startswith(b"\x89PNG")
    again = rb(*words)
    assert f"suggestion: {found['suggestion']:.3g}" in again.out
    assert "Next: rb " in again.err
    planned = rb(*words, "--dry-run", "--out", "other.safetensors")
    assert planned.code == 0
    assert not list(tmp_path.glob("other*"))


def test_what_has_no_rate_to_be_found(refused):
    assert "--find-lr means nothing to a model of images" in refused("train", "--find-lr", "--model", "vae")


@pytest.mark.parametrize(
    "flags",
    [
        ("--find-lr", "--compare", "pgd"),
        ("--find-lr", "--protocol", "kfold:3"),
        ("--compare", "pgd", "--protocol", "kfold:3"),
    ],
)
def test_one_thing_at_a_time(refused, flags):
    assert "are two things" in refused("train", *flags)


def test_it_keeps_no_state(refused):
    assert "--resume" in refused("train", "--find-lr", "--resume")


def test_an_order_without_folds(refused):
    assert "is about --protocol" in refused("train", "--compare", "pgd", "--order", "level:1")


@pytest.mark.parametrize("flags", [("--balanced",), ("--augment", "crop"), ("--label-smoothing", "0.1")])
def test_a_model_of_images_names_the_option_as_it_was_written(refused, flags):
    assert f"{flags[0]} means nothing to a model of images" in refused("train", "--model", "vae", *flags)
