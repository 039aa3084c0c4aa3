"""Channels, size and scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from robustbench_lite.data.dataset import DamagedImageError
from robustbench_lite.data.pixels import Fit
from robustbench_lite.errors import InputError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_integers_become_fractions_of_the_largest(dtype, top):
    raw = np.arange(top + 1, dtype=dtype).reshape(-1, 64, 1)
    pixels = Fit()(raw, "a")
    assert pixels.dtype == np.float32
    assert pixels.shape == (1, (top + 1) // 64, 64)
    assert np.array_equal(pixels.ravel(), (np.arange(top + 1) / top).astype(np.float32))


def test_floats_are_kept_and_other_types_refused():
    raw = RNG.random((4, 5))
    assert np.array_equal(Fit()(raw, "a")[0], raw.astype(np.float32))
    with pytest.raises(InputError, match="a holds int64"):
        Fit()(np.ones((4, 5), np.int64), "a")


def test_grey_to_colour_and_back():
    raw = RNG.integers(0, 256, (4, 5, 1), dtype=np.uint8)
    colour = Fit(channels=3)(raw, "a")
    assert colour.shape == (3, 4, 5)
    assert (colour == Fit()(raw, "a")).all()
    red = np.zeros((1, 3, 3), np.uint8)
    red[0] = 255 * np.eye(3)
    assert np.allclose(Fit(channels=1)(red, "a").ravel(), [0.299, 0.587, 0.114])


@pytest.mark.parametrize(("has", "wanted"), [(1, 4), (3, 4), (5, 3), (4, 1), (3, 2)])
def test_impossible_channels_name_the_file(has, wanted):
    fit = Fit(channels=wanted)
    with pytest.raises(InputError, match=rf"good/a\.png has {has} channels?, which cannot be made {wanted}"):
        fit(np.zeros((4, 5, has), np.uint8), "good/a.png")
    with pytest.raises(InputError, match=r"good/a\.png"):
        fit.shape((4, 5, has), "good/a.png")


@pytest.mark.parametrize("size", [(40, 61), (61, 40), (33, 33), (200, 32), (32, 32), (7, 9)])
@pytest.mark.parametrize("resize", [None, 32, 40])
def test_resizing_is_torchvisions(size, resize):
    raw = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    tensor = torch.from_numpy(raw).permute(2, 0, 1) / 255
    scaled = reference.resize(tensor, [resize or 32], antialias=True)
    expected = reference.center_crop(scaled, [32, 32])
    actual = Fit(input_size=(32, 32), resize=resize)(raw, "a")
    assert actual.shape == (3, 32, 32)
    np.testing.assert_allclose(actual, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [(40, 61), (61, 40), (10, 100), (100, 10), (31, 17)])
def test_an_oblong_target_is_covered(size):
    fit = Fit(input_size=(20, 50))
    assert fit(RNG.random((*size, 1)), "a").shape == (1, 20, 50)
    assert fit.shape((*size, 1), "a") == (1, 20, 50)
    plain = np.full((*size, 1), 0.5)
    assert np.allclose(fit(plain, "a"), 0.5)  # no border is filled in


def test_16_bits_survive_the_resizing():
    raw = np.full((8, 8, 1), 257, np.uint16)
    assert np.allclose(Fit(input_size=(4, 4))(raw, "a"), 257 / 65535, rtol=1e-6)


def test_a_sliver_is_not_blown_up():
    with pytest.raises(DamagedImageError, match=r"^a.png: 1 x 200000 pixels would become 224 x 44800000"):
        Fit(input_size=(224, 224)).shape((1, 200_000, 1), "a.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "--channels 0"),
        ({"input_size": (0, 4)}, "--input-size"),
        ({"resize": 32}, "--resize 32 needs --input-size"),
        ({"resize": 32, "input_size": (64, 16)}, "Give at least 64"),
    ],
)
def test_refused_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        Fit(**arguments)


def test_refused_shapes():
    with pytest.raises(InputError, match="a has the shape"):
        Fit()(np.zeros((2, 3, 4, 5), np.uint8), "a")
