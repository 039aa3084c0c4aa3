"""Density models against closed forms: other people's formulas, numerical integrals, their own samples."""

from __future__ import annotations

import dataclasses
import logging
import math

import numpy as np
import pytest
import torch
from made_images import correlated
from safetensors.torch import load_file, save_file
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA as SklearnPCA

from robustbench_lite import registry
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.generative.density import LEAST_VARIANCE, PCA, Gaussian, Histogram, Mixture
from robustbench_lite.generative.pixels import bits_per_dim
from robustbench_lite.registry import make_one

SHAPE = (1, 2, 3)
IMAGES, UNSEEN = correlated(400, SHAPE), correlated(50, SHAPE, seed=1)
EVERY = [Histogram(bins=8), Gaussian(), Gaussian(shrink=False), PCA(components=2), Mixture(components=2, axes=2)]
NORMAL = [model for model in EVERY if not isinstance(model, Histogram)]
every_model = pytest.mark.parametrize("model", EVERY, ids=registry.spec)


def flat(images):
    return images.reshape(len(images), -1)


def covariance(axes, inner=None):
    """D×D, from the axes; ``inner`` is the covariance of the coordinates."""
    inner = np.diag(axes.variances) if inner is None else inner
    across = np.eye(len(axes.mean)) - axes.directions.T @ axes.directions
    return axes.directions.T @ inner @ axes.directions + axes.rest * across


def moments(fitted):
    """Mean and covariance of a fitted normal model or mixture, by the textbook."""
    axes = fitted.axes
    if not hasattr(fitted, "covariances"):
        return axes.mean, covariance(axes)
    weights, means = fitted.weights, fitted.means
    middle = weights @ means
    inner = np.einsum("k,kij->ij", weights, fitted.covariances)
    inner += np.einsum("k,ki,kj->ij", weights, means - middle, means - middle)
    return axes.mean + middle @ axes.directions, covariance(axes, inner)


# Likelihoods against the truth


@pytest.mark.parametrize("components", [1, 3, 5])
def test_pca_is_the_normal_distribution_of_probabilistic_pca(components):
    reference = SklearnPCA(components, svd_solver="full").fit(flat(IMAGES))
    truth = multivariate_normal(reference.mean_, reference.get_covariance()).logpdf(flat(UNSEEN))
    found = PCA(components).fit(IMAGES).log_likelihood(UNSEEN)
    np.testing.assert_allclose(found, truth, rtol=1e-10)
    np.testing.assert_allclose(found, reference.score_samples(flat(UNSEEN)), rtol=1e-10)


def test_pca_with_all_axes_is_the_normal_distribution():
    values = flat(IMAGES)
    truth = multivariate_normal(values.mean(0), np.cov(values.T)).logpdf(flat(UNSEEN))
    np.testing.assert_allclose(PCA(6).fit(IMAGES).log_likelihood(UNSEEN), truth, rtol=1e-9)


def test_pca_of_fewer_images_than_values_spreads_the_rest_over_all_other_directions():
    """Tipping & Bishop's mean over D - k, not scikit-learn's over min(N, D) - k."""
    images = correlated(12, (1, 6, 6), spread=0.1)
    values = flat(images)
    variances, directions = np.linalg.eigh(np.cov(values.T))
    rest = variances[:-4].sum() / (36 - 4)
    truth = (directions * np.r_[np.full(32, rest), variances[-4:]]) @ directions.T
    np.testing.assert_allclose(
        PCA(4).fit(images).log_likelihood(images), multivariate_normal(values.mean(0), truth).logpdf(values)
    )


def test_large_pca_by_chance_is_near_the_exact_one(monkeypatch):
    images = correlated(60, (1, 6, 6), spread=0.1)
    exact = PCA(5).fit(images).log_likelihood(images)
    monkeypatch.setattr("robustbench_lite.generative.density._EXACT_WORK", 0)
    by_chance = PCA(5).fit(images, seed=3).log_likelihood(images)
    np.testing.assert_allclose(by_chance, exact, rtol=1e-4)
    np.testing.assert_array_equal(PCA(5).fit(images, seed=3).log_likelihood(images), by_chance)


def test_gaussian_is_the_normal_distribution_of_ledoit_and_wolf():
    reference = LedoitWolf().fit(flat(IMAGES[:30]))
    truth = multivariate_normal(reference.location_, reference.covariance_).logpdf(flat(UNSEEN))
    np.testing.assert_allclose(Gaussian().fit(IMAGES[:30]).log_likelihood(UNSEEN), truth, rtol=1e-10)


def test_gaussian_unshrunk_is_the_most_likely_normal_distribution():
    values = flat(IMAGES)
    truth = multivariate_normal(values.mean(0), np.cov(values.T, bias=True)).logpdf(flat(UNSEEN))
    np.testing.assert_allclose(Gaussian(shrink=False).fit(IMAGES).log_likelihood(UNSEEN), truth, rtol=1e-9)


def test_mixture_is_the_sum_of_its_normal_distributions():
    images = np.concatenate([correlated(200, SHAPE), correlated(200, SHAPE, seed=2) + 0.2])
    fitted = Mixture(components=3, axes=4).fit(images)
    parts = [
        multivariate_normal(fitted.axes.mean + mean @ fitted.axes.directions, covariance(fitted.axes, inner))
        for mean, inner in zip(fitted.means, fitted.covariances, strict=True)
    ]
    truth = logsumexp([part.logpdf(flat(UNSEEN)) for part in parts], axis=0, b=fitted.weights[:, None])
    np.testing.assert_allclose(fitted.log_likelihood(UNSEEN), truth, rtol=1e-9)


def test_mixture_of_one_on_all_axes_is_a_normal_distribution():
    values = flat(IMAGES)
    truth = multivariate_normal(values.mean(0), np.cov(values.T, bias=True) + LEAST_VARIANCE * np.eye(6))
    found = Mixture(components=1, axes=6).fit(IMAGES).log_likelihood(UNSEEN)
    np.testing.assert_allclose(found, truth.logpdf(flat(UNSEEN)), rtol=1e-9)


def test_histogram_counts():
    images = np.array([0.0, 0.1, 0.3, 1.0]).reshape(4, 1, 1, 1)
    density = np.exp(
        Histogram(bins=4).fit(images).log_likelihood(np.array([0.2, 0.4, 0.6, 0.8])[:, None, None, None])
    )
    np.testing.assert_allclose(density, np.array([2.5, 1.5, 0.5, 1.5]) / 6 * 4)


@pytest.mark.parametrize(
    "model",
    [
        Histogram(bins=8),
        Gaussian(),
        Gaussian(shrink=False),
        PCA(components=1),
        PCA(components=2),
        Mixture(components=2, axes=1),
        Mixture(components=3, axes=2),
    ],
    ids=registry.spec,
)
def test_density_integrates_to_one(model):
    side = 400
    middles = (np.arange(side) + 0.5) / side
    grid = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 1, 1, 2)
    fitted = model.fit(correlated(100, (1, 1, 2), spread=0.06))
    assert np.exp(fitted.log_likelihood(grid)).sum() / side**2 == pytest.approx(1, abs=1e-6)


# Samples


@pytest.mark.parametrize("model", NORMAL, ids=registry.spec)
def test_samples_have_the_models_mean_and_covariance(model):
    images = np.concatenate([IMAGES, (IMAGES + 0.1)]) if isinstance(model, Mixture) else IMAGES
    fitted = model.fit(images)
    mean, cov = moments(fitted)
    samples = flat(fitted.sample(6000))
    assert samples.min() > 0
    assert samples.max() < 1
    deviations = np.sqrt(np.diag(cov))
    assert np.abs((samples.mean(0) - mean) / deviations).max() < 4 / math.sqrt(6000)
    assert np.abs((np.cov(samples.T) - cov) / np.outer(deviations, deviations)).max() < 6 / math.sqrt(6000)


def test_samples_of_the_histogram_have_the_marginals_of_the_images():
    images = np.random.default_rng(0).beta(0.5, 0.7, (500, 1, 2, 2))
    samples = Histogram(bins=5).fit(images).sample(5000)
    for place in np.ndindex(1, 2, 2):
        counted = np.histogram(images[:, *place], 5, (0, 1))[0]
        truth = (counted + 0.5) / 502.5
        drawn = np.histogram(samples[:, *place], 5, (0, 1))[0] / 5000
        assert np.abs(drawn - truth).max() < 4 * math.sqrt(0.25 / 5000)
    assert np.abs(np.corrcoef(flat(samples).T) - np.eye(4)).max() < 4 / math.sqrt(5000)


@every_model
def test_samples_follow_the_seed_and_stand_alone(model):
    fitted = model.fit(IMAGES)
    samples = fitted.sample(5, seed=1)
    assert samples.shape == (5, *SHAPE)
    np.testing.assert_array_equal(fitted.sample(2, seed=1), samples[:2])
    np.testing.assert_array_equal(model.fit(IMAGES).sample(5, seed=1), samples)
    assert not np.isclose(fitted.sample(5, seed=2), samples).any()
    assert len(np.unique(samples, axis=0)) == 5


@every_model
def test_global_randomness_is_left_alone(model):
    before = np.random.get_state()[1].copy()
    model.fit(IMAGES).sample(2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@every_model
def test_what_was_fitted_returns_from_its_tensors_to_the_last_bit(model, tmp_path):
    fitted = model.fit(correlated(60, (1, 5, 7)))
    save_file(fitted.state(), tmp_path / "model.safetensors")
    returned = model.restore(load_file(tmp_path / "model.safetensors"), (1, 5, 7))
    images = correlated(30, (1, 5, 7), seed=1)
    np.testing.assert_array_equal(returned.log_likelihood(images), fitted.log_likelihood(images))
    np.testing.assert_array_equal(returned.sample(4, seed=3), fitted.sample(4, seed=3))
    assert returned.shape == fitted.shape
    for name, tensor in returned.state().items():
        assert torch.equal(tensor, fitted.state()[name])


@every_model
def test_a_lacking_tensor_is_a_fault_and_the_state_is_a_copy(model):
    fitted = model.fit(IMAGES)
    before, state = fitted.log_likelihood(UNSEEN), fitted.state()
    for tensor in state.values():
        tensor.zero_()
    np.testing.assert_array_equal(fitted.log_likelihood(UNSEEN), before)
    with pytest.raises(KeyError):
        model.restore({}, SHAPE)


@every_model
def test_samples_are_clipped(model):
    images = (np.random.default_rng(0).random((50, *SHAPE)) > 0.5).astype(np.float32)
    samples = model.fit(images).sample(50)
    assert samples.min() >= 0
    assert samples.max() <= 1


@every_model
def test_structure_is_more_likely_than_noise(model):
    fitted = model.fit(IMAGES)
    noise = np.random.default_rng(0).random((50, *SHAPE))
    assert fitted.log_likelihood(UNSEEN).mean() > fitted.log_likelihood(noise).mean() + 1


@every_model
def test_pixels_that_never_change_have_a_finite_density(model):
    images = np.concatenate([np.zeros((400, 1, 2, 2)), correlated(400, (1, 2, 2))], axis=3).astype(np.float32)
    found = model.fit(images).log_likelihood(images)
    assert np.isfinite(found).all()
    assert found.dtype == np.float64


def test_a_mixture_follows_its_seed():
    images = correlated(60, (1, 4, 4), spread=0.1)
    model = Mixture(components=6, axes=8)
    first = model.fit(images, seed=1).log_likelihood(images)
    np.testing.assert_array_equal(model.fit(images, seed=1).log_likelihood(images), first)
    assert not np.allclose(model.fit(images, seed=2).log_likelihood(images), first)


def test_a_mixture_of_few_different_images_neither_fails_nor_warns(caplog):
    images = np.repeat(correlated(3, SHAPE), 5, axis=0)
    with caplog.at_level(logging.WARNING):
        assert np.isfinite(Mixture(components=5, axes=2).fit(images).log_likelihood(images)).all()


def test_a_mixture_that_has_not_settled_says_so(caplog, monkeypatch):
    monkeypatch.setattr("robustbench_lite.generative.density._MOST_ROUNDS", 1)
    with caplog.at_level(logging.WARNING):
        Mixture(components=4, axes=4).fit(IMAGES)
    assert "has not settled after 1 rounds" in caplog.text


# Units, specs, refusals


def test_bits_and_nats():
    assert bits_per_dim(-64 * math.log(2), 64) == pytest.approx(1)
    assert bits_per_dim(3 * math.log(2) * 10, 10) == pytest.approx(-3)
    uniform = Histogram(bins=1).fit(IMAGES).log_likelihood(UNSEEN)
    np.testing.assert_allclose(uniform, 0, atol=1e-12)


@pytest.mark.parametrize(
    "spec",
    [
        "histogram",
        "histogram(bins=4)",
        "gaussian",
        "gaussian(shrink=false)",
        "pca(components=10)",
        "mixture",
        "mixture(components=3, axes=4)",
    ],
)
def test_specs_return(spec):
    model = make_one("generator", spec)
    assert registry.spec(model) == spec
    assert make_one("generator", registry.spec(model)) == model


def test_every_class_is_registered_under_its_name_and_frozen():
    for name in registry.names("generator"):
        model = make_one("generator", name)
        assert type(model).__name__.lower() == name
        assert registry.name_of(type(model)) == name
        with pytest.raises(dataclasses.FrozenInstanceError):
            model.components = 3


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("pca(components=0)", "at least 1"),
        ("histogram(bins=-2)", "at least 1"),
        ("mixture(axes=0)", "at least 1"),
        ("pca(components=many)", "refused"),
        ("pca + gaussian", "chain"),
        ("os:system", "no generator"),
        ("pgd", "unknown generator"),
    ],
)
def test_bad_specs(spec, reason):
    with pytest.raises(InputError, match=reason):
        make_one("generator", spec)


def test_the_nearest_name_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'mixture'"):
        make_one("generator", "mixtur")
    with pytest.raises(UnknownNameError, match="Did you mean 'components'"):
        make_one("generator", "pca(component=3)")


@pytest.mark.parametrize(
    ("model", "images", "reason"),
    [
        (PCA(7), IMAGES, r"pca\(components=6\) at the most"),
        (PCA(5), IMAGES[:5], r"pca\(components=4\) at the most"),
        (Mixture(axes=7), IMAGES, r"mixture\(axes=6\) at the most"),
        (Mixture(components=5, axes=2), IMAGES[:4], "here are 4"),
        (Gaussian(shrink=False), IMAGES[:6], "more images than values"),
        (Gaussian(), np.zeros((2, 3, 19, 18)), "up to 1024 values per image; 3×19×18 is 1026"),
        (Gaussian(), np.repeat(IMAGES[:1], 9, 0), "the same"),
        (PCA(2), np.repeat(IMAGES[:1], 9, 0), "the same"),
        *((model, IMAGES[:1], "too few") for model in EVERY),
        *((model, IMAGES * 2, "outside") for model in EVERY),
        (PCA(2), np.full_like(IMAGES, np.nan), "outside"),
        (PCA(2), flat(IMAGES), "N×C×H×W"),
        (PCA(2), IMAGES[:0], "N×C×H×W"),
        (PCA(2), (IMAGES * 255).astype(np.uint8), "floats"),
    ],
)
def test_images_that_cannot_be_fitted(model, images, reason):
    with pytest.raises(InputError, match=reason):
        model.fit(images)


@every_model
def test_a_fitted_model_refuses_other_images_and_no_samples(model):
    fitted = model.fit(IMAGES)
    with pytest.raises(InputError, match="1×3×2 do not fit a model of 1×2×3"):
        fitted.log_likelihood(IMAGES.reshape(-1, 1, 3, 2))
    with pytest.raises(InputError, match="outside"):
        fitted.log_likelihood(IMAGES - 1)
    with pytest.raises(InputError, match="at least 1"):
        fitted.sample(0)
