"""Bounds against closed forms: a linear variational autoencoder is probabilistic PCA."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_images import correlated
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA, FactorAnalysis

from robustbench_lite import load_dataset, load_generator
from robustbench_lite.errors import InputError
from robustbench_lite.generative.bounds import ACTIVE_VARIANCE, assess, drawn, elbo, importance, units
from robustbench_lite.generative.latent import Posterior
from robustbench_lite.generative.likelihoods import FLOOR
from robustbench_lite.generative.loading import save_generator
from robustbench_lite.generative.vae import VAE
from robustbench_lite.rng import Streams
from robustbench_lite.training.generators import GeneratorOptions, train_generator

MNIST = Path(__file__).parents[2].parent / "shared/data"
SHAPE, LATENTS = (1, 8, 8), 6
IMAGES = torch.from_numpy(correlated(400, SHAPE)).float()


def streams(n, seed=0):
    return Streams(seed, "test", tuple(map(str, range(n))))


@pytest.fixture(scope="module")
def principal():
    return PCA(LATENTS).fit(IMAGES.flatten(1).double().numpy())


@pytest.fixture(scope="module")
def closed_form(principal):
    """The linear variational autoencoder whose ELBO is highest, by Tipping & Bishop 1999, eq. 6, 7 and 8."""
    network = VAE(LATENTS, body="linear", likelihood="gaussian").network(SHAPE).double()
    noise, variances = principal.noise_variance_, principal.explained_variance_
    weights = torch.from_numpy(principal.components_.T * np.sqrt(variances - noise))  # (D, L), W of the paper
    with torch.no_grad():
        mean = torch.from_numpy(principal.mean_).view(SHAPE)
        network.standard.mean.copy_(mean)
        network.values.start.copy_(mean)
        network.values.log_spread.fill_(math.log(math.sqrt(noise) - FLOOR))
        network.decoder[0].weight.copy_(weights)
        network.decoder[0].bias.zero_()
        network.encoder[1].weight.copy_(
            torch.cat([weights.T / torch.from_numpy(variances)[:, None], torch.zeros(LATENTS, 64)])
        )
        network.encoder[1].bias.copy_(
            torch.cat([torch.zeros(LATENTS), torch.log(noise / torch.from_numpy(variances))])
        )
    return network.eval().requires_grad_(False)


def test_a_linear_one_has_the_likelihood_of_probabilistic_pca(closed_form, principal):
    """The posterior is exact, so that a single weight is the likelihood, whatever is drawn."""
    exact = principal.score_samples(IMAGES.flatten(1).double().numpy())
    images = IMAGES.double()
    bound = importance(closed_form, images, drawn(streams(400), 1, LATENTS, images))
    np.testing.assert_allclose(bound.nats, exact, atol=1e-6)
    many = importance(closed_form, images, drawn(streams(400), 10, LATENTS, images))
    np.testing.assert_allclose(many.effective, 10, rtol=1e-6)
    mean = elbo(closed_form, images, drawn(streams(400), 50, LATENTS, images)).nats.mean()
    assert float(mean) == pytest.approx(principal.score(IMAGES.flatten(1).double().numpy()), abs=0.05)


def test_no_other_linear_one_of_the_same_noise_has_a_higher_elbo(closed_form, principal):
    """Over all draws of the latents the reconstruction has a closed form as well."""

    def exact_elbo(network):
        mean, log_variance = network.posterior(IMAGES.double())
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        along = network.decoder[0].weight.square().sum(0) * log_variance.exp()
        lost = 0.5 * along.sum(1) / network.values.spread.flatten()[0] ** 2
        return (network.log_likelihood(IMAGES.double(), mean) - lost - kl).mean()

    best = exact_elbo(closed_form)
    assert float(best) == pytest.approx(principal.score(IMAGES.flatten(1).double().numpy()), abs=1e-6)
    random = torch.Generator().manual_seed(0)
    state = {name: value.clone() for name, value in closed_form.state_dict().items()}
    try:
        for _ in range(20):
            for name in ("encoder.1.weight", "encoder.1.bias", "decoder.0.weight", "decoder.0.bias"):
                value = closed_form.get_parameter(name)
                value.copy_(state[name] + 1e-2 * torch.empty_like(value).normal_(generator=random))
            assert exact_elbo(closed_form) < best
    finally:
        closed_form.load_state_dict(state)


@pytest.fixture(scope="module")
def trained():
    options = GeneratorOptions(epochs=80, batch_size=100, lr=0.05, weight_decay=0, patience=80)
    spec = f"vae(latents={LATENTS}, body=linear, likelihood=gaussian)"
    return train_generator(spec, IMAGES, IMAGES, options).network


def test_a_trained_linear_one_comes_near_factor_analysis(trained, principal):
    """With a deviation of its own for every value it is factor analysis, which is at least as likely as PCA."""
    values = IMAGES.flatten(1).double().numpy()
    best = FactorAnalysis(LATENTS, tol=1e-4, max_iter=2000).fit(values).score(values)
    with torch.no_grad():
        found = float(elbo(trained, IMAGES, drawn(streams(400), 50, LATENTS, IMAGES)).nats.mean())
    assert principal.score(values) - 1 < found < best + 0.05
    assert found > best - 1


def test_the_importance_weighted_bound_rises_with_k():
    spec = "vae(latents=4, body=mlp, width=32, likelihood=gaussian)"
    network = train_generator(spec, IMAGES, IMAGES, GeneratorOptions(epochs=10)).network
    bounds, effective = [], []
    with torch.no_grad():
        for k in (1, 5, 50):
            found = importance(network, IMAGES, drawn(streams(400), k, 4, IMAGES))
            bounds.append(float(found.nats.mean()))
            effective.append(float(found.effective.mean()))
            assert (found.effective >= 1 - 1e-4).all()
            assert (found.effective <= k + 1e-3).all()
        lower = float(elbo(network, IMAGES, drawn(streams(400), 50, 4, IMAGES)).nats.mean())
    assert bounds[0] < bounds[1] < bounds[2]
    assert bounds[0] == pytest.approx(lower, abs=0.2)  # with k = 1 it is the ELBO, in expectation
    assert effective[0] == pytest.approx(1)
    assert 1 < effective[1] < 5


def test_noise_is_the_same_whatever_is_asked_for(trained):
    few, many = drawn(streams(3), 2, LATENTS, IMAGES), drawn(streams(5), 4, LATENTS, IMAGES)
    assert few.shape == (2, 3, LATENTS)
    assert torch.equal(few, many[:2, :3])
    shared = drawn(Streams(0, "score", ("all",)), 3, LATENTS, IMAGES)
    assert shared.shape == (3, 1, LATENTS)
    together = importance(trained, IMAGES[:5], shared).nats
    alone = torch.cat([importance(trained, image[None], shared).nats for image in IMAGES[:5]])
    torch.testing.assert_close(together, alone)
    with pytest.raises(InputError, match="at least 1"):
        drawn(streams(3), 0, 2, IMAGES)


@pytest.mark.parametrize("bound", [elbo, importance])
def test_gradients_reach_the_images(trained, bound):
    images = IMAGES[:3].clone().requires_grad_()
    bound(trained, images, drawn(streams(3), 2, LATENTS, images))[0].sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad != 0).any()


class Half:
    """The first latents say something, the others nothing."""

    latents = 4

    def posterior(self, images):
        used = (images.flatten(1)[:, :2] - 0.5) * 20
        mean = torch.cat([used, torch.zeros_like(used)], 1)
        return Posterior(mean, torch.zeros_like(mean))


def test_active_units():
    found = units(Half(), IMAGES)
    assert found.active == 2
    assert not found.collapsed
    assert (found.variance[2:] < ACTIVE_VARIANCE).all()
    assert found.kl[2:].tolist() == [0, 0]
    mean = Half().posterior(IMAGES).mean
    torch.testing.assert_close(found.kl[:2], 0.5 * mean.square().mean(0)[:2])


def test_posterior_collapse_is_found():
    spec = "vae(latents=3, body=mlp, width=8, likelihood=gaussian, beta=1000)"
    collapsed = train_generator(spec, IMAGES, IMAGES, GeneratorOptions(epochs=20, lr=0.01)).network
    found = assess(collapsed, IMAGES, k=2)
    assert (found.active_units, found.posterior_collapse) == (0, True)
    assert sum(found.kl_per_unit) < 0.1


def test_an_assessment_adds_up(trained, tmp_path):
    found = assess(trained, IMAGES, k=5, batch_size=64)
    assert found.elbo == pytest.approx(found.reconstruction - found.kl)
    assert found.bits_per_dim == pytest.approx(-found.elbo / (64 * math.log(2)))
    assert sum(found.kl_per_unit) == pytest.approx(found.kl, rel=1e-4)
    assert found.active_units == LATENTS
    assert found.elbo < found.importance + 0.5
    assert (found.n, found.importance_images, found.k) == (400, 400, 5)
    other = assess(trained, IMAGES, k=5, batch_size=400)
    assert other.elbo == pytest.approx(found.elbo, abs=1e-3)
    assert other.importance == pytest.approx(found.importance, abs=1e-3)
    assert assess(trained, IMAGES, k=5, most_values=100 * 5 * 64).importance_images == 100
    spec = f"vae(latents={LATENTS}, body=linear, likelihood=gaussian)"
    save_generator(tmp_path / "g.safetensors", spec, trained, {})
    assert assess(load_generator(tmp_path / "g.safetensors").model, IMAGES, k=5, batch_size=64) == found


def test_what_does_not_compare_is_refused(trained):
    found = assess(trained, IMAGES, k=1)
    assert found.better_by(replace(found, elbo=found.elbo - 2)) == pytest.approx(2)
    with pytest.raises(InputError, match=r"densities .* log probabilities of images of 256 grey levels"):
        found.better_by(replace(found, nats_of="log probabilities of images of 256 grey levels"))
    with pytest.raises(InputError, match="400 and 399 images"):
        found.better_by(replace(found, n=399))


def test_a_linear_autoencoder_spans_the_principal_components():
    random = np.random.default_rng(1)
    axes = np.linalg.qr(random.standard_normal((64, 64)))[0]
    spread = np.array([0.3, 0.2, 0.15] + [0.02] * 61)
    values = (0.5 + random.standard_normal((300, 64)) * spread @ axes.T).clip(0, 1)
    images = torch.from_numpy(values).float().view(-1, 1, 8, 8)
    for tied in ("", ", tied=true"):
        options = GeneratorOptions(epochs=150, batch_size=100, lr=0.03, weight_decay=0, patience=150)
        network = train_generator(f"autoencoder(latents=3, body=linear{tied})", images, images, options).network
        layer = network.decoder[0]
        spanned = (layer[0].weight.T if tied else layer.weight).numpy()
        found = np.rad2deg(subspace_angles(spanned, PCA(3).fit(values).components_.T))
        assert found.max() < 1


def test_tied_weights_share_storage_also_from_a_file(tmp_path):
    spec = "autoencoder(latents=3, body=mlp, width=16, tied=true)"
    network = train_generator(spec, IMAGES, IMAGES, GeneratorOptions(epochs=1)).network
    save_generator(tmp_path / "tied.safetensors", spec, network, {})
    for one in (network, load_generator(tmp_path / "tied.safetensors").model):
        first = [layer.weight for layer in one.encoder if hasattr(layer, "weight")]
        second = [layer.weight for layer in one.decoder[0] if hasattr(layer, "weight")]
        assert [w.data_ptr() for w in first] == [w.data_ptr() for w in reversed(second)]


def pixels(split, count):
    dataset = load_dataset("mnist", split=split, root=MNIST, limit=count)
    return torch.cat([batch.images for batch in dataset.batches(1000)])


@pytest.mark.slow
@pytest.mark.skipif(not (MNIST / "MNIST").is_dir(), reason="needs MNIST")
def test_mnist():
    """In a minute; the ten of the page come to 100 and 95."""
    spec = "vae(latents=40, body=mlp, likelihood=bernoulli, binarise=stochastic)"
    options = GeneratorOptions(epochs=4, batch_size=128, lr=2e-3, weight_decay=0)
    found = assess(
        train_generator(spec, pixels("train", 10_000), pixels("val", 500), options).network, pixels("test", 500)
    )
    assert found.nats_of == "log probabilities of images of black and white (stochastic binarisation)"
    assert -found.elbo < 140
    assert -found.importance < -found.elbo
    assert found.active_units > 10
