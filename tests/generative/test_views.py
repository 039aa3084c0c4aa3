"""Reconstructions, traversals and ways between images, on models whose latents are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_images import correlated
from torch import nn

from robustbench_lite.errors import InputError
from robustbench_lite.generative.density import PCA, Gaussian, Histogram, Mixture
from robustbench_lite.generative.latent import LatentModel, Posterior, VariationalModel
from robustbench_lite.generative.latent_space import BATCH, draw_samples, latent_space
from robustbench_lite.generative.views import interpolate, reconstruct, traverse

SHAPE = (1, 4, 5)
IMAGES = correlated(200, SHAPE)


class Linear(nn.Module):
    """An autoencoder whose latents are coordinates along orthonormal axes around grey."""

    def __init__(self, latents=3, shape=SHAPE):
        super().__init__()
        self.shape, self.latents = shape, latents
        random = np.random.default_rng(0)
        axes = np.linalg.qr(random.standard_normal((int(np.prod(shape)), latents)))[0].T
        self.axes_of_images = nn.Parameter(torch.tensor(axes, dtype=torch.float32))

    def encode(self, images):
        return (images - 0.5).flatten(1) @ self.axes_of_images.T

    def decode(self, latents):
        return (0.5 + latents @ self.axes_of_images).view(-1, *self.shape).clamp(0, 1)


class Variational(Linear):
    """The same with a posterior: the second latent tells most, the first nothing."""

    likelihood = "gaussian"

    def posterior(self, images):
        mean = self.encode(images) * torch.tensor([0.0, 5.0, 1.0])
        return Posterior(mean, torch.zeros_like(mean))

    def log_likelihood(self, images, latents):
        return -(images - self.decode(latents)).square().flatten(1).sum(1)


@pytest.fixture
def axes():
    return latent_space(PCA(3).fit(IMAGES))


def test_stand_ins_are_what_they_stand_for():
    assert isinstance(Linear(), LatentModel)
    assert not isinstance(Linear(), VariationalModel)
    assert isinstance(Variational(), VariationalModel)


# Traversals


def test_traversal_of_pca_is_its_axis_in_standard_deviations(axes):
    fitted = PCA(3).fit(IMAGES)
    found = traverse(axes, rows=2, columns=5, reach=2.0)
    assert found.latents == [0, 1]  # the axes of largest variance
    np.testing.assert_allclose(found.importance, fitted.axes.variances[:2])
    np.testing.assert_array_equal(found.values, [-2, -1, 0, 1, 2])
    for row, latent in enumerate(found.latents):
        for column, value in enumerate(found.values):
            step = value * np.sqrt(fitted.axes.variances[latent]) * fitted.axes.directions[latent]
            truth = (fitted.axes.mean + step).reshape(SHAPE)
            np.testing.assert_allclose(found.images[row, column], truth, atol=1e-12)


def test_traversal_of_a_linear_network_is_its_axis():
    model = Variational()
    found = traverse(latent_space(model), rows=9, columns=3, reach=0.5)
    assert sorted(found.latents) == [0, 1, 2]
    for row, latent in enumerate(found.latents):
        axis = model.axes_of_images[latent].detach().numpy().reshape(SHAPE)
        truth = np.stack([0.5 - axis / 2, 0.5 + 0 * axis, 0.5 + axis / 2])
        np.testing.assert_allclose(found.images[row], truth, atol=1e-6)


def test_latents_are_ranked_by_their_divergence_where_there_are_images():
    model = Variational()
    space = latent_space(model, IMAGES)
    found = traverse(space, rows=3)
    codes = (IMAGES - 0.5).reshape(len(IMAGES), -1) @ model.axes_of_images.detach().numpy().T * [0, 5, 1]
    truth = 0.5 * (codes**2).mean(0)  # KL of N(m, 1) from N(0, 1)
    assert space.measure == "KL"
    np.testing.assert_allclose(space.importance(), truth, rtol=1e-5)
    assert found.latents == [int(i) for i in np.argsort(-truth)]
    assert found.latents[0] == 1
    assert latent_space(model).measure == "change"


def test_an_autoencoder_goes_as_far_as_its_codes():
    model = Linear()
    with pytest.raises(InputError, match="no prior"):
        latent_space(model)
    space = latent_space(model, IMAGES)
    codes = (IMAGES - 0.5).reshape(len(IMAGES), -1) @ model.axes_of_images.detach().numpy().T
    np.testing.assert_allclose(space.encode(IMAGES), (codes - codes.mean(0)) / codes.std(0), atol=1e-4)
    back = model.decode(model.encode(torch.tensor(IMAGES[:3]).float())).detach()
    np.testing.assert_allclose(space.decode(space.encode(IMAGES[:3])), back, atol=1e-6)
    assert latent_space(model, IMAGES[:1]).importance().shape == (3,)  # codes without a spread


# Reconstructions


def test_reconstruction_is_the_projection_and_the_difference_is_amplified(axes):
    fitted = PCA(3).fit(IMAGES).axes
    found = reconstruct(axes, IMAGES[:6])
    centred = IMAGES[:6].reshape(6, -1) - fitted.mean
    truth = (fitted.mean + centred @ fitted.directions.T @ fitted.directions).reshape(6, *SHAPE)
    np.testing.assert_allclose(found.reconstructions, truth, atol=1e-12)
    left = IMAGES[:6] - truth
    np.testing.assert_allclose(found.differences, (0.5 + found.gain * left).clip(0, 1), atol=1e-9)
    reach = np.quantile(np.abs(left), 0.99)
    assert found.gain * reach <= 0.5 < 2 * found.gain * reach


def test_a_model_with_all_axes_gives_the_images_back():
    found = reconstruct(latent_space(Gaussian().fit(IMAGES)), IMAGES[:5])
    np.testing.assert_allclose(found.reconstructions, IMAGES[:5], atol=1e-12)
    assert found.gain == 64
    np.testing.assert_allclose(found.differences, 0.5, atol=1e-9)


# Ways between two images


@pytest.mark.parametrize("path", ["linear", "spherical", None])
@pytest.mark.parametrize("model", [PCA(3), Mixture(2, 3), Variational()], ids=["pca", "mixture", "network"])
def test_ends_are_the_reconstructions(model, path):
    space = latent_space(model.fit(IMAGES) if hasattr(model, "fit") else model)
    found = interpolate(space, IMAGES[0], IMAGES[7], steps=5, path=path)
    back = reconstruct(space, IMAGES[[0, 7]]).reconstructions
    np.testing.assert_allclose(found.latent[[0, -1]], back, atol=1e-6)
    assert found.latent.shape == found.pixels.shape == (5, *SHAPE)
    assert found.path == (path or ("spherical" if isinstance(model, Variational) else "linear"))


def test_cross_fade_is_exact(axes):
    found = interpolate(axes, IMAGES[0], IMAGES[7], steps=5)
    for share, image in zip([0, 0.25, 0.5, 0.75, 1], found.pixels, strict=True):
        np.testing.assert_allclose(image, (1 - share) * IMAGES[0] + share * IMAGES[7], atol=1e-15)
    np.testing.assert_array_equal(found.pixels[[0, -1]], IMAGES[[0, 7]])


def test_a_straight_way_through_a_linear_model_is_the_cross_fade_of_the_reconstructions(axes):
    found = interpolate(axes, IMAGES[0], IMAGES[7], steps=4)
    first, last = found.latent[0], found.latent[-1]
    np.testing.assert_allclose(found.latent[1], first + (last - first) / 3, atol=1e-12)


def test_a_spherical_way_turns_evenly_and_keeps_the_length():
    space = latent_space(Variational())
    ends = space.decode(np.array([[0.3, 0, 0], [0, 0.3, 0]]))
    found = interpolate(space, *ends, steps=3)
    np.testing.assert_allclose(space.encode(found.latent)[1], 0.3 * np.array([1, 1, 0]) / np.sqrt(2), atol=1e-5)


@pytest.mark.parametrize("other", [0, 1, -1])
def test_where_no_circle_is_the_only_one_the_way_is_straight(other):
    """The same image, the middle, and the opposite."""
    space = latent_space(Variational())
    ends = space.decode(np.array([[0.2, 0.1, 0], [0.2 * other, 0.1 * other, 0]]))
    found = interpolate(space, *ends, steps=3, path="spherical")
    np.testing.assert_allclose(found.latent[1], ends.mean(0), atol=1e-6)


# Samples


def test_samples_of_a_network_stand_alone_and_follow_the_seed():
    model = Variational()
    samples = draw_samples(model, BATCH + 9, seed=1)
    np.testing.assert_array_equal(draw_samples(model, 3, seed=1), samples[:3])
    np.testing.assert_array_equal(draw_samples(model, BATCH + 1, seed=1), samples[: BATCH + 1])
    assert np.abs(draw_samples(model, 3, seed=2) - samples[:3]).mean() > 0.1
    np.testing.assert_array_equal(draw_samples(PCA(3).fit(IMAGES), 2, 5), PCA(3).fit(IMAGES).sample(2, 5))


def test_samples_of_a_network_come_from_the_standard_normal_prior():
    model = Variational(shape=(1, 40, 40))  # every value near grey: nothing is clipped
    codes = model.encode(torch.tensor(draw_samples(model, 2000)).float()).detach().numpy()
    assert np.abs(codes.mean(0)).max() < 4 / np.sqrt(2000)
    assert np.abs(np.cov(codes.T) - np.eye(3)).max() < 6 / np.sqrt(2000)


# Refusals


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: latent_space(Histogram().fit(IMAGES)), "no latents"),
        (lambda: latent_space(Variational(), IMAGES[:, :, :3]), "1×3×5 do not fit a model of 1×4×5"),
        (lambda: latent_space(Variational()).encode(IMAGES + 1), "outside"),
        (lambda: latent_space(PCA(3).fit(IMAGES)).encode(IMAGES[:, :, :3]), "do not fit"),
        (lambda: draw_samples(Linear(), 3), "no distribution"),
        (lambda: draw_samples(Variational(), 0), "at least 1"),
        (lambda: traverse(latent_space(Variational()), rows=0), "refused"),
        (lambda: traverse(latent_space(Variational()), columns=1), "refused"),
        (lambda: interpolate(latent_space(Variational()), *IMAGES[:2], steps=1), "refused"),
        (lambda: interpolate(latent_space(Variational()), *IMAGES[:2], path="round"), "linear or spherical"),
    ],
)
def test_refused(call, reason):
    with pytest.raises(InputError, match=reason):
        call()
