"""Sensors, as EMVA 1288 would measure them: flat fields, and nothing but what comes out."""

import itertools

import numpy as np
import pytest
import torch
from shift_images import streams
from torch.nn.functional import avg_pool2d, interpolate

from robustbench_lite.shifts.fixed_pattern import Banding, FixedPattern, HotPixels
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.quantisation import Quantisation
from robustbench_lite.shifts.resolution import ResolutionLoss
from robustbench_lite.shifts.sensor import Gain, SensorNoise
from robustbench_lite.shifts.white_balance import WhiteBalanceError

SIDE = 160


def flat(*lights, n=1, channels=1):
    """Images of one light each, as stored."""
    stored = to_srgb(torch.tensor(lights, dtype=torch.float64)).repeat_interleave(n)
    return stored.view(-1, 1, 1, 1).expand(-1, channels, SIDE, SIDE).contiguous()


def photograph(shift, images, seed=0):
    return to_linear(shift(images, streams(len(images), seed)))


@pytest.mark.parametrize(
    ("full_well_e", "read_noise_e", "dark_e"), [(1000, 3, 0), (100, 2, 0), (5000, 50, 0), (800, 0, 400)]
)
def test_variance_is_linear_in_the_light(full_well_e, read_noise_e, dark_e):
    """The photon transfer curve. Away from black and white, where nothing is cut off."""
    lights = np.linspace(0.3, 0.6, 7)
    shift = SensorNoise(full_well_e=full_well_e, read_noise_e=read_noise_e, dark_e=dark_e)
    out = photograph(shift, flat(*lights, channels=3))
    slope, offset = np.polyfit(lights, out.var((1, 2, 3)).numpy(), 1)
    assert out.mean((1, 2, 3)).numpy() == pytest.approx(lights, rel=0.01)
    assert slope == pytest.approx(1 / full_well_e, rel=0.05)
    assert offset == pytest.approx((read_noise_e**2 + dark_e) / full_well_e**2, abs=0.03 / full_well_e)


def test_noise_variance_is_linear_between_two_levels():
    like = torch.zeros(1, 3, 32, 32)
    assert SensorNoise(severity=2).values(like).full_well_e == pytest.approx(400)
    assert SensorNoise(severity=1.5).values(like).full_well_e == pytest.approx(2 / (1 / 1000 + 1 / 400))


def test_gain_multiplies_light_and_noise_and_cuts_off():
    lights = (0.1, 0.15, 0.2)
    out = photograph(Gain(gain_db=6.0206, full_well_e=500, read_noise_e=4), flat(*lights))
    for light, field in zip(lights, out, strict=True):
        assert field.mean().item() == pytest.approx(2 * light, rel=0.01)
        assert field.var().item() == pytest.approx(4 * (light / 500 + (4 / 500) ** 2), rel=0.05)
    darker = photograph(Gain(gain_db=-20, full_well_e=1e9), flat(*lights))
    assert darker.mean((1, 2, 3)).tolist() == pytest.approx([light / 10 for light in lights], rel=1e-3)
    assert (photograph(Gain(gain_db=20, full_well_e=1e9), flat(0.2)) > 1 - 1e-5).all()


def test_prnu_and_dsnu_by_their_definitions():
    """EMVA 1288: spatial deviation of means over many images, at half saturation and in the dark."""
    shift = FixedPattern(prnu=0.03, dsnu_e=20, full_well_e=1000)
    dark, half = (photograph(shift, flat(light)) for light in (0.1, 0.5))  # 0.1: so that nothing is below black
    of_gain = 0.1 * 0.03
    dsnu = (dark.var() - of_gain**2).sqrt() * 1000
    prnu = (half.var() - dark.var()).sqrt() / (half.mean() - dark.mean())
    assert dsnu.item() == pytest.approx(20, rel=0.03)
    # Gain and offset are independent: half the light has half of the square of the gain's part.
    assert prnu.item() == pytest.approx(0.03 * (0.5**2 - 0.1**2) ** 0.5 / 0.4, rel=0.03)


@pytest.mark.parametrize("share", [0.001, 0.015, 0.1])
def test_hot_pixels_are_binomial_and_their_signals_exponential(share):
    out = photograph(HotPixels(share=share, dark_signal=0.1), flat(0.2, channels=3)) - 0.2
    hot = out[out > 1e-6]
    n = out.numel()
    assert len(hot) == pytest.approx(share * n, abs=4 * (share * (1 - share) * n) ** 0.5)
    assert out[out <= 1e-6].abs().max() < 1e-6
    assert hot.mean().item() == pytest.approx(0.1, abs=4 * 0.1 / len(hot) ** 0.5)
    assert hot.std().item() == pytest.approx(0.1, abs=12 * 0.1 / len(hot) ** 0.5)


def test_a_hot_pixel_stays_where_it_is():
    fields = [photograph(HotPixels(severity=severity), flat(0.1)) > 0.1 + 1e-4 for severity in (1, 3, 5)]
    assert all((weaker <= stronger).all() for weaker, stronger in itertools.pairwise(fields))
    assert fields[0].any()


def test_rows_change_with_the_image_and_columns_do_not():
    out = photograph(Banding(row=0.02, column=0.03), flat(0.5, n=20))[:, 0]
    rows, columns = out.mean(2), out.mean(1)
    assert rows.std(1).mean().item() == pytest.approx(0.02, rel=0.1)
    assert columns[0].std().item() == pytest.approx(0.03, rel=0.2)
    assert torch.corrcoef(rows).triu(1).abs().max() < 0.4
    assert torch.corrcoef(columns - columns.mean(1, keepdim=True)).min() > 0.99
    rest = out - rows[:, :, None] - columns[:, None] + out.mean((1, 2), keepdim=True)
    assert rest.abs().max() < 1e-5  # nothing but stripes


@pytest.mark.parametrize(("bits", "count"), [(1, 2), (2, 4), (5, 32), (2.5, 6), (8, 256)])
@pytest.mark.parametrize("linear", [False, True])
def test_levels_are_as_many_as_the_bits_say(bits, count, linear):
    ramp = torch.linspace(0, 1, 20_000).view(1, 1, 100, 200)
    out = Quantisation(bits=bits, linear=linear)(ramp, streams(1))
    levels = out.unique()
    assert len(levels) == count
    light = to_linear(levels) if linear else levels
    assert torch.allclose(light, torch.linspace(0, 1, count), atol=1e-5)
    expected = to_linear(ramp) if linear else ramp
    assert ((to_linear(out) if linear else out) - expected).abs().max() <= 0.5 / (count - 1) + 1e-5


def test_8_bits_leave_an_image_of_8_bits_alone():
    stored = torch.arange(256).view(1, 1, 16, 16) / 255
    assert torch.equal(Quantisation(bits=8)(stored, streams(1)), stored)


@pytest.mark.parametrize(("degrees", "red", "blue"), [(0, 2, 1), (90, 1, 2), (180, 0.5, 1), (-90, 1, 0.5)])
def test_white_balance_gains_are_exact(degrees, red, blue):
    out = photograph(WhiteBalanceError(error_ev=1, degrees=degrees), flat(0.2, channels=3))
    assert out.mean((0, 2, 3)).tolist() == pytest.approx([0.2 * red, 0.2, 0.2 * blue], rel=1e-5)


def test_white_balance_errs_in_any_direction_by_the_same_amount():
    out = photograph(WhiteBalanceError(error_ev=1), flat(0.2, n=40, channels=3))[:, :, 0, 0] / 0.2
    red, green, blue = out.log2().T
    assert torch.allclose(green, torch.zeros_like(green), atol=1e-5)
    assert torch.allclose(red**2 + blue**2, torch.ones_like(red), atol=1e-4)
    assert min((red > 0).sum(), (red < 0).sum(), (blue > 0).sum(), (blue < 0).sum()) > 8


@pytest.mark.parametrize("factor", [2, 4])
def test_coarser_pixels_are_averages_enlarged_linearly(factor):
    images = torch.rand(1, 2, 24, 40, generator=torch.Generator().manual_seed(0))
    expected = interpolate(avg_pool2d(images, factor), scale_factor=factor, mode="bilinear", align_corners=False)
    out = ResolutionLoss(pixel_share=1 / factor)(images, streams(1))
    assert torch.allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize("share", [0.9, 0.37, 0.11])
def test_coarser_pixels_keep_a_ramp_in_the_middle(share):
    ramp = torch.linspace(0, 1, 101).view(1, 1, 1, 101).expand(1, 1, 60, 101)
    out = ResolutionLoss(pixel_share=share)(ramp, streams(1))
    assert (out - ramp)[..., 20:81].abs().max() < 0.002  # a fifth of a pixel
