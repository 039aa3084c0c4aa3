"""Dust and scratches on the lens against the model of their light."""

import math

import pytest
import torch
from shift_images import streams

from robustbench_lite.shifts.dirt import LensDust, LensScratches
from robustbench_lite.shifts.light import to_linear, to_srgb


def passed(shift, side=128, n=1):
    """What is left of an even light without any that is scattered, (n, H, W)."""
    grey = to_srgb(torch.full((n, 1, side, side), 0.5, dtype=torch.float64))
    return to_linear(shift(grey, streams(n)))[:, 0] / 0.5


def test_dust_covers_its_share_of_the_image():
    left = passed(LensDust(area=0.05, transmission=0.3, veil=0), n=40)
    # On average a grain keeps back 0.75 of the most; a few lie on others, or beyond the edge.
    lost = (1 - left).mean().item()
    assert lost == pytest.approx(0.05 * 0.7 * 0.75, rel=0.15)


def test_the_densest_grain_lets_the_stated_share_pass():
    left = passed(LensDust(area=0.02, transmission=0.4, veil=0), n=40)
    lowest = left.amin((1, 2))
    alone = lowest[lowest > 0.399]  # where no two overlap
    assert len(alone) > 25
    assert alone.min() < 0.45
    assert alone.max() < 0.75


def test_dust_scatters_light_of_the_surroundings():
    image = torch.full((1, 1, 96, 96), 0.2, dtype=torch.float64)
    image[..., 48:] = 0.9
    light = to_linear(image)
    dark, veiled = (to_linear(LensDust(severity=5, veil=veil)(image, streams())) for veil in (0, 0.3))
    share = 1 - dark / light
    assert torch.allclose(veiled, dark + 0.3 * share * light.mean(), atol=1e-5)


@pytest.mark.parametrize("shift", [LensDust, LensScratches])
def test_more_dirt_comes_to_what_is_there(shift):
    arguments = {"veil": 0.0} if shift is LensDust else {"veil": 0.0, "glow": 0.0}
    few, many = (passed(shift(severity=severity, **arguments)) for severity in (2, 4))
    assert (many <= few + 1e-6).all()
    assert many.mean() < few.mean()


def test_a_scratch_has_the_stated_profile():
    left = passed(LensScratches(count=1, opacity=0.5, veil=0, width=0.02, glow=0), side=200)[0]
    deepest = 1 - left.min().item()
    assert 0.2 <= deepest <= 0.5  # each has 0.4 to 1 of the opacity
    lost = (1 - left).sum().item() / (deepest * 0.02 * 200 * math.sqrt(2 * math.pi))
    assert 0.05 * 200 < lost < 1.2 * 200  # the length in pixels, some of it beyond the edge


def test_scratches_have_all_depths_and_lengths():
    left = passed(LensScratches(count=1, opacity=0.5, veil=0, width=0.02, glow=0), side=100, n=60)
    deepest = 1 - left.amin((1, 2))
    assert (deepest < 0.3).double().mean() > 0.2  # a third of 0.4 to 1 of the opacity
    assert 0.45 < deepest.max() < 0.5 + 1e-6
    lengths = (1 - left).sum((1, 2)) / (deepest * 2 * math.sqrt(2 * math.pi)) / 100
    assert lengths.max() > 0.7  # of the side; they end softly, and many go over the edge


def test_a_scratch_below_a_pixel_keeps_back_what_it_would():
    wide, narrow = (
        passed(LensScratches(count=5, opacity=0.2, veil=0, glow=0, width=0.002), side) for side in (400, 60)
    )
    assert (1 - narrow).mean().item() == pytest.approx((1 - wide).mean().item(), rel=0.1)


def test_the_veil_of_scratches_lifts_black_and_keeps_the_mean():
    image = torch.zeros(1, 3, 40, 40, dtype=torch.float64)
    image[..., 20:] = 1
    out = to_linear(LensScratches(count=0, opacity=0, veil=0.1)(image, streams()))
    assert torch.allclose(out[..., 0, 0], torch.tensor(0.05, dtype=torch.float64), atol=1e-5)
    assert out.mean().item() == pytest.approx(0.5, abs=1e-5)
