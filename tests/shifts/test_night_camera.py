"""What the camera of night does: shutter, white balance, noise of rows, noise reduction, glare on blocks."""

import math

import numpy as np
import pytest
import torch

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.blur import Blur
from robustbench_lite.shifts.light import Bloom, lamp_gains, smear, smooth_out, to_linear, to_srgb
from robustbench_lite.shifts.night import Night


def linear(images, **arguments):
    """Linear light of the images after a night at severity 0 with the given steps."""
    streams = Streams(0, "condition", tuple(str(i) for i in range(len(images))))
    return to_linear(Night(severity=0, **arguments)(images, streams))


def test_a_longer_shutter_gathers_photons_where_gain_gathers_none():
    grey = torch.full((1, 1, 100, 100), 0.6)
    photons = 10_000 * to_linear(grey)[0, 0, 0, 0].item()
    for share in (0, 0.5, 1):
        light = linear(
            grey, exposure_ev=-4, auto_exposure=0.5, shutter_share=share, full_well_e=10_000, read_noise_e=0
        )
        assert light.mean().item() == pytest.approx(to_linear(grey).mean().item() / 4, rel=0.01)
        expected = math.sqrt(photons * 2 ** (-4 + 2 * share))
        assert (light.mean() / light.std()).item() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("ev", "path"), [(-1, 0.02), (-2, 0.06), (-3, 0.14)])
def test_the_path_of_the_shutter_doubles_with_every_stop(ev, path):
    """A point in the middle becomes a streak, whose second moment along a straight path is length squared / 12."""
    images = torch.zeros(6, 1, 65, 65)
    images[..., 32, 32] = 1
    light = linear(images, exposure_ev=ev, auto_exposure=1, shutter_share=1, motion=0.02)[:, 0].double()
    assert light.sum((1, 2)).tolist() == pytest.approx([1] * 6, rel=1e-4)
    y, x = torch.arange(65.0)[:, None] - 32, torch.arange(65.0) - 32
    assert (light * y).sum((1, 2)).abs().max() < 1e-3
    moments = torch.stack([(light * part).sum((1, 2)) for part in (y * y, y * x, x * x)], -1)
    matrices = moments[:, [0, 1, 1, 2]].view(-1, 2, 2)
    narrow, wide = torch.linalg.eigvalsh(matrices).unbind(-1)
    assert (wide - narrow).tolist() == pytest.approx([(path * 65) ** 2 / 12] * 6, rel=0.2, abs=0.15)
    assert narrow.max() < 0.3  # half a pixel of interpolation
    assert matrices[:, 0, 0].std() > 0.1 * matrices[:, 0, 0].mean()  # a direction for each sample


@pytest.mark.parametrize("length", [2.0, 5.5, 9.3])
def test_a_smear_takes_from_a_wave_what_the_sinc_says(length):
    x = torch.arange(300.0)
    wave = (0.5 + 0.4 * torch.sin(2 * math.pi * x / 25)).expand(1, 1, 20, 300)
    out = smear(wave, 0.0, length)[0, 0, 10, 25:275]
    depth = (out.max() - out.min()).item() / 2
    assert depth == pytest.approx(0.4 * np.sinc(length / 25), abs=5e-3)
    assert out.mean().item() == pytest.approx(0.5, abs=1e-3)


def test_white_balance_makes_blue_noisy_under_a_warm_lamp():
    """The lamp has a tenth of the blue; what the camera puts back comes with the noise of few photons."""
    grey = to_srgb(torch.full((1, 3, 150, 150), 0.2))
    out = linear(grey, cct_k=2200, white_balance=1, full_well_e=10_000, read_noise_e=0)[0]
    assert out.mean((1, 2)).tolist() == pytest.approx([0.2] * 3, rel=0.01)
    photons = [10_000 * 0.2 * gain for gain in lamp_gains(2200, 0)]
    assert (out.mean((1, 2)) / out.std((1, 2))).tolist() == pytest.approx([n**0.5 for n in photons], rel=0.03)


def test_rows_share_a_noise_of_their_own():
    grey = to_srgb(torch.full((1, 1, 300, 200), 0.4))
    arguments = {"full_well_e": 5000, "read_noise_e": 4}
    rows = linear(grey, row_noise_e=30, **arguments)[0, 0].mean(1)
    of_pixels = (5000 * 0.4 + 4**2) / 200  # in the mean of a row
    assert (rows.var() * 5000**2).item() == pytest.approx(30**2 + of_pixels, rel=0.2)
    without = linear(grey, **arguments)[0, 0].mean(1)
    assert (without.var() * 5000**2).item() == pytest.approx(of_pixels, rel=0.3)
    assert linear(torch.zeros(1, 1, 20, 20), row_noise_e=30).std() > 0


@pytest.mark.parametrize("share", [0.3, 0.8, 1])
def test_noise_reduction_keeps_the_mean_and_takes_its_part_of_the_variance(share):
    noise = 0.5 + 0.05 * torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    out = smooth_out(noise, share)
    weights = share * np.outer([1, 2, 1], [1, 2, 1]) / 16
    weights[1, 1] += 1 - share
    assert (out.var() / noise.var()).item() == pytest.approx((weights**2).sum(), rel=0.03)
    assert out.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert torch.allclose(smooth_out(torch.full((1, 1, 9, 9), 0.3), share), torch.tensor(0.3))


@pytest.mark.parametrize(("height", "width"), [(150, 200), (224, 224), (129, 261)])
def test_blocks_spread_light_as_pixels_do(height, width):
    light = torch.rand(1, 1, height // 8, width // 8, generator=torch.Generator().manual_seed(1))
    light = 0.8 * torch.nn.functional.interpolate(light, (height, width))
    bloom = Bloom(1, light)
    assert bloom._block > 1
    side = math.sqrt(height * width)
    exact = (Blur(0.015 * side, light)(light) + Blur(0.08 * side, light)(light)) / 2
    assert (bloom(light, white=1.0) - exact).abs().max() < 0.03
