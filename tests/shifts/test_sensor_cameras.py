"""Whole cameras: each link of the chain alone, against its closed form."""

import pytest
import torch
from shift_images import streams

from robustbench_lite.shifts.ageing import Ageing
from robustbench_lite.shifts.compression import JPEG
from robustbench_lite.shifts.gaussian_blur import GaussianBlur
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.phone import Phone


def flat(light, n=1, channels=3, side=160):
    stored = to_srgb(torch.tensor(light, dtype=torch.float64))
    return stored.expand(n, channels, side, side).contiguous()


def ramp(channels=3, side=101):
    """Linear light that grows from left to right, 0.01 per pixel."""
    light = torch.linspace(0, 1, side, dtype=torch.float64)
    return to_srgb(light).expand(1, channels, side, side).contiguous()


def slope(light):
    """Of the middle row's middle, in the ramp's own."""
    middle = light.shape[-1] // 2
    return (light[..., middle, middle + 3] - light[..., middle, middle - 3]) / 0.06


def test_one_link_alone_leaves_the_others_out():
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    out = Phone(severity=0, denoise_px=0)(images, streams(1))
    assert (out - images).abs().max() < 1 / 2550  # a tenth of a step of 8 bits


def test_barrel_distortion_enlarges_the_middle_and_keeps_the_corners():
    out = to_linear(Phone(severity=0, k1=-0.2)(ramp(), streams(1)))
    assert slope(out)[0].tolist() == pytest.approx([1 / 1.2] * 3, rel=5e-3)
    assert out[0, 0, 0, 0].item() == pytest.approx(0, abs=2e-3)
    assert out[0, 0, -1, -1].item() == pytest.approx(1, abs=2e-3)
    # At half the diagonal's square, on the axis: the source is (1 + 0.2 r²) / 1.2 of the place.
    place = 40 / 50.5
    source = place * (1 + 0.2 * place**2 / 2) / 1.2
    assert out[0, 0, 50, 90].item() == pytest.approx(0.5 + source * 50.5 / 100, abs=1e-3)


def test_red_is_enlarged_and_blue_reduced():
    out = slope(to_linear(Phone(severity=0, aberration=0.05)(ramp(), streams(1))))
    assert out[0].tolist() == pytest.approx([1 / 1.05, 1, 1.05], rel=5e-3)


def test_a_shaking_hand_draws_a_line_of_the_stated_length():
    image = torch.zeros(6, 1, 81, 81, dtype=torch.float64)
    image[:, :, 40, 40] = 1
    light = to_linear(Phone(severity=0, shake=0.2)(image, streams(6)))[:, 0]
    places = torch.arange(81.0) - 40
    spread = torch.stack([(light.sum(axis) @ places.double() ** 2) / light.sum((1, 2)) for axis in (1, 2)])
    assert spread.sum(0).tolist() == pytest.approx([(0.2 * 81) ** 2 / 12] * 6, rel=0.1)
    assert spread[0].std() > 3  # in several directions


def test_white_balance_of_the_phone_changes_red_and_blue():
    out = to_linear(Phone(severity=0, error_ev=0.5)(flat(0.3, n=5), streams(5))).mean((2, 3)) / 0.3
    red, green, blue = out.log2().T
    assert green.abs().max() < 1e-4
    assert (red**2 + blue**2).tolist() == pytest.approx([0.25] * 5, rel=1e-3)


def test_the_phone_counts_electrons_and_reads_them_with_noise():
    for light in (0.1, 0.4):
        out = to_linear(Phone(severity=0, full_well_e=200)(flat(light), streams(1)))
        assert out.var().item() == pytest.approx(light / 200 + (3 / 200) ** 2, rel=0.04)
    between = Phone(severity=1.5).values(torch.zeros(1, 3, 32, 32)).full_well_e
    assert between == pytest.approx(2 / (1 / 2000 + 1 / 1000))


def test_denoising_is_a_gaussian_of_stored_values():
    images = torch.rand(1, 3, 40, 30, generator=torch.Generator().manual_seed(0)).double()
    out = Phone(severity=0, denoise_px=1.2)(images, streams(1))
    assert torch.allclose(out, GaussianBlur(sigma_px=1.2)(images, streams(1)), atol=1e-4)


def test_sharpening_leaves_halos_at_an_edge():
    image = torch.full((1, 1, 40, 40), 0.3)
    image[..., 20:] = 0.6
    row = Phone(severity=0, sharpen=1)(image, streams(1))[0, 0, 20]
    assert row[19] < 0.2
    assert row[20] > 0.7
    assert row[[5, 35]].tolist() == pytest.approx([0.3, 0.6], abs=1e-3)


def test_storing_is_jpeg():
    images = torch.randint(0, 256, (1, 3, 24, 40), generator=torch.Generator().manual_seed(0)) / 255
    assert torch.equal(Phone(severity=0, quality=50)(images, streams(1)), JPEG(quality=50)(images, streams(1)))


def test_dark_noise_doubles_every_7_kelvin():
    shift = {"years": 0, "dark_e": 50, "full_well_e": 500}
    for warmer, added in ((7, 50), (14, 150)):
        # The difference of two images: what is uneven goes, what is random stays twice.
        one, two = to_linear(Ageing(warmer_k=warmer, **shift)(flat(0.5, n=2), streams(2)))
        assert ((one - two).var() / 2 * 500**2).item() == pytest.approx(added, rel=0.03)
        uneven = ((one + two) / 2).var() - (one - two).var() / 4
        assert uneven.sqrt().item() * 500 == pytest.approx(0.1 * added, rel=0.1)
    colder = Ageing(warmer_k=0, **shift)(flat(0.5), streams(1))
    assert torch.allclose(to_linear(colder), torch.full_like(colder, 0.5), atol=1e-5)


@pytest.mark.parametrize("years", [1, 15])
def test_hot_values_gather_over_the_years(years):
    out = to_linear(Ageing(years=years, warmer_k=0, yellowing=0, dark_e=200)(flat(0.01, side=300), streams(1)))
    hot = (out - 0.01) * 2000  # PRNU is nothing here: 0.01 of the light
    n, share = out.numel(), 4e-4 * years
    assert (hot > 5).sum().item() == pytest.approx(share * n, abs=4 * (share * n) ** 0.5)
    assert hot[hot > 5].mean().item() == pytest.approx(6 * 200, rel=4 / (share * n) ** 0.5 + 0.1)


def test_optics_pass_less_blue_every_year():
    out = to_linear(Ageing(years=10, warmer_k=0)(flat(0.5), streams(1)))
    passed = out.flatten(2).median(2).values[0] / 0.5
    assert passed.tolist() == pytest.approx([10**-0.03, 10**-0.06, 10**-0.3], rel=2e-3)
    grey = to_linear(Ageing(years=10, warmer_k=0)(flat(0.5, channels=1), streams(1)))
    assert grey.median().item() / 0.5 == pytest.approx(10**-0.06, rel=2e-3)


def test_what_has_aged_is_the_same_in_all_images():
    one, two = Ageing(years=15, warmer_k=0)(flat(0.3, n=2), streams(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, Ageing(years=15, warmer_k=0)(flat(0.3), streams(1, seed=1))[0])
