"""How likely a variational model finds images: lower bounds of the log likelihood, and what the latents do.

All are nats per image of the model's family (likelihoods.py), which says what they compare with. ``beta`` is of
the training only: the bounds here are of the model itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.generative.latent import Posterior, VariationalModel
from robustbench_lite.generative.likelihoods import Binarise, binarised, meaning
from robustbench_lite.generative.pixels import bits_per_dim
from robustbench_lite.rng import Streams

ACTIVE_VARIANCE = 0.01
"""A latent is active if the variance of its posterior mean over images exceeds this. Burda, Grosse &
Salakhutdinov, *Importance weighted autoencoders*, ICLR 2016, section 5.1."""

COLLAPSED_SHARE = 0.1
"""With a smaller share of active latents than this the posterior is said to have collapsed."""

MOST_VALUES = 10**8
"""Values that are drawn for the importance-weighted bound of an assessment: 2,551 images of 28×28 with k = 50,
some seconds. Of more images as many as that are taken, spread evenly."""


class Elbo(NamedTuple):
    """The two terms of the evidence lower bound, (N,) each, in nats."""

    reconstruction: Tensor
    """Mean log likelihood of the image given the drawn latents."""
    kl: Tensor
    """Divergence of the posterior from the prior, in closed form."""

    @property
    def nats(self) -> Tensor:
        """The bound (N,): reconstruction less KL."""
        return self.reconstruction - self.kl


class Importance(NamedTuple):
    """The importance-weighted bound (N,) in nats, and the effective sample size (N,) of its k weights, 1 to k."""

    nats: Tensor
    effective: Tensor


class Units(NamedTuple):
    """What each latent is used for, (L,) each: its mean KL in nats, and the variance of its posterior mean."""

    kl: Tensor
    variance: Tensor

    @property
    def active(self) -> int:
        """How many latents are used at all."""
        return int((self.variance > ACTIVE_VARIANCE).sum())

    @property
    def collapsed(self) -> bool:
        """The decoder all but ignores the latents."""
        return self.active == 0 or self.active < COLLAPSED_SHARE * len(self.variance)


def drawn(streams: Streams, k: int, latents: int, like: Tensor) -> Tensor:
    """Standard normal noise (k, N, L) for the bounds, a stream per image; the first draws do not depend on k."""
    if k < 1:
        raise InputError(f"{k} draws of the latents are refused.", "Take at least 1.")
    return torch.stack([streams.normal((latents,), "latents", i, like=like) for i in range(k)])


def elbo(model: VariationalModel, images: Tensor, noise: Tensor, posterior: Posterior | None = None) -> Elbo:
    """The evidence lower bound: Kingma & Welling, *Auto-encoding variational Bayes*, ICLR 2014, eq. 10.

    Args:
        model: with a standard normal prior.
        images: (N, C, H, W) in [0, 1].
        noise: (k, N, L) or (k, 1, L) standard normal; the reconstruction is a mean over k draws.
        posterior: of these images; by default what the encoder says. Any gives a bound.
    """
    posterior = posterior or model.posterior(images)
    found = [model.log_likelihood(images, posterior.at(draw)) for draw in noise]
    return Elbo(torch.stack(found).mean(0), posterior.kl().sum(1))


def importance(model: VariationalModel, images: Tensor, noise: Tensor) -> Importance:
    """The importance-weighted bound: Burda, Grosse & Salakhutdinov, ICLR 2016, eq. 8.

    It costs one pass through the encoder and k through the decoder. In expectation it rises with k towards the log
    likelihood. Where the effective sample size stays near 1 it is still far from it.

    Args:
        model: with a standard normal prior.
        images: (N, C, H, W) in [0, 1].
        noise: (k, N, L) or (k, 1, L) standard normal.
    """
    posterior = model.posterior(images)
    weights = []
    for draw in noise:
        latents = posterior.at(draw)
        # log p(x|z) + log p(z) - log q(z|x), of which the two log(2π) cancel.
        prior = -0.5 * latents.square().sum(1)
        proposal = -0.5 * (draw.square() + posterior.log_variance).sum(1)
        weights.append(model.log_likelihood(images, latents) + prior - proposal)
    logs = torch.stack(weights)
    effective = (2 * logs.logsumexp(0) - (2 * logs).logsumexp(0)).exp()
    return Importance(logs.logsumexp(0) - math.log(len(noise)), effective)


def units(model: VariationalModel, images: Tensor) -> Units:
    """What each latent is used for on images (N, C, H, W)."""
    return _units(model.posterior(images))


def _units(posterior: Posterior) -> Units:
    return Units(posterior.kl().mean(0), posterior.mean.var(0, correction=0))


def _seen(images: Tensor, how: Binarise, streams: Streams) -> Tensor:
    return binarised(images, how, lambda: streams.uniform(images.shape[1:], "binarise", like=images))


@dataclass(frozen=True)
class Assessment:
    """What there is to say of a model and some images: means per image, in nats.

    Args:
        likelihood: the family.
        nats_of: what the numbers are, in words; they compare with others of the same only.
        n: number of images.
        elbo, reconstruction, kl: the evidence lower bound and its terms, with one draw per image.
        bits_per_dim: of the ELBO; lower is better.
        k: draws per image of the importance-weighted bound.
        importance: that bound.
        importance_images: number of images that it is of, spread evenly over all.
        effective_sample_size: mean of the weights' over those images, 1 to k.
        latents: number of them.
        active_units: how many of them are used.
        kl_per_unit: mean KL of each.
        posterior_collapse: almost none of them is used.
    """

    likelihood: str
    nats_of: str
    n: int
    elbo: float
    reconstruction: float
    kl: float
    bits_per_dim: float
    k: int
    importance: float
    importance_images: int
    effective_sample_size: float
    latents: int
    active_units: int
    kl_per_unit: tuple[float, ...]
    posterior_collapse: bool

    def better_by(self, other: Assessment) -> float:
        """How many nats per image this ELBO is higher.

        Raises:
            InputError: the numbers are of different things, or of different numbers of images.
        """
        if self.nats_of != other.nats_of:
            raise InputError(
                f"nats that are {self.nats_of} and nats that are {other.nats_of} do not compare.",
                "Compare models of one family.",
            )
        if self.n != other.n:
            raise InputError(f"{self.n} and {other.n} images do not compare.", "Assess both on the same ones.")
        return self.elbo - other.elbo


@torch.no_grad()
def assess(
    model: VariationalModel,
    images: Tensor,
    *,
    k: int = 50,
    seed: int = 0,
    batch_size: int = 256,
    most_values: int = MOST_VALUES,
) -> Assessment:
    """All bounds of a model on images (N, C, H, W) in [0, 1], as means.

    Images are binarised as the model was trained to see them (its ``binarise``). The numbers follow the seed, and
    depend on the order of the images, but not on the size of a batch, up to rounding.

    Args:
        model: a variational autoencoder, in eval mode.
        images: the images.
        k: draws per image of the importance-weighted bound.
        seed: of the latents, and of the binarisation.
        batch_size: images at a time.
        most_values: k times the values of the images that the importance-weighted bound is of, at the most.
    """
    how: Binarise = getattr(model, "binarise", "none")
    dimensions = math.prod(images.shape[1:])
    most = max(1, most_values // (k * dimensions))
    step = -(-len(images) // most)
    terms, weighted, posteriors = [], [], []
    for start in range(0, len(images), batch_size):
        chosen = range(start, min(start + batch_size, len(images)))
        streams = Streams(seed, "assess", tuple(map(str, chosen)))
        batch = _seen(images[start : start + batch_size], how, streams)
        terms.append(torch.stack(elbo(model, batch, drawn(streams, 1, model.latents, batch))))
        posteriors.append(model.posterior(batch))
        some = [i for i, index in enumerate(chosen) if index % step == 0]
        if some:
            noise = drawn(streams[some], k, model.latents, batch)
            weighted.append(torch.stack(importance(model, batch[some], noise)))
    reconstruction, kl = torch.cat(terms, 1).double().mean(1).tolist()
    bound, effective = torch.cat(weighted, 1).double().mean(1).tolist()
    used = _units(Posterior(*(torch.cat(parts) for parts in zip(*posteriors, strict=True))))
    binary = how != "none" or bool(((images == 0) | (images == 1)).all())
    return Assessment(
        likelihood=model.likelihood,
        nats_of=meaning(model.likelihood, how, binary=binary),
        n=len(images),
        elbo=reconstruction - kl,
        reconstruction=reconstruction,
        kl=kl,
        bits_per_dim=bits_per_dim(reconstruction - kl, dimensions),
        k=k,
        importance=bound,
        importance_images=len(range(0, len(images), step)),
        effective_sample_size=effective,
        latents=model.latents,
        active_units=used.active,
        kl_per_unit=tuple(used.kl.tolist()),
        posterior_collapse=used.collapsed,
    )
