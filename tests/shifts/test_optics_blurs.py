"""Defocus, motion, zoom and frosted glass against closed forms and other implementations."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.special import j1
from shift_images import random_images, streams

from robustbench_lite.shifts.blur import Blur, Convolution
from robustbench_lite.shifts.defocus import DefocusBlur, disk
from robustbench_lite.shifts.gaussian_blur import GaussianBlur
from robustbench_lite.shifts.glass import GlassBlur
from robustbench_lite.shifts.motion import MotionBlur
from robustbench_lite.shifts.zoom_blur import ZoomBlur


def wave(side, cycles_per_px, degrees=0.0):
    """A wave along a direction, of height 0.4 about 0.5."""
    y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float64) - side // 2] * 2, indexing="ij")
    along = x * math.cos(math.radians(degrees)) - y * math.sin(math.radians(degrees))
    return (0.5 + 0.4 * torch.cos(2 * math.pi * cycles_per_px * along))[None, None]


def transfer(shift, cycles_per_px, degrees=0.0, side=121):
    """What is left of a wave, at the centre of the image; negative where it is turned over."""
    out = shift(wave(side, cycles_per_px, degrees), streams())
    return (out[0, 0, side // 2, side // 2].item() - 0.5) / 0.4


def spot(side):
    image = torch.zeros(1, 1, side, side, dtype=torch.float64)
    image[..., side // 2, side // 2] = 1
    return image


def centroid(image):
    """Down and across, from the middle pixel."""
    weights = image[0, 0] / image[0, 0].sum()
    places = torch.arange(len(weights), dtype=weights.dtype) - len(weights) // 2
    return (weights.sum(1) @ places).item(), (weights.sum(0) @ places).item()


@pytest.mark.parametrize("sigma", [0.7, 1.5, 2.5])  # as shifted copies up to 1.5, then as matrices
def test_blur_of_large_images_equals_scipy(sigma):
    images = random_images(1, 2, 130, 121)
    expected = ndimage.gaussian_filter(images.double().numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    assert torch.allclose(Blur(sigma, images)(images).double(), torch.from_numpy(expected), atol=2e-6)


@pytest.mark.parametrize(("size", "kernel"), [((24, 17), (3, 5)), ((24, 17), (31, 9)), ((130, 95), (7, 7))])
def test_convolution_equals_scipy(size, kernel):
    images, weights = random_images(1, 3, *size).double(), random_images(*kernel).double()
    expected = ndimage.correlate(images.numpy(), weights.numpy()[None, None], mode="nearest")
    for small in (True, False):
        out = Convolution(weights, images, small=small)(images)
        assert torch.allclose(out, torch.from_numpy(expected), atol=1e-10)


@pytest.mark.parametrize("radius", [3.0, 6.5, 10.0])
@pytest.mark.parametrize("cycles_per_px", [0.02, 0.05, 0.08])
def test_defocus_has_the_transfer_function_of_a_disk(radius, cycles_per_px):
    x = 2 * math.pi * radius * cycles_per_px
    pixel = math.sin(math.pi * cycles_per_px) / (math.pi * cycles_per_px)  # the weights are means over pixels
    for degrees in (0, 33):
        measured = transfer(DefocusBlur(radius_px=radius), cycles_per_px, degrees)
        assert measured == pytest.approx(2 * j1(x) / x * pixel, abs=0.004)


@pytest.mark.parametrize("radius", [0.3, 0.6, 0.9, 2.3])
def test_the_disk_holds_the_covered_area_of_each_pixel(radius):
    fine = (np.arange(-4000, 4000) + 0.5) / 1000  # a thousand places per pixel
    inside = fine[:, None] ** 2 + fine**2 <= radius**2
    shares = inside[500:-500, 500:-500].reshape(7, 1000, 7, 1000).mean((1, 3))
    margin = 3 - len(disk(radius)) // 2
    expected = torch.from_numpy(shares / shares.sum())[margin : 7 - margin, margin : 7 - margin]
    assert expected.sum() == pytest.approx(1)
    assert torch.allclose(disk(radius), expected, atol=2e-3)


def test_a_disk_within_its_pixel_changes_nothing():
    images = random_images(1, 3, 20, 20)
    assert torch.equal(DefocusBlur(radius_px=0.5)(images, streams()), images)
    assert not torch.equal(DefocusBlur(radius_px=0.51)(images, streams()), images)


def test_the_published_disk_of_cifar_10_c_is_a_small_gaussian():
    images = random_images(1, 1, 20, 20).double()
    rim = np.exp(-(np.arange(-1, 2) ** 2) / (2 * 0.4**2))
    rim /= rim.sum()
    expected = ndimage.correlate(images.numpy(), np.outer(rim, rim)[None, None], mode="nearest")
    out = DefocusBlur(radius_px=0.3, alias_sigma_px=0.4, legacy=True)(images, streams())
    assert torch.allclose(out, torch.from_numpy(expected), atol=1e-9)
    ours = DefocusBlur(radius_px=0.3, alias_sigma_px=0.4)(images, streams())
    assert torch.allclose(out, ours, atol=1e-3)  # nothing but the Gaussian is left of either


def test_the_published_disk_has_whole_pixels():
    out = DefocusBlur(radius_px=3, legacy=True)(spot(31), streams())[0, 0]
    y, x = np.mgrid[-15:16, -15:16]
    expected = (x**2 + y**2 <= 9) / np.sum(x**2 + y**2 <= 9)
    assert torch.allclose(out, torch.from_numpy(expected), atol=1e-9)


def test_bright_spots_spread_further_in_linear_light():
    image = torch.full((1, 3, 41, 41), 0.1)
    image[..., 20, 20] = 1
    flat = torch.full((1, 3, 16, 16), 0.3)
    for blur in (GaussianBlur(), DefocusBlur(), MotionBlur(degrees=0), ZoomBlur()):
        in_light = dataclasses.replace(blur, linear_light=True)
        assert in_light(image, streams()).sum() > blur(image, streams()).sum()
        assert torch.allclose(in_light(flat, streams()), flat, atol=1e-5)


@pytest.mark.parametrize("degrees", [0, 30, -60, 90])
@pytest.mark.parametrize("cycles_per_px", [0.01, 0.03, 0.06])
def test_even_motion_has_the_transfer_function_of_its_length(degrees, cycles_per_px):
    even = MotionBlur(radius_px=10, sigma_px=1e6, degrees=degrees)
    x = math.pi * cycles_per_px * 20
    assert transfer(even, cycles_per_px, degrees) == pytest.approx(math.sin(x) / x, abs=0.01)
    assert transfer(even, cycles_per_px, degrees + 90) == pytest.approx(1, abs=0.02)  # across the path


@pytest.mark.parametrize("sigma", [2.0, 4.0])
def test_motion_has_the_transfer_function_of_a_gaussian(sigma):
    for cycles_per_px in (0.02, 0.05):
        expected = math.exp(-2 * (math.pi * cycles_per_px * sigma) ** 2)
        assert transfer(MotionBlur(radius_px=20, sigma_px=sigma, degrees=20), cycles_per_px, 20) == pytest.approx(
            expected, abs=0.01
        )


def test_motion_leaves_the_object_in_place_and_the_published_kernel_does_not():
    down, across = centroid(MotionBlur(radius_px=10, sigma_px=3, degrees=25)(spot(61), streams()))
    assert (down, across) == pytest.approx((0, 0), abs=1e-6)
    down, across = centroid(MotionBlur(radius_px=10, sigma_px=3, degrees=0, legacy=True)(spot(61), streams()))
    places = np.arange(21)
    weights = np.exp(-(places**2) / 18)
    assert down == pytest.approx(0, abs=1e-6)
    assert -across == pytest.approx((weights * places).sum() / weights.sum(), abs=1e-6)


@pytest.mark.parametrize("legacy", [False, True])
def test_each_sample_draws_the_direction_of_its_motion(legacy):
    """From all; the published ones are within 45 degrees of the rows."""
    out = MotionBlur(radius_px=10, sigma_px=5, legacy=legacy)(spot(61).expand(30, -1, -1, -1), streams(30))
    places = torch.arange(61, dtype=torch.float64)
    down, across = ((light @ places**2) - (light @ places) ** 2 for light in (out[:, 0].sum(2), out[:, 0].sum(1)))
    steep = (down > across + 1).double().mean()  # the variance of the light along each axis
    assert steep == 0 if legacy else 0.2 < steep < 0.8


def test_motion_goes_counter_clockwise_from_the_rows():
    out = MotionBlur(radius_px=10, sigma_px=1e6, degrees=45)(spot(41), streams())[0, 0]
    assert out[13, 27] > 0.01  # up and to the right
    assert out[27, 27] < 1e-6


def test_zoom_is_the_mean_of_magnified_images_about_the_centre():
    image = random_images(1, 1, 31, 31).double()
    zooms = [1, 1.05, 1.1, 1.15]
    places = np.arange(31) - 15.0
    layers = []
    for zoom in zooms:
        y, x = np.meshgrid(places / zoom + 15, places / zoom + 15, indexing="ij")
        layers.append(ndimage.map_coordinates(image[0, 0].numpy(), [y, x], order=1, mode="nearest"))
    out = ZoomBlur(max_zoom=1.2, step=0.05)(image, streams())[0, 0]
    assert torch.allclose(out, torch.from_numpy(np.mean(layers, 0)), atol=1e-9)
    turned = ZoomBlur()(image.flip(2, 3), streams()).flip(2, 3)
    assert torch.allclose(turned, ZoomBlur()(image, streams()), atol=1e-6)  # no drift to any side


def ramp(side):
    """Every pixel is a number of its own."""
    return torch.arange(side * side, dtype=torch.float64).view(1, 1, side, side) / side**2


def displacements(shift, side=96):
    """Where each pixel inside comes from: (2, pixels), down and across."""
    shown = (shift(ramp(side), streams())[0, 0] * side**2).round().long()
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    moved = torch.stack((shown // side - y, shown % side - x))
    return moved[:, 12:-12, 12:-12].flatten(1).double()


def test_glass_moves_evenly_to_all_sides():
    moved = displacements(GlassBlur(sigma_px=0, max_delta_px=3))
    assert set(moved.unique().tolist()) == set(range(-3, 4))
    n = moved.shape[1]
    assert moved.mean(1).abs().max() < 5 * 2 / n**0.5
    assert torch.allclose(moved.var(1), torch.tensor(4.0, dtype=torch.float64), rtol=0.05)  # 3 · 4 / 3
    assert torch.corrcoef(moved)[0, 1].abs() < 5 / n**0.5


def test_panes_of_glass_add_their_variances():
    one = displacements(GlassBlur(sigma_px=0, max_delta_px=2)).var(1)
    three = displacements(GlassBlur(sigma_px=0, max_delta_px=2, iterations=3)).var(1)
    assert torch.allclose(three, 3 * one, rtol=0.08)


def copied_in_turn(image, down, across, delta):
    """The published loop, as numpy carries it out: each pixel becomes the other, the other stays."""
    shown = image.copy()
    for h in range(len(image) - delta, delta, -1):
        for w in range(len(image) - delta, delta, -1):
            shown[h, w] = shown[h + down[h, w], w + across[h, w]]
    return shown


@pytest.mark.parametrize("delta", [1, 2, 4])
def test_the_published_glass_copies_pixels_one_after_the_other(delta):
    side = 40
    draws = streams().words((2, side, side), "pane", 0, like=torch.zeros(1))[0].numpy() / 65536 + 0.5
    steps = np.floor(2 * delta * draws).astype(int) - delta
    expected = copied_in_turn(ramp(side)[0, 0].numpy(), *steps, delta)
    out = GlassBlur(sigma_px=0, max_delta_px=delta, legacy=True)(ramp(side), streams())[0, 0]
    assert np.array_equal(out.numpy(), expected)


def test_the_published_glass_drifts_and_loses_pixels():
    drift = displacements(GlassBlur(sigma_px=0, max_delta_px=1, legacy=True)).mean(1)
    assert (drift < -0.4).all()
    kept = GlassBlur(sigma_px=0, max_delta_px=2, legacy=True)(ramp(64), streams()).unique().numel()
    assert kept < 0.65 * 64 * 64


@pytest.mark.parametrize(("sigma", "side"), [(1.1, 33), (9.0, 33), (1.1, 151)])
def test_blur_of_each_image_is_that_of_all_and_the_same_bits_in_any_company(sigma, side):
    images = random_images(5, 3, side, side - 4)
    blur = Blur(sigma, images)
    together = blur.each(images)
    assert torch.allclose(together, blur(images), atol=1e-6)
    assert torch.equal(together[1:4], blur.each(images[1:4]))
    assert torch.equal(together[3:4], blur.each(images[3:4].clone()))
