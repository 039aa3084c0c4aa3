"""Every family is a law over its own values: it adds up to 1, and is what others say it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import ContinuousBernoulli

from robustbench_lite.generative.density import Gaussian
from robustbench_lite.generative.likelihoods import FLOOR, GREY_LEVEL, Likelihood, binarised, meaning

SHAPE = (1, 1, 1)
OUTPUTS = (-30.0, -4.0, -0.3, -1e-3, 0.0, 0.05, 0.0999, 0.1001, 2.0, 9.0, 40.0)


def likelihood(family, log_spread=None, *, bounded=True):
    made = Likelihood(family, SHAPE, bounded=bounded).double()
    if log_spread is not None:
        made.log_spread.data.fill_(log_spread)
    return made


def densities(made, output, values):
    """exp(log_prob) of one value per image."""
    values = torch.as_tensor(values, dtype=torch.float64)
    outputs = torch.full((len(values), *SHAPE), output, dtype=torch.float64)
    with torch.no_grad():
        return made.log_prob(values.view(-1, *SHAPE), outputs).exp().numpy()


@pytest.mark.parametrize("log_spread", [-20.0, -5.0, -2.0, 1.0])
@pytest.mark.parametrize("output", OUTPUTS)
def test_the_grey_levels_add_up_to_one(output, log_spread):
    levels = np.arange(256) / 255
    found = densities(likelihood("logistic", log_spread), output, levels)
    assert found.sum() == pytest.approx(1, abs=1e-9)
    scale = FLOOR + math.exp(log_spread)
    edges = np.array([-np.inf, *(levels[:-1] + GREY_LEVEL / 2), np.inf])
    truth = np.diff(stats.logistic(1 / (1 + math.exp(-output)), scale).cdf(edges))
    np.testing.assert_allclose(found, truth, atol=1e-9)


@pytest.mark.parametrize("output", OUTPUTS)
def test_black_and_white_add_up_to_one(output):
    assert densities(likelihood("bernoulli"), output, [0.0, 1.0]).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_continuous_bernoulli_integrates_to_one(output):
    made = likelihood("continuous_bernoulli")
    values = np.linspace(0, 1, 40001)
    found = densities(made, output, values)
    assert np.trapezoid(found, values) == pytest.approx(1, abs=1e-5)
    mean = made.mean(torch.full((1, *SHAPE), output, dtype=torch.float64)).item()
    assert mean == pytest.approx(np.trapezoid(values * found, values), abs=2e-4)
    if abs(output) > 10:  # where theirs is cut off
        return
    theirs = ContinuousBernoulli(logits=torch.tensor(output, dtype=torch.float64), lims=(0.4999, 0.5001))
    some = torch.tensor([0.0, 0.2, 0.9], dtype=torch.float64)
    np.testing.assert_allclose(densities(made, output, some), theirs.log_prob(some).exp(), rtol=1e-5)


@pytest.mark.parametrize("log_spread", [-20.0, -3.0, 0.0])
@pytest.mark.parametrize("bounded", [True, False])
def test_the_gaussian_is_one(log_spread, bounded):
    made, deviation = likelihood("gaussian", log_spread, bounded=bounded), FLOOR + math.exp(log_spread)
    values = np.linspace(-0.5, 1.5, 1001)
    mean = 1 / (1 + math.exp(-0.3)) if bounded else 0.3
    np.testing.assert_allclose(
        densities(made, 0.3, values), stats.norm(mean, deviation).pdf(values), rtol=1e-9, atol=1e-300
    )


def test_a_gaussian_of_two_values_integrates_to_one():
    random = np.random.default_rng(0)
    mix = np.array([[0.05, 0.0], [0.03, 0.02]])
    images = (0.5 + random.standard_normal((500, 2)) @ mix.T).clip(0, 1).reshape(-1, 1, 1, 2)
    side = np.linspace(0, 1, 401)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 1, 1, 2)
    density = np.exp(Gaussian(shrink=False).fit(images).log_likelihood(grid)).reshape(401, 401)
    assert np.trapezoid(np.trapezoid(density, side), side) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("family", ["logistic", "gaussian"])
def test_no_spread_is_below_half_a_grey_level(family):
    made = Likelihood(family, (1, 8, 8))
    made.begin_at(torch.full((5, 1, 8, 8), 0.3))  # all the same
    assert (made.spread > GREY_LEVEL / 2).all()
    made.log_spread.data.fill_(-1e9)
    assert (made.spread == FLOOR).all()
    assert made.log_prob(torch.full((1, 1, 8, 8), 0.9), torch.zeros(1, 1, 8, 8)).isfinite().all()


@pytest.mark.parametrize("family", ["logistic", "gaussian", "bernoulli", "continuous_bernoulli"])
def test_extreme_outputs_have_finite_gradients(family):
    made = Likelihood(family, (1, 1, 3))
    outputs = torch.tensor([-200.0, 0.0, 200.0]).view(1, 1, 1, 3).requires_grad_()
    images = torch.tensor([1.0, 0.5, 0.0]).view(1, 1, 1, 3).requires_grad_()
    nats = made.log_prob(images, outputs)
    nats.sum().backward()
    assert nats.isfinite().all()
    assert outputs.grad.isfinite().all()
    assert images.grad.isfinite().all()


def test_it_begins_at_the_mean_of_the_images():
    images = 0.1 + 0.8 * torch.empty(50, 1, 8, 8).uniform_(generator=torch.Generator().manual_seed(0))
    for family in ("logistic", "gaussian", "bernoulli"):
        made = Likelihood(family, (1, 8, 8))
        made.begin_at(images)
        torch.testing.assert_close(made.mean(torch.zeros(1, 1, 8, 8))[0], images.mean(0))


def test_binarisation():
    grey = torch.tensor([0.0, 0.3, 0.7, 1.0]).repeat(4000, 1).view(-1, 1, 1, 4)
    random = torch.Generator().manual_seed(0)
    chance = torch.empty_like(grey).uniform_(generator=random)
    drawn = binarised(grey, "stochastic", lambda: chance)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean((0, 1, 2)), [0, 0.3, 0.7, 1], atol=0.03)
    assert binarised(grey, "threshold", lambda: 1 / 0)[0].flatten().tolist() == [0, 0, 1, 1]
    assert binarised(grey, "none", lambda: 1 / 0) is grey


def test_bernoulli_on_grey_values_is_called_what_it_is():
    """It is the mean over images drawn with the grey values as probabilities."""
    assert "no likelihoods" in meaning("bernoulli")
    assert "stochastic" in meaning("bernoulli", "stochastic", binary=True)
    assert meaning("bernoulli", binary=True) == "log probabilities of images of black and white"
    made = likelihood("bernoulli")
    black, white, grey = np.log(densities(made, 0.7, [0.0, 1.0, 0.3]))
    assert grey == pytest.approx(0.7 * black + 0.3 * white)
