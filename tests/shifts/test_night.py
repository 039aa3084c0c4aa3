"""The physics of night, one step at a time. Severity 0 switches off every step that is not asked for."""

import math

import numpy as np
import pytest
import torch
from shift_images import streams

from robustbench_lite.errors import InputError
from robustbench_lite.shifts.light import (
    Bloom,
    expose_sensor,
    falloff,
    lamp_gains,
    places,
    planckian_rgb,
    planckian_xy,
    quantise,
    to_linear,
    to_srgb,
)
from robustbench_lite.shifts.night import Night


def ramp(channels=3, side=32):
    values = torch.linspace(0.05, 1, side * side).view(1, 1, side, side)
    return values.expand(1, channels, side, side).clone()


def linear(images, **arguments):
    """Linear light of the images after a night at severity 0 with the given steps."""
    return to_linear(Night(severity=0, **arguments)(images, streams(len(images))))


def test_srgb_has_the_published_values():
    stored = torch.tensor([0, 0.04045, 0.5, 0.735357, 1], dtype=torch.float64)
    light = torch.tensor([0, 0.0031308, 0.214041, 0.5, 1], dtype=torch.float64)
    assert torch.allclose(to_linear(stored), light, atol=1e-6)
    assert torch.allclose(to_srgb(light), stored, atol=1e-6)
    values = torch.linspace(0, 1, 256)
    assert torch.allclose(to_srgb(to_linear(values)), values, atol=1e-6)


# CIE 1931 chromaticities of black bodies: Wyszecki & Stiles, Color Science; 2856 K is CIE illuminant A.
@pytest.mark.parametrize(
    ("kelvin", "x", "y"),
    [
        (2000, 0.5267, 0.4133),
        (2500, 0.4770, 0.4137),
        (2856, 0.4476, 0.4074),
        (3000, 0.4369, 0.4041),
        (4000, 0.3805, 0.3768),
        (5000, 0.3451, 0.3516),
        (6500, 0.3135, 0.3237),
        (10000, 0.2807, 0.2884),
    ],
)
def test_black_bodies_have_the_published_chromaticity(kelvin, x, y):
    assert planckian_xy(kelvin) == pytest.approx((x, y), abs=1e-3)


def gauss(nm, mean, left, right):
    return np.exp(-0.5 * ((nm - mean) / np.where(nm < mean, left, right)) ** 2)


@pytest.mark.parametrize("kelvin", [1700, 2200, 2223, 3000, 3999, 4001, 5500, 12000])
def test_black_bodies_agree_with_planck_s_law(kelvin):
    """Integrated over the colour matching functions in the analytic form of Wyman et al. (JCGT 2013)."""
    nm = np.arange(360.0, 831.0)
    power = nm**-5 / np.expm1(1.4388e7 / (nm * kelvin))
    x_bar = (
        1.056 * gauss(nm, 599.8, 37.9, 31.0)
        + 0.362 * gauss(nm, 442.0, 16.0, 26.7)
        - 0.065 * gauss(nm, 501.1, 20.4, 26.2)
    )
    y_bar = 0.821 * gauss(nm, 568.8, 46.9, 40.5) + 0.286 * gauss(nm, 530.9, 16.3, 31.1)
    z_bar = 1.217 * gauss(nm, 437.0, 11.8, 36.0) + 0.681 * gauss(nm, 459.0, 26.0, 13.8)
    xyz = np.array([(power * bar).sum() for bar in (x_bar, y_bar, z_bar)])
    assert planckian_xy(kelvin) == pytest.approx(xyz[:2] / xyz.sum(), abs=5e-3)


def test_illuminant_a_in_linear_srgb():
    # XYZ of illuminant A (1.09850, 1, 0.35585) through the matrix of IEC 61966-2-1.
    assert planckian_rgb(2856) == pytest.approx((1.845, 0.826, 0.233), rel=0.01)


def test_the_lamp_colours_what_the_camera_leaves_and_keeps_the_luminance():
    grey = torch.full((1, 3, 8, 8), 0.4)
    before = to_linear(grey)[0, :, 0, 0]
    full = linear(grey, cct_k=2856, white_balance=0)[0, :, 0, 0]
    half = linear(grey, cct_k=2856, white_balance=0.5)[0, :, 0, 0]
    none = linear(grey, cct_k=2856, white_balance=1)[0, :, 0, 0]
    luminance = torch.tensor([0.2126, 0.7152, 0.0722])
    daylight = planckian_rgb(6500)
    expected = torch.tensor([a / d for a, d in zip((1.845, 0.826, 0.233), daylight, strict=True)])
    assert torch.allclose(full / full[1], expected / expected[1], rtol=0.01)
    assert torch.allclose(half / half[1], (full / full[1]).sqrt(), rtol=1e-3)
    assert torch.allclose(none, before, rtol=1e-4)
    for colour in (full, half, none):
        assert (luminance @ colour).item() == pytest.approx(before[0].item(), rel=1e-3)


def test_warmer_lamps_have_more_red_and_less_blue():
    gains = [lamp_gains(kelvin, 0) for kelvin in (10_000, 6500, 5500, 4500, 3800, 3000, 2200, 2000)]
    assert [r for r, _, _ in gains] == sorted(r for r, _, _ in gains)
    assert [b for _, _, b in gains] == sorted((b for _, _, b in gains), reverse=True)
    assert min(b for _, _, b in gains) > 0
    assert gains[1] == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_the_lamp_s_colour_is_for_three_channels_only(channels):
    images = ramp(channels)
    assert torch.allclose(Night(severity=0, cct_k=2200)(images, streams()), images, atol=1e-6)


def test_one_stop_halves_the_light():
    images = ramp()
    halved = linear(images, exposure_ev=-1, auto_exposure=0)
    assert torch.allclose(halved, to_linear(images) / 2, atol=1e-6)


@pytest.mark.parametrize(("auto_exposure", "left"), [(0, 1 / 16), (0.5, 1 / 4), (1, 1)])
def test_automatic_exposure_puts_back_its_share_of_the_stops(auto_exposure, left):
    images = ramp(1)
    out = linear(images, exposure_ev=-4, auto_exposure=auto_exposure)
    assert torch.allclose(out, to_linear(images) * left, atol=2e-6)


def test_the_farthest_corner_loses_its_share_and_the_lamp_nothing():
    light = falloff(*places(torch.zeros(1, 3, 40, 60)), (0.25, 0.75), 0.6)
    assert light.min().item() == pytest.approx(0.4, abs=1e-6)
    assert light[-1, 0] == light.min()
    assert light[10, 45].item() == pytest.approx(1, abs=1e-3)
    assert (light <= 1).all()


def test_every_sample_has_a_lamp_of_its_own_in_the_middle_half():
    grey = torch.full((12, 1, 40, 40), 0.5)
    light = linear(grey, corner_loss=0.5)[:, 0]
    brightest = {divmod(image.argmax().item(), 40) for image in light}
    assert len(brightest) > 8
    assert all(9 <= place <= 30 for lamp in brightest for place in lamp)


def test_glare_moves_light_and_loses_none():
    light = torch.zeros(1, 1, 101, 101)
    light[..., 48:53, 48:53] = 0.5
    out = Bloom(0.1, light)(light, white=1.0)
    assert out.sum().item() == pytest.approx(light.sum().item(), rel=1e-3)
    assert 0.45 < out[0, 0, 50, 50].item() < 0.5
    reached = [out[0, 0, 50, 50 + d].item() for d in (5, 10, 20, 30)]
    assert reached == sorted(reached, reverse=True)
    assert reached[-1] > 0


def test_what_is_white_glares_as_a_source_brighter_than_white():
    def veil(level):
        light = torch.zeros(1, 1, 64, 64)
        light[..., 30:34, 30:34] = level
        return Bloom(0.1, light)(light, white=1.0)[0, 0, 32, 45].item() / level

    assert veil(1.0) == pytest.approx(2 * veil(0.8), rel=1e-4)


def test_the_variance_of_the_noise_is_photons_plus_read_noise():
    full_well, read_noise = 1000.0, 6.0
    levels = torch.tensor([0.1, 0.2, 0.4, 0.6, 0.8])
    stored = to_srgb(levels).view(5, 1, 1, 1).expand(5, 1, 200, 200)
    measured = linear(stored, full_well_e=full_well, read_noise_e=read_noise).flatten(1)
    slope, intercept = np.polyfit(measured.mean(1).numpy(), measured.var(1).numpy(), 1)
    assert slope == pytest.approx(1 / full_well, rel=0.03)
    assert intercept == pytest.approx((read_noise / full_well) ** 2, abs=5e-6)
    assert torch.allclose(measured.mean(1), levels, atol=1e-3)


def test_less_light_is_noisier_once_gain_has_put_it_back():
    grey = torch.full((1, 1, 100, 100), 0.6)
    signal_to_noise = []
    for ev in (0, -2, -4):
        light = linear(grey, exposure_ev=ev, auto_exposure=1, full_well_e=10_000, read_noise_e=0)
        signal_to_noise.append((light.mean() / light.std()).item())
    photons = 10_000 * to_linear(grey)[0, 0, 0, 0].item()
    assert signal_to_noise == pytest.approx([math.sqrt(photons / 4**i) for i in range(3)], rel=0.03)


def test_the_noise_fades_out_with_the_severity():
    images = ramp()
    out = Night(severity=1e-180)(images, streams())
    assert torch.allclose(out, images, atol=0.5 / 4095 * 12.92)  # half a step of the converter, near black


def test_the_sensor_is_cut_off_at_black_and_at_the_full_well():
    noise = torch.tensor([-5.0, 5.0])
    read = expose_sensor(torch.tensor([0.0, 1.0]), noise, full_well_e=100.0, read_noise_e=10.0)
    assert read.tolist() == [0, 1]


def test_read_noise_alone_is_heard_at_severity_0():
    black = torch.zeros(1, 1, 50, 50)
    assert linear(black, read_noise_e=20).std() > 0
    assert linear(black, full_well_e=1000).std() < 1e-9  # no light, no photon noise


def test_the_converter_has_as_many_levels_as_its_bits_say():
    light = linear(ramp(1), bits=2)
    assert torch.allclose(light.unique(), torch.tensor([0, 1 / 3, 2 / 3, 1]), atol=1e-6)
    x = torch.tensor([0.2, 0.7], requires_grad=True)
    quantise(x, 4).sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_the_scale_sets_what_is_not_given():
    images = ramp()
    spelled_out = Night(
        severity=4,
        exposure_ev=-4,
        cct_k=3000,
        corner_loss=0.45,
        bloom=0.06,
        full_well_e=5000,
        read_noise_e=5,
        bits=12,
        shutter_share=0.5,
        row_noise_e=1,
        denoise=0.4,
    )
    assert torch.equal(Night(severity=4)(images, streams()), spelled_out(images, streams()))


@pytest.mark.parametrize(
    "arguments",
    [
        {"exposure_ev": 1},
        {"auto_exposure": 1.1},
        {"cct_k": 1900},
        {"white_balance": -1},
        {"corner_loss": 60},
        {"bloom": 8},
        {"full_well_e": 0},
        {"read_noise_e": -1},
        {"bits": 0},
        {"shutter_share": 2},
        {"motion": 0.5},
        {"row_noise_e": -1},
        {"denoise": 1.5},
    ],
)
def test_values_out_of_range_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(InputError, match=rf"^{name}=.* is out of range\. Give a number from"):
        Night(**arguments)
