"""The published sets: their tables, the shifts that stand for them, and the laws of all shifts where they hold."""

import dataclasses

import pytest
import torch

from robustbench_lite import registry
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.rng import Streams
from robustbench_lite.shifts.published_tables import CORRUPTIONS, MAIN

SETS = ("imagenet_c", "tiny_imagenet_c", "cifar10_c")


def published(name, corruption, **arguments):
    return registry.load("shift", name)(corruption, **arguments)


def streams(ids, seed=0):
    return Streams(seed, "some condition", tuple(ids))


def images(n, channels, height, width, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def test_there_are_15_corruptions_in_the_order_of_the_published_means_and_4_more():
    assert " ".join(MAIN) == (
        "gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow frost fog "
        "brightness contrast elastic_transform pixelate jpeg_compression"
    )
    assert {*CORRUPTIONS} - {*MAIN} == {"speckle_noise", "gaussian_blur", "spatter", "saturate"}


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("published", SETS)
def test_every_corruption_has_five_levels_with_a_value_for_every_argument(name, published):
    row = CORRUPTIONS[name]
    assert len(row.levels[published]) == 5
    for severity in (1, 2, 3, 4, 5):
        assert tuple(row.at(published, severity)) == row.arguments


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("name", SETS)
def test_what_is_done_is_the_registered_shift_with_the_published_arguments(name, corruption):
    row = CORRUPTIONS[corruption]
    for severity in (1, 2, 3, 4, 5):
        shift = published(name, corruption, severity=severity).shift
        assert registry.name_of(type(shift)) == row.shift
        assert shift.severity == 0
        assert {a: getattr(shift, a) for a in row.arguments} == row.at(name, severity)
        assert not getattr(shift, "legacy", False)
        old = published(name, corruption, severity=severity, legacy=True).shift
        assert getattr(old, "legacy", True)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_stay_images_and_get_the_same_bits_in_every_batch(name, corruption, channels):
    ids, before = "abc", images(3, channels, 24, 17)
    kept = before.clone()
    for severity in (1, 5):
        change = published(name, corruption, severity=severity)
        if channels != 3 and change.needs_colour:
            with pytest.raises(InputError, match="needs images of 3 channels"):
                change(before, streams(ids))
            continue
        out = change(before, streams(ids))
        assert out.shape == before.shape
        assert out.dtype == before.dtype
        assert out.min() >= 0
        assert out.max() <= 1  # and so it is no NaN
        assert not torch.equal(out, before)
        assert torch.equal(change(before[[2, 0]], streams("ca")), out[[2, 0]])
        assert torch.equal(change(before[1:2], streams("b")), out[1:2])
    assert torch.equal(before, kept)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("name", SETS)
def test_the_smallest_images_are_taken(name, corruption):
    for severity in (1, 5):
        out = published(name, corruption, severity=severity)(images(1, 3, 8, 8), streams("a"))
        assert out.isfinite().all()


@pytest.mark.parametrize("name", SETS)
def test_severity_0_returns_the_same_bits_in_memory_of_its_own(name):
    before = images(2, 3, 9, 11)
    out = published(name, "contrast", severity=0)(before, streams("ab"))
    assert torch.equal(out, before)
    assert out.data_ptr() != before.data_ptr()


def test_draws_depend_on_the_seed_the_sample_and_the_corruption():
    before = torch.full((2, 1, 16, 16), 0.5)
    noise = published("imagenet_c", "gaussian_noise")
    out = noise(before, streams("ab"))
    assert not torch.equal(out[0], out[1])
    assert not torch.equal(noise(before, streams("ab", seed=1)), out)
    weaker = published("imagenet_c", "gaussian_noise", severity=1)(before, streams("ab"))
    inside = (out > 0) & (out < 1) & (weaker > 0) & (weaker < 1)
    torch.testing.assert_close((weaker - before)[inside] / 0.08, (out - before)[inside] / 0.18, rtol=0, atol=1e-5)
    alone = registry.load("shift", "gaussian_noise")(severity=0, sigma=0.18)
    assert not torch.equal(alone(before, streams("ab")), out)


@pytest.mark.parametrize("severity", [0.5, 2.5, -1, 6, float("nan")])
def test_a_fraction_is_refused_with_the_shift_that_has_fractions(severity):
    with pytest.raises(InputError, match=r"imagenet_c has no severity=.*Fractions: gaussian_blur\(severity="):
        published("imagenet_c", "gaussian_blur", severity=severity)


def test_an_unknown_corruption_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'glass_blur'"):
        published("cifar10_c", "glas_blur")
    with pytest.raises(InputError, match="imagenet_c needs corruption"):
        registry.make("imagenet_c")


@pytest.mark.parametrize("name", SETS)
def test_specs_round_trip(name):
    text = f"{name}(corruption=contrast, severity=2, legacy=true)"
    condition = registry.make(text)
    assert registry.spec(condition) == text
    assert registry.make(registry.spec(condition)) == condition
    assert registry.spec(registry.make(f"{name}(corruption=fog)")) == f"{name}(corruption=fog, severity=3)"
    assert registry.severity_of(condition.parts[0]) == 2
    assert {field.name for field in dataclasses.fields(condition.parts[0])} == {"corruption", "severity", "legacy"}
