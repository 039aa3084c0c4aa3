"""Fog, haze and their fractal field against closed forms and the published algorithm."""

import math

import numpy as np
import pytest
import torch
from shift_images import random_images, streams

from robustbench_lite.shifts.fields import Plasma
from robustbench_lite.shifts.fog import Fog
from robustbench_lite.shifts.frost import Frost
from robustbench_lite.shifts.haze import Haze
from robustbench_lite.shifts.ice import window
from robustbench_lite.shifts.light import to_linear, to_srgb


def diamond_square(numbers, side):
    """Point by point, as it is described: squares first, then diamonds, on a torus."""
    field, points = np.zeros((side, side)), 1
    while points < side:
        step = side // points
        half = step // 2
        across, down, centre = numbers[points**2 : 4 * points**2].reshape(3, points, points)
        for i in range(points):
            for j in range(points):
                y, x = i * step, j * step
                corners = [field[(y + a) % side, (x + b) % side] for a in (0, step) for b in (0, step)]
                field[y + half, x + half] = np.mean(corners) + centre[i, j]
        for offsets, y0, x0 in ((across, 0, half), (down, half, 0)):
            for i in range(points):
                for j in range(points):
                    y, x = i * step + y0, j * step + x0
                    around = ((half, 0), (-half, 0), (0, half), (0, -half))
                    near = [field[(y + a) % side, (x + b) % side] for a, b in around]
                    field[y, x] = np.mean(near) + offsets[i, j]
        points *= 2
    return field


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_plasma_is_the_diamond_square_algorithm(side):
    like, decay = torch.zeros(1, 1, side, side, dtype=torch.float64), 1.7
    numbers = streams(1).uniform((side**2 + 2,), "plasma", like=like)[0, 2:].numpy() - 0.5
    for level in range(int(math.log2(side))):
        numbers[4**level : 4 ** (level + 1)] /= decay**level
    expected = diamond_square(numbers, side)
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    plasma = Plasma(decay, like)
    assert np.allclose(plasma(streams(1), like, corner=True).numpy(), expected, atol=1e-6)
    elsewhere = plasma(streams(1), like).numpy()
    assert not np.allclose(elsewhere, expected)
    assert np.allclose(np.sort(elsewhere, None), np.sort(expected, None), atol=1e-6)  # the torus, moved


@pytest.mark.parametrize("decay", [1.414, 2.0])
def test_the_spectrum_of_plasma_falls_with_its_decay(decay):
    side = 256
    plasma, like = Plasma(decay, torch.zeros(1, 1, side, side)), torch.zeros(1)
    power = sum(torch.fft.rfft2(plasma(streams(1, seed), like)).abs() ** 2 for seed in range(20))
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)) * side
    rings = [(frequency >= f) & (frequency < 2 * f) for f in (4, 8, 16, 32)]
    mean = [math.log2(power[ring].mean()) for ring in rings]
    slope = np.polyfit(range(4), mean, 1)[0]
    assert slope == pytest.approx(-(2 * math.log2(decay) + 2), abs=0.25)


def test_fog_adds_plasma_and_keeps_the_brightest_value_in_range():
    image = random_images(1, 3, 20, 27) * 0.9
    field = Plasma(4, image)(streams(1), image)
    expected = (image + 1.5 * field) * image.max() / (image.max() + 1.5)
    assert torch.allclose(Fog(amount=1.5, decay=2)(image, streams(1)), expected, atol=1e-6)
    assert torch.equal(Fog(amount=0, decay=2)(image, streams(1)), image)


def test_legacy_fog_shows_the_corner_where_the_first_point_lies():
    grey = torch.full((40, 1, 16, 16), 0.5)
    corner = Fog(amount=1, decay=3, legacy=True)(grey, streams(40))[:, 0, 0, 0]
    elsewhere = Fog(amount=1, decay=3)(grey, streams(40))[:, 0, 0, 0]
    assert corner.std() > 1.5 * elsewhere.std()  # there it is lowest or highest


@pytest.mark.parametrize("visibility_m", [150.0, 600.0])
def test_contrast_fades_by_koschmieders_law(visibility_m):
    dark, bright = (to_srgb(torch.full((1, 1, 64, 8), light)) for light in (0.1, 0.7))
    haze = Haze(visibility_m=visibility_m, near_m=5, far_m=visibility_m)
    seen = [to_linear(haze(image, streams(1)))[0, 0, :, 0].double().numpy() for image in (dark, bright)]
    share_down = (np.arange(64) + 0.5) / 64
    depth = 1 / ((1 - share_down) / visibility_m + share_down / 5)
    beta = 2.995732 / visibility_m
    assert (seen[1] - seen[0]) / 0.6 == pytest.approx(np.exp(-beta * depth), rel=1e-4)
    assert seen[0] == pytest.approx(0.1 * np.exp(-beta * depth) + 0.8 * (1 - np.exp(-beta * depth)), rel=1e-4)


def test_five_percent_of_the_contrast_is_left_at_the_visibility():
    board = torch.tensor([0.2, 0.9]).repeat(8, 8)[None, None]
    far = to_linear(Haze(visibility_m=400, near_m=400, far_m=400)(board, streams(1)))
    before = to_linear(board)
    contrast = (far[..., 1] - far[..., 0]) / (before[..., 1] - before[..., 0])
    assert contrast.mean().item() == pytest.approx(0.05, rel=1e-3)


def test_between_levels_the_extinction_is_linear():
    images = random_images(1, 3, 8, 8)
    assert Haze(severity=0.5).values(images).visibility_m == pytest.approx(4000)
    assert Haze(severity=4.5).values(images).visibility_m == pytest.approx(200)
    assert Haze(severity=0.0, airlight=0.5).values(images).visibility_m == math.inf
    assert torch.equal(Haze(severity=0, near_m=50)(images, streams(1)), images)


def test_frost_is_the_weighted_sum_of_the_image_and_of_ice():
    images = random_images(2, 3, 40, 50)
    ice = Frost(image_weight=0, frost_weight=0.5)(images, streams(2)) * 2
    both = Frost(image_weight=0.6, frost_weight=0.2)(images, streams(2))
    assert torch.allclose(both, 0.6 * images + 0.2 * ice, atol=1e-6)
    assert (ice[0] - ice[1]).abs().mean() > 0.02


def test_ice_is_as_bright_as_the_photographs_of_the_published_frost():
    """Mean over the five photographs that are used, of the mean and the spread of pieces of 224 px."""
    pieces = Frost(image_weight=0, frost_weight=1)(torch.zeros(60, 1, 224, 224), streams(60))
    assert pieces.mean().item() == pytest.approx(0.635, abs=0.02)
    assert 0.06 < pieces.std((1, 2, 3)).mean().item() < 0.14


def test_ice_is_up_to_a_quarter_thinner_or_thicker():
    """In images nearly as large as the window, which all see most of it."""
    pieces = Frost(image_weight=0, frost_weight=0.5, scale=0.05)(torch.zeros(60, 1, 200, 200), streams(60))
    thickness = pieces.mean((1, 2, 3)) / (0.5 * window(220).mean())
    assert 0.73 < thickness.min() < 0.8
    assert 1.2 < thickness.max() < 1.27


def test_a_smaller_window_has_smaller_crystals():
    def likeness(side, lag):
        ice = window(side) - window(side).mean()
        return ((ice[lag:] * ice[:-lag]).mean() / ice.var()).item()

    assert window(1024) is window(1024)
    assert likeness(256, 5) == pytest.approx(likeness(1024, 20), abs=0.15)
    assert likeness(256, 5) < 0.75 * likeness(1024, 5)
    huge = Frost(scale=0.05)(torch.rand(1, 1, 300, 90), streams(1))  # the window grows with the image
    assert huge.shape == (1, 1, 300, 90)
