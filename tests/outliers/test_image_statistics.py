"""Global statistics beside those of numpy and scipy, and waves whose frequency is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from robustbench_lite.outliers.image_statistics import (
    GREY_QUANTILES,
    LOCAL_QUANTILES,
    ImageStatistics,
    image_statistics,
)
from robustbench_lite.outliers.score import Normals, Parts

GREY, DEVIATION, SKEW, KURTOSIS, TILES = slice(0, 9), 9, 10, 11, slice(44, 60)
SPECTRUM, GRADIENT, LOCAL = slice(12, 36), slice(36, 40), slice(40, 44)


def noise(n, channels=1, side=64, seed=0):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)).square()


def test_moments_and_quantiles():
    images = noise(3)
    found = image_statistics(images).double().numpy()
    values = images.flatten(1).double().numpy()
    assert found[:, GREY] == pytest.approx(np.quantile(values, GREY_QUANTILES, axis=1).T, abs=1e-3)
    assert found[:, DEVIATION] == pytest.approx(np.log(values.std(1)), abs=1e-3)
    assert found[:, SKEW] == pytest.approx(stats.skew(values, axis=1), abs=1e-3)
    assert found[:, KURTOSIS] == pytest.approx(stats.kurtosis(values, axis=1), abs=1e-2)
    tiles = images.view(3, 4, 16, 4, 16).mean((2, 4)).flatten(1)
    assert found[:, TILES] == pytest.approx(tiles.double().numpy(), abs=1e-5)


def test_gradients_and_local_deviation():
    images = noise(2)
    found = image_statistics(images).double().numpy()
    values = images[:, 0].double().numpy()
    gradient = np.hypot(np.diff(values, axis=1)[:, :, :-1], np.diff(values, axis=2)[:, :-1]).reshape(2, -1)
    windows = np.lib.stride_tricks.sliding_window_view(values, (3, 3), axis=(1, 2)).std((3, 4)).reshape(2, -1)
    for where, wanted in ((GRADIENT, gradient), (LOCAL, windows)):
        assert np.exp(found[:, where]) == pytest.approx(np.quantile(wanted, LOCAL_QUANTILES, axis=1).T, abs=2e-3)


@pytest.mark.parametrize(
    ("right", "down", "ring", "sector"), [(3, 0, 0, 0), (0, 25, 5, 2), (5, 5, 2, 1), (7, -7, 3, 3)]
)
def test_a_wave_is_in_its_ring_and_sector(right, down, ring, sector):
    """Rings begin at 2, 3.2, 5, 8, 12.7 and 20.2 periods in 64 pixels."""
    place = 2 * torch.pi * torch.arange(64) / 64
    wave = 0.5 + 0.3 * torch.sin(right * place + down * place[:, None])
    found = image_statistics(wave[None, None])[0, SPECTRUM]
    assert int(found.argmax()) == 4 * ring + sector


def test_white_noise_has_a_flat_spectrum_of_its_power():
    images = 0.5 + 0.1 * torch.randn(200, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    power = image_statistics(images)[:, SPECTRUM].exp().mean(0)
    window = np.hanning(64)
    assert power.numpy() == pytest.approx(0.01 * (window**2).mean() ** 2, rel=0.15)


def test_colour_is_seen_where_there_is_any():
    images = noise(40, 3)
    assert image_statistics(images).shape == (40, 66)
    assert image_statistics(images[:, :1]).shape == (40, 60)
    scorer = ImageStatistics().fit(Normals(images[:30]), Parts())
    swapped = images[30:].clone()
    swapped[:, 0] = swapped[:, 0] * 0.8
    assert scorer(swapped).min() > 3 * scorer(images[30:]).max()


def test_noise_blur_and_a_dark_corner_are_outliers():
    images = torch.nn.functional.avg_pool2d(noise(260, side=66), 3, 1)
    scorer = ImageStatistics().fit(Normals(images[:200]), Parts())
    normal, changed = scorer(images[200:]).max(), images[200:]
    blurred = torch.nn.functional.avg_pool2d(changed, 3, 1, 1, count_include_pad=False)
    dark = changed * (1 - 0.3 * torch.linspace(0, 1, 64)[:, None] * torch.linspace(0, 1, 64))
    for outliers in (blurred, dark, torch.full_like(changed, 0.3)):
        assert scorer(outliers).min() > normal


def test_gradients_are_finite_even_where_nothing_varies():
    image = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    image_statistics(image).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
