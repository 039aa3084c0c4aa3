"""Blur, brightness, contrast, JPEG and rotation against closed forms and other implementations."""

import colorsys

import pytest
import torch
from scipy.ndimage import gaussian_filter
from shift_images import random_images, smooth_images, streams

from robustbench_lite.shifts.compression import JPEG
from robustbench_lite.shifts.gaussian_blur import GaussianBlur
from robustbench_lite.shifts.rotation import Rotation
from robustbench_lite.shifts.tone import Brightness, Contrast


@pytest.mark.parametrize("sigma", [0.4, 1.3, 6.0])  # 6 px: the kernel is wider than the image
def test_blur_equals_scipy(sigma):
    images = random_images(2, 3, 20, 33)
    expected = gaussian_filter(images.double().numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    out = GaussianBlur(sigma_px=sigma)(images, streams(2))
    assert torch.allclose(out.double(), torch.from_numpy(expected), atol=2e-6)


@pytest.mark.parametrize("add", [-0.3, 0.2, 0.6])
def test_brightness_adds_to_the_value_of_hsv(add):
    images = random_images(1, 3, 8, 8)
    images[0, :, 0, 0] = 0  # black
    images[0, :, 0, 1] = 1  # white
    out = Brightness(add=add)(images, streams(1))
    for before, after in zip(images[0].flatten(1).T.tolist(), out[0].flatten(1).T.double().numpy(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb(hue, saturation, min(max(value + add, 0), 1))
        assert after == pytest.approx(expected, abs=1e-6)


def test_brightness_of_a_grey_image_is_an_addition():
    image = torch.tensor([0.0, 0.25, 0.5, 0.9]).view(1, 1, 2, 2)
    out = Brightness(add=0.25)(image, streams(1))
    assert torch.allclose(out.flatten(), torch.tensor([0.25, 0.5, 0.75, 1.0]))


def test_contrast_scales_the_spread_of_each_channel_and_keeps_its_mean():
    images = random_images(2, 4, 16, 16) * 0.5 + 0.25
    out = Contrast(factor=0.3)(images, streams(2))
    assert torch.allclose(out.mean((2, 3)), images.mean((2, 3)), atol=1e-6)
    assert torch.allclose(out.std((2, 3)), 0.3 * images.std((2, 3)), atol=1e-6)
    steeper = Contrast(factor=3.0)(images, streams(2))
    assert steeper.min() == 0
    assert steeper.max() == 1


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_jpeg_of_other_channel_counts_is_grey_channel_by_channel(channels):
    images = random_images(1, channels, 16, 24)
    out = JPEG(quality=30)(images, streams(1))
    for channel in range(channels):
        alone = JPEG(quality=30)(images[:, channel : channel + 1], streams(1))
        assert torch.equal(out[:, channel : channel + 1], alone)


@pytest.mark.parametrize("quarter_turns", [-2, -1, 1, 2])
def test_quarter_turns_equal_rot90(quarter_turns):
    images = random_images(2, 3, 21, 21)
    out = Rotation(degrees=90 * quarter_turns)(images, streams(2))
    assert torch.allclose(out, torch.rot90(images, quarter_turns, (2, 3)), atol=1e-4)


def test_half_a_turn_of_an_image_that_is_not_square():
    images = random_images(1, 1, 9, 30)
    out = Rotation(degrees=180)(images, streams(1))
    assert torch.allclose(out, images.flip(2, 3), atol=1e-4)


def test_no_turn_changes_no_bit():
    images = random_images(1, 1, 9, 30)
    assert torch.equal(Rotation(degrees=0)(images, streams(1)), images)


def test_a_small_turn_and_back_is_nearly_nothing_in_the_middle():
    images = smooth_images(1, 40, 64)
    there = Rotation(degrees=7)(images, streams(1))
    back = Rotation(degrees=-7)(there, streams(1))
    middle = (..., slice(12, 28), slice(16, 48))
    assert (there - images)[middle].abs().mean() > 5 * (back - images)[middle].abs().mean()


def test_pixels_move_as_far_as_geometry_says():
    image = torch.zeros(1, 1, 41, 61)
    image[0, 0, 20, 50] = 1  # 20 px to the right of the centre
    out = Rotation(degrees=30)(image, streams(1))[0, 0]
    y, x = (out.sum(1) @ torch.arange(41.0) / out.sum(), out.sum(0) @ torch.arange(61.0) / out.sum())
    assert y.item() == pytest.approx(20 - 20 * 0.5, abs=0.1)
    assert x.item() == pytest.approx(30 + 20 * 0.8660, abs=0.1)


def test_the_scale_turns_some_samples_left_and_others_right():
    images = smooth_images(1, 32, 32).expand(20, -1, -1, -1)
    out = Rotation(severity=3)(images, streams(20))
    left = Rotation(degrees=15)(images[:1], streams(1))[0]
    right = Rotation(degrees=-15)(images[:1], streams(1))[0]
    to_the_left = sum(torch.equal(image, left) for image in out)
    to_the_right = sum(torch.equal(image, right) for image in out)
    assert to_the_left + to_the_right == 20
    assert 4 <= to_the_left <= 16
