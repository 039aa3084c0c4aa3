"""Snow, spatter, and the distances of the published sets."""

import math

import pytest
import torch
from shift_images import streams

from robustbench_lite.shifts.fog import Fog
from robustbench_lite.shifts.frost import Frost
from robustbench_lite.shifts.snow import Snow
from robustbench_lite.shifts.spatter import Spatter

# PSNR in dB that imagecorruptions 1.1.2 leaves of a grey image (102 of 255, 224 × 224 × 3) with the parameters of
# ImageNet-C: mean of 16 seeds, of 60 for water, whose first level varies by 4 dB (opencv 5.0.0, numpy 2.4.6).
PUBLISHED = [
    (Snow(mean=0.1, spread=0.3, zoom=3, threshold=0.5, radius_px=10, sigma_px=4, blend=0.8), 14.9),
    (Snow(mean=0.2, spread=0.3, zoom=2, threshold=0.5, radius_px=12, sigma_px=4, blend=0.7), 10.4),
    (Snow(mean=0.55, spread=0.3, zoom=4, threshold=0.9, radius_px=12, sigma_px=8, blend=0.7), 10.3),
    (Snow(mean=0.55, spread=0.3, zoom=4.5, threshold=0.85, radius_px=12, sigma_px=8, blend=0.65), 8.6),
    (Snow(mean=0.55, spread=0.3, zoom=2.5, threshold=0.85, radius_px=12, sigma_px=12, blend=0.55), 7.1),
    (Frost(image_weight=1, frost_weight=0.4, scale=1), 11.6),
    (Frost(image_weight=0.8, frost_weight=0.6, scale=1), 9.9),
    (Frost(image_weight=0.7, frost_weight=0.7, scale=1), 9.2),
    (Frost(image_weight=0.65, frost_weight=0.7, scale=1), 9.7),
    (Frost(image_weight=0.6, frost_weight=0.75, scale=1), 9.4),
    (Fog(amount=1.5, decay=2), 15.8),
    (Fog(amount=2, decay=2), 15.3),
    (Fog(amount=2.5, decay=1.7), 14.9),
    (Fog(amount=2.5, decay=1.5), 14.7),
    (Fog(amount=3, decay=1.4), 14.3),
    (Spatter(mean=0.65, spread=0.3, sigma_px=4, threshold=0.69, intensity=0.6), 33.1),
    (Spatter(mean=0.65, spread=0.3, sigma_px=3, threshold=0.68, intensity=0.6), 23.7),
    (Spatter(mean=0.65, spread=0.3, sigma_px=2, threshold=0.68, intensity=0.5), 21.8),
    (Spatter(mean=0.65, spread=0.3, sigma_px=1, threshold=0.65, intensity=1.5, mud=True), 22.4),
    (Spatter(mean=0.67, spread=0.4, sigma_px=1, threshold=0.65, intensity=1.5, mud=True), 20.2),
]


def share_above(z):
    return 0.5 * math.erfc(z / math.sqrt(2))


@pytest.mark.parametrize(("shift", "decibels"), PUBLISHED)
def test_published_parameters_cost_what_they_cost_there(shift, decibels):
    n = 64 if isinstance(shift, Spatter) else 16
    grey = torch.full((n, 3, 224, 224), 102 / 255)
    squared = ((shift(grey, streams(n)) - grey) ** 2).mean((1, 2, 3))
    assert (-10 * torch.log10(squared)).mean().item() == pytest.approx(decibels, abs=1)


def test_as_many_grains_are_flakes_as_the_threshold_says():
    black = torch.zeros(8, 1, 100, 100)
    snow = Snow(mean=0.1, spread=0.3, zoom=1, threshold=0.5, radius_px=0, sigma_px=1, blend=1)
    once = share_above(0.4 / 0.3)
    covered = (snow(black, streams(8)) > 0).float().mean().item()
    assert covered == pytest.approx(1 - (1 - once) ** 2, rel=0.03)  # and again upside down


def test_streaks_spread_the_light_of_flakes_and_lose_none():
    black = torch.zeros(16, 1, 120, 120)
    arguments = {"mean": 0, "spread": 0.2, "zoom": 2, "threshold": 0.35, "sigma_px": 8, "blend": 1}
    flakes, streaks = (Snow(radius_px=r, **arguments)(black, streams(16)) for r in (0, 10))
    assert streaks.mean().item() == pytest.approx(flakes.mean().item(), rel=0.1)

    def likeness(image, down, across):
        middle = image - image.mean()
        moved = middle.roll((down, across), (0, 1))
        return ((middle * moved)[8:-8, 8:-8].mean() / middle.var()).item()

    def along(images):  # the row of pixels 5 below, up to 45 degrees to either side
        found = [sorted(likeness(image, 5, across) for across in range(-5, 6)) for image in images[:, 0]]
        return torch.tensor(found).mean(0)

    assert along(streaks)[-1] > 0.25
    assert along(streaks)[5] < 0.1  # in one direction only
    assert along(flakes)[-1] < 0.1


def test_snow_whitens_the_image_by_its_luma():
    image = torch.tensor([0.2, 0.3, 0.1]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    out = Snow(mean=-5, blend=0.7)(image, streams(1))
    white = 1.5 * (0.299 * 0.2 + 0.587 * 0.3 + 0.114 * 0.1) + 0.5
    assert torch.allclose(out, 0.7 * image + 0.3 * white)


@pytest.mark.parametrize(("sigma_px", "threshold"), [(2, 0.65), (2, 0.7), (4, 0.69)])
def test_as_much_is_covered_as_the_threshold_says(sigma_px, threshold):
    """Noise of standard deviation s has s / (2 √π σ) after a Gaussian blur of σ."""
    grey = torch.full((30, 1, 150, 150), 0.9)
    mud = Spatter(mean=0.65, spread=0.3, sigma_px=sigma_px, threshold=threshold, intensity=0, mud=True)
    middle = mud(grey, streams(30))[..., 12:-12, 12:-12]  # near the edges the repeated pixels make it less even
    covered = (middle < 0.9).float().mean().item()
    expected = share_above((threshold - 0.65) / (0.3 / (2 * math.sqrt(math.pi) * sigma_px)))
    assert covered == pytest.approx(expected, rel=0.15)


def test_mud_hides_and_water_only_adds_light():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.4
    mud = Spatter(severity=5, mud=True, intensity=0)(image, streams(1))
    brown = torch.tensor([63, 42, 20]).view(1, 3, 1, 1) / 255
    hidden = (mud - brown).abs().amax(1) < 1e-6
    assert 0.2 < hidden.float().mean() < 0.5
    assert torch.equal(mud.permute(0, 2, 3, 1)[~hidden], image.permute(0, 2, 3, 1)[~hidden])
    light = Spatter(severity=5, intensity=0.5)(image, streams(1)) - image
    assert light.min() >= 0
    assert light.max().item() == pytest.approx(0.5 * 238 / 255, rel=1e-5)
    shining = light.amax(1) > 1e-6
    assert (shining & ~hidden).sum() == 0  # water where mud would be


def test_water_is_pale_turquoise_and_both_have_a_grey():
    light = Spatter(severity=5)(torch.zeros(1, 3, 64, 64), streams(1))
    brightest = light.flatten(2)[0, :, light.sum(1).argmax()]
    assert (brightest / brightest[2]).tolist() == pytest.approx([175 / 238, 1, 1])
    grey = Spatter(severity=5, mud=True, intensity=0)(torch.ones(1, 1, 64, 64), streams(1))
    mud = (0.2125 * 63 + 0.7154 * 42 + 0.0721 * 20) / 255
    assert grey.min().item() == pytest.approx(mud, rel=1e-4)


def test_no_drop_changes_nothing():
    image = torch.rand(1, 3, 20, 20)
    assert torch.equal(Spatter(threshold=9)(image, streams(1)), image)
