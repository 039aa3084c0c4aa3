"""The severity scale."""

import pytest
import torch

from robustbench_lite.applying import by_severity
from robustbench_lite.errors import InputError
from robustbench_lite.registry import make
from robustbench_lite.rng import Streams
from robustbench_lite.shifts.compression import JPEG
from robustbench_lite.shifts.gaussian_blur import GaussianBlur
from robustbench_lite.shifts.noise import GaussianNoise
from robustbench_lite.shifts.rotation import Rotation
from robustbench_lite.shifts.scale import at_severity, at_size, check_range
from robustbench_lite.shifts.tone import Brightness, Contrast

SCALES = {32: (0, 1, 2, 3, 4, 5), 64: (0, 10, 20, 30, 40, 50), 224: (0, 100, 200, 300, 400, 500)}


def blank(height, width):
    return torch.zeros(1, 1, height, width)


def test_levels_and_what_lies_between_them():
    levels = (0, -1, -2, -3, -4, -5.5)
    assert [at_severity(s, levels) for s in range(6)] == [*levels]
    assert at_severity(4.5, levels) == -4.75
    assert at_severity(0.25, levels) == -0.25


@pytest.mark.parametrize(("side", "expected"), [(8, 3), (32, 3), (64, 30), (224, 300), (1000, 300)])
def test_sides_that_have_a_table_and_beyond(side, expected):
    assert at_size(3, SCALES, blank(side, side)) == expected


def test_between_two_sides_the_logarithm_counts():
    half_way = (64 * 224) ** 0.5
    assert at_size(3, SCALES, blank(64, 224)) == pytest.approx((30 + 300) / 2)  # as many pixels as half_way²
    assert at_size(3, SCALES, blank(120, 120)) == pytest.approx(165, abs=0.5)
    assert half_way == pytest.approx(120, abs=0.3)


def test_a_value_out_of_range_is_named_with_its_unit():
    with pytest.raises(InputError) as error:
        check_range("sigma_px", -1, 0, 100, "standard deviation in pixels")
    assert str(error.value) == (
        "sigma_px=-1 is out of range. Give a number from 0 to 100 (standard deviation in pixels)."
    )
    check_range("sigma_px", None, 0, 100, "None is taken from the scale")


# Values of ImageNet-C, Tiny-ImageNet-C and CIFAR-10-C at severity 3, and of the scale's own.
@pytest.mark.parametrize(
    ("on_the_scale", "spelled_out", "side"),
    [
        (GaussianBlur(), GaussianBlur(sigma_px=3), 224),
        (GaussianBlur(), GaussianBlur(sigma_px=0.7), 32),
        (GaussianNoise(severity=5), GaussianNoise(sigma=0.18), 64),
        (GaussianNoise(severity=1), GaussianNoise(sigma=0.04), 20),
        (Brightness(severity=5), Brightness(add=0.5), 64),
        (Brightness(severity=2.5), Brightness(add=0.125), 32),
        (Contrast(severity=0.5), Contrast(factor=0.875), 32),
        (Contrast(severity=4), Contrast(factor=0.1), 224),
        (JPEG(severity=1), JPEG(quality=80), 32),
        (JPEG(severity=4), JPEG(quality=10), 224),
    ],
)
def test_the_scale_stands_for_physical_values(on_the_scale, spelled_out, side):
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    streams = Streams(0, "c", ("a",))
    assert torch.allclose(on_the_scale(image, streams), spelled_out(image, streams), atol=1e-6)


def test_a_given_value_replaces_the_scale_even_at_severity_0():
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    streams = Streams(0, "c", ("a",))
    for change in (GaussianBlur, GaussianNoise, Brightness, Contrast, JPEG, Rotation):
        name = next(iter(change.arguments()))
        value = 20 if name in ("degrees", "quality") else 0.4
        weak, strong = change(severity=0, **{name: value}), change(severity=5, **{name: value})
        assert torch.equal(weak(image, streams), strong(image, streams))
        assert not torch.equal(weak(image, streams), image)


@pytest.mark.parametrize(
    ("spec", "recorded"),
    [
        ("gaussian_blur(severity=2)", {"values": {"sigma_px": 2.0}, "from_clean": True}),
        ("gaussian_blur(sigma_px=1)", {"values": {}, "from_clean": False}),
        ("flicker(severity=1, flicker_hz=120)", {"values": {"modulation": 0.12}, "from_clean": True}),
        ("gaussian_blur + jpeg", {}),
        ("pgd", {}),
    ],
)
def test_a_record_tells_what_follows_the_severity(spec, recorded):
    assert by_severity(make(spec), (3, 224, 224)) == recorded


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: GaussianBlur(sigma_px=-1),
        lambda: GaussianNoise(sigma=25),
        lambda: Brightness(add=1.5),
        lambda: Contrast(factor=-0.1),
        lambda: JPEG(quality=0),
        lambda: JPEG(quality=101),
        lambda: Rotation(degrees=200),
    ],
)
def test_physical_values_are_checked(wrong):
    with pytest.raises(InputError, match=r"is out of range\. Give a number from"):
        wrong()
