"""Rain, winter, and what falls in them, against the formulas."""

import math

import numpy as np
import pytest
import torch
from shift_images import streams

from robustbench_lite.rng import Streams
from robustbench_lite.shifts import precipitation
from robustbench_lite.shifts.haze import Haze
from robustbench_lite.shifts.light import lamp_gains, to_linear
from robustbench_lite.shifts.precipitation import Fall, Streaks
from robustbench_lite.shifts.rain import Rain
from robustbench_lite.shifts.winter import Winter

NEAR_M, FAR_M, VIEW = 0.25, 1.5, 50


def one(i):
    return Streams(0, "condition", (str(i),))


@pytest.mark.parametrize("rate", [5, 50])
def test_the_extinction_of_rain_is_twice_the_area_of_its_drops(rate):
    mm = np.linspace(0, 20, 200_001)
    drops = 8000 * np.exp(-4.1 * rate**-0.21 * mm)
    area_m2 = math.pi / 4 * (mm / 1000) ** 2
    assert precipitation.rain(rate).extinction == pytest.approx(np.trapezoid(2 * area_m2 * drops, mm), rel=1e-3)
    assert precipitation.rain(rate).per_m3 == pytest.approx(np.trapezoid(drops[mm >= 1], mm[mm >= 1]), rel=1e-3)
    # Atlas (1953) measured 0.21 R^0.74 per km.
    assert precipitation.rain(rate).extinction * 1000 == pytest.approx(0.21 * rate**0.74, rel=0.7)


def test_drops_fall_as_fast_as_they_were_measured():
    """Gunn & Kinzer (J. Meteor. 1949), in air at rest, which Atlas, Srivastava & Sekhon fitted."""
    speeds = precipitation.rain(10).speed(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert speeds.tolist() == pytest.approx([4.03, 6.49, 8.06, 8.83, 9.09], abs=0.12)


@pytest.mark.parametrize(("kind", "rate", "tolerance"), [("rain", 5, 0.3), ("rain", 50, 0.3), ("snow", 1, 0.1)])
def test_what_falls_adds_up_to_the_rate(kind, rate, tolerance):
    """Volume of the melted particles times their speed: mm³/m³ · m/s are 0.0036 mm/h."""
    fall, mm = getattr(precipitation, kind)(rate), np.linspace(0, 30, 30_001)
    speed = fall.speed(torch.from_numpy(mm)).numpy().clip(0)
    flow = np.trapezoid(math.pi / 6 * mm**3 * fall.n_0 * np.exp(-fall.slope * mm) * speed, mm)
    assert 0.0036 * flow == pytest.approx(rate, rel=tolerance)


def test_heavier_snow_is_of_larger_flakes():
    assert precipitation.snow(3).slope < 0.7 * precipitation.snow(1).slope
    assert precipitation.snow(3).n_0 < 0.5 * precipitation.snow(1).n_0
    density = 1 / precipitation.snow(1).swelling ** 3  # of a flake, that of water being 1
    assert density == pytest.approx(0.06, rel=0.1)


@pytest.mark.parametrize("fall", [precipitation.rain(60), precipitation.snow(2)])
def test_as_much_is_covered_as_there_are_particles(fall):
    """A particle at depth z fills (D f / z)² π / 4 pixels, and the image sees H W (z / f)² m² there."""
    like = torch.zeros(1, 1, 160, 224)
    streaks = Streaks(fall, 1, VIEW, 20, like)
    small, mean = fall.smallest_mm, 1 / fall.slope
    squared_m2 = (fall.swelling / 1000) ** 2 * (small**2 + 2 * small * mean + 2 * mean**2)
    expected = fall.per_m3 * (FAR_M - NEAR_M) * math.pi / 4 * squared_m2
    covered = np.mean([streaks(one(i), like).mean().item() for i in range(30)])
    assert covered == pytest.approx(expected, rel=0.1)


def test_a_streak_is_as_long_as_the_way_of_the_particle():
    """One particle of 3 mm at 4 m/s: its width tells its distance, and so the length of its streak."""
    like = torch.zeros(1, 1, 240, 240)
    space = (FAR_M**3 - NEAR_M**3) / 3 * (2 * math.tan(math.radians(VIEW / 2))) ** 2
    fall = Fall(5000 * math.exp(100) / space, 5000, 0.02, 150, lambda mm: 4 * torch.ones_like(mm))
    streaks, measured = Streaks(fall, 5, VIEW, 0, like), 0
    for i in range(60):
        rows = streaks(one(i), like)[0, 0].double().sum(1)
        if rows[:1] + rows[-1:] > 0:
            continue  # goes over the edge
        width = math.sqrt(4 * rows.sum().item() / math.pi)
        length = width * 4 * 0.005 / 0.003
        place = torch.arange(240).double()
        middle = (rows * place).sum() / rows.sum()
        variance = (rows * (place - middle) ** 2).sum() / rows.sum()
        assert variance.item() == pytest.approx(length**2 / 12 + width**2 / 16, rel=0.25, abs=0.4)
        measured += 1
    assert measured > 30


def test_rain_is_a_veil_that_grows_with_distance_and_streaks_of_sky():
    black = torch.zeros(12, 1, 64, 64)
    light = to_linear(Rain(rain_mm_h=40, near_m=10, far_m=200)(black, streams(12)))[:, 0]
    down = (np.arange(64) + 0.5) / 64
    depth = 1 / ((1 - down) / 200 + down / 10)
    veil = 0.8 * (1 - np.exp(-precipitation.rain(40).extinction * depth))
    rows = light.double().median(2).values.mean(0).numpy()
    assert rows == pytest.approx(veil, rel=0.02)
    assert (light.amax((1, 2)) > veil.max() + 0.001).any() or light[:, -8:].amax() > 1.2 * veil[-8]
    assert light.max() <= 0.8 + 1e-5


def test_more_rain_adds_drops_to_those_that_fall():
    like = torch.zeros(1, 1, 224, 224)
    less, more = (Streaks(precipitation.rain(r), 2, VIEW, 20, like)(one(0), like) for r in (20, 25))
    together = torch.corrcoef(torch.stack((less.flatten(), more.flatten())))[0, 1]
    assert together > 0.7
    assert Rain(rain_mm_h=0)(like + 0.3, streams(1)).equal(like + 0.3)


def random_images(*shape):
    return 0.2 + 0.6 * torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_winter_light_is_less_and_bluer():
    images = random_images(2, 3, 16, 16)
    ratio = to_linear(Winter(severity=0, exposure_ev=-1.5, cct_k=9000)(images, streams(2))) / to_linear(images)
    gains = torch.tensor(lamp_gains(9000, 0.3)) * 2**-1.5
    assert torch.allclose(ratio, gains.view(1, 3, 1, 1).expand_as(ratio), rtol=1e-3)
    assert gains[2] > 1.2 * gains[0]


def test_winter_haze_is_haze():
    images = random_images(2, 3, 32, 32)
    expected = Haze(visibility_m=300)(images, streams(2))
    assert torch.allclose(Winter(severity=0, visibility_m=300)(images, streams(2)), expected, atol=1e-5)


def test_winter_shadows_are_long_and_leave_the_ambient_light():
    images = torch.full((12, 1, 80, 80), 0.5)
    left = to_linear(Winter(severity=0, ambient=0.4)(images, streams(12))) / to_linear(images)
    assert left.min().item() == pytest.approx(0.4, abs=1e-3)
    assert left.max().item() == pytest.approx(1, abs=1e-3)
    across = (left < 0.7).float().amax(2).mean()  # columns that the shadow crosses
    assert across > 0.8
    assert 0.1 < (left < 0.7).float().mean() < 0.4


def test_ice_grows_from_the_rim_and_flakes_are_everywhere():
    images = torch.full((6, 1, 90, 90), 0.2)
    ice = Winter(severity=0, frost=0.7)(images, streams(6)) - images
    assert ice[..., :5].mean() > 8 * ice[..., 35:55, 35:55].mean()
    flakes = Winter(severity=0, snow_mm_h=3)(images, streams(6)) - images
    assert flakes.min() > -1e-5
    assert (flakes > 0.05).float().mean() > 0.002


def test_without_colour_the_rest_of_winter_happens():
    grey = random_images(1, 1, 24, 24)
    assert torch.equal(
        Winter(severity=0, cct_k=9000)(grey, streams(1)), Winter(severity=0, frost=0)(grey, streams(1))
    )
    assert (Winter(severity=3)(grey, streams(1)) - grey).abs().mean() > 0.05
