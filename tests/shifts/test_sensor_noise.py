"""Noise on stored values against its own statistics, and against the distributions it stands for."""

import itertools

import pytest
import torch
from scipy.stats import poisson as exact

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.noise import GaussianNoise, ImpulseNoise, ShotNoise, SpeckleNoise, poisson

ONE = Streams(0, "condition", ("a",))


def steps(*values, side=200):
    """An image of flat fields, one per value and channel."""
    return torch.tensor(values).view(1, -1, 1, 1).expand(1, len(values), side, side)


def test_gaussian_noise_has_the_stated_size_no_mean_and_no_correlation():
    noise = GaussianNoise(sigma=0.1)(steps(0.5, 0.5, 0.5), ONE) - 0.5
    assert noise.std().item() == pytest.approx(0.1, rel=0.01)
    assert noise.mean().item() == pytest.approx(0, abs=1e-3)
    assert torch.corrcoef(noise[0].flatten(1)).triu(1).abs().max() < 0.02


@pytest.mark.parametrize("mean", [0, 0.01, 0.05, 0.125, 0.3, 0.5, 1, 2, 3, 7, 20, 60])
def test_counts_are_those_of_a_poisson_distribution(mean):
    quantiles = torch.special.ndtri((torch.arange(100_000) + 0.5) / 100_000)
    counts = poisson(torch.full((100_000,), float(mean)), quantiles)
    assert torch.equal(counts, counts.round())
    seen = torch.bincount(counts.long(), minlength=150) / 100_000
    distance = (seen.double() - torch.from_numpy(exact.pmf(range(len(seen)), mean))).abs().sum().item() / 2
    assert distance < (0.002 if mean >= 10 else 0.02)


@pytest.mark.parametrize("photons", [3, 25, 500])
def test_variance_of_shot_noise_is_mean_over_photons(photons):
    values = (0.0, 0.2, 0.4, 0.6)
    counts = ShotNoise(photons=photons)(steps(*values), ONE)[0] * photons
    assert torch.allclose(counts, counts.round(), atol=1e-4)
    for value, field in zip(values[:2] if photons == 3 else values, counts, strict=False):
        assert field.mean().item() == pytest.approx(value * photons, rel=0.01, abs=0.03)
        assert field.var().item() == pytest.approx(value * photons, rel=0.05)
    assert counts[0].max() == 0  # no light, no photons


def test_variance_of_shot_noise_is_linear_between_two_levels():
    like = torch.zeros(1, 3, 224, 224)
    assert ShotNoise(severity=2).values(like).photons == pytest.approx(25)
    assert ShotNoise(severity=2.5).values(like).photons == pytest.approx(2 / (1 / 25 + 1 / 12))


@pytest.mark.parametrize("amount", [0.01, 0.27])
def test_impulses_are_as_many_as_said_and_half_of_them_white(amount):
    out = ImpulseNoise(amount=amount)(steps(0.3, 0.5, 0.7), ONE)[0]
    error = 4 * (amount / 2 / out[0].numel()) ** 0.5  # four standard deviations of the binomial
    for value, field in zip((0.3, 0.5, 0.7), out, strict=True):
        assert (field == 0).float().mean().item() == pytest.approx(amount / 2, abs=error)
        assert (field == 1).float().mean().item() == pytest.approx(amount / 2, abs=error)
        assert ((field == 0) | (field == 1) | (field == value)).all()
    assert (out[0] == 1).logical_xor(out[1] == 1).any()  # per value, not per pixel


def test_a_lost_value_stays_lost_at_higher_severities():
    image = steps(0.5, 0.5, 0.5, side=32)
    lost = [ImpulseNoise(severity=severity)(image, ONE) != 0.5 for severity in (1, 2, 3, 4, 5)]
    assert all((weaker <= stronger).all() for weaker, stronger in itertools.pairwise(lost))


def test_speckle_grows_with_the_value():
    out = SpeckleNoise(sigma=0.1)(steps(0.1, 0.3, 0.6), ONE)[0]
    for value, field in zip((0.1, 0.3, 0.6), out, strict=True):
        assert field.std().item() == pytest.approx(0.1 * value, rel=0.02)
