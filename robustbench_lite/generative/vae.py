"""Variational autoencoders: a diagonal Gaussian over latents, a standard normal prior, a choice of likelihoods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustbench_lite.errors import InputError
from robustbench_lite.generative import bodies
from robustbench_lite.generative.latent import Posterior
from robustbench_lite.generative.likelihoods import Binarise, Family, Likelihood
from robustbench_lite.generative.pixels import Shape

_MOST_LOG_VARIANCE = 20.0  # of the posterior, either way: beyond it exp() is no number to compute with


class VariationalNetwork(nn.Module):
    """A variational autoencoder: a VariationalModel.

    Args:
        shape: (C, H, W) of an image.
        description: the spec, as an object.
    """

    def __init__(self, shape: Shape, description: VAE) -> None:
        super().__init__()
        self.shape, self.latents, self.beta = shape, description.latents, description.beta
        self.likelihood: str = description.likelihood
        self.binarise: Binarise = description.binarise
        body, width = description.body, description.width
        self.encoder = bodies.encoder(body, shape, width, 2 * self.latents)
        self.decoder = bodies.decoder(body, shape, width, self.latents)
        self.values = Likelihood(description.likelihood, shape, bounded=body != "linear")
        self.standard = bodies.Standardised(shape)

    def begin_at(self, images: Tensor) -> None:
        """Learn mean and spread of the training images (N, C, H, W), before the training proper."""
        self.standard.begin_at(images)
        self.values.begin_at(images)

    def posterior(self, images: Tensor) -> Posterior:
        """What the encoder says of the latents of images (N, C, H, W): (N, L) each."""
        mean, log_variance = self.encoder(self.standard(images)).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-_MOST_LOG_VARIANCE, _MOST_LOG_VARIANCE))

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, L) of images: the mean of the posterior."""
        return self.posterior(images).mean

    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] of latents (N, L): the mean of what the decoder describes."""
        return self.values.mean(self.decoder(latents))

    def log_likelihood(self, images: Tensor, latents: Tensor) -> Tensor:
        """Nats (N,) of each image given its latents (N, L).

        Grey values with ``bernoulli`` are no values of it. What is returned is then the mean over images that are
        drawn with the grey values as probabilities, given these latents.
        """
        return self.values.log_prob(images, self.decoder(latents))

    def loss(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Nats (N,): the negative ELBO with one draw of the latents, its KL times beta."""
        posterior = self.posterior(images)
        noise = torch.empty_like(posterior.mean).normal_(generator=random)
        return self.beta * posterior.kl().sum(1) - self.log_likelihood(images, posterior.at(noise))


@dataclass(frozen=True)
class VAE:
    """A variational autoencoder with a diagonal Gaussian posterior.

    Kingma & Welling, *Auto-encoding variational Bayes*, ICLR 2014; beta: Higgins et al., *beta-VAE*, ICLR 2017.

    Args:
        latents: numbers that describe an image.
        body: ``conv``, ``mlp`` (two hidden layers) or ``linear``.
        width: channels of the first convolution (16), or hidden units (400).
        likelihood: of the decoder: ``logistic`` (the 256 grey levels), ``gaussian`` (a learned deviation per
            value), ``bernoulli`` (black and white), ``continuous_bernoulli``.
        binarise: how images become black and white for ``bernoulli``: ``none``, ``stochastic`` (drawn anew in
            every epoch, with the grey value as probability), ``static`` (drawn once), ``threshold`` (0.5).
        beta: weight of the KL in the training; 1 is the ELBO.
    """

    latents: int = 32
    body: bodies.Body = "conv"
    width: int | None = None
    likelihood: Family = "logistic"
    binarise: Binarise = "none"
    beta: float = 1.0
    kind: ClassVar[str] = "generator"

    def __post_init__(self) -> None:
        bodies.check_body("vae", self.body, self.width, self.latents)
        if self.binarise != "none" and self.likelihood != "bernoulli":
            raise InputError(
                f"vae: binarise={self.binarise} is for likelihood=bernoulli, not {self.likelihood}.",
                "Leave binarise out, or give likelihood=bernoulli.",
            )
        if not 0 <= self.beta < math.inf:
            raise InputError(f"vae: beta={self.beta} is out of range.", "It is 0 or more.")

    def check(self, count: int, shape: Shape) -> None:
        """Raise InputError if it cannot be trained on so many images (C, H, W)."""
        bodies.check_images("vae", count, shape)

    def network(self, shape: Shape) -> VariationalNetwork:
        """The untrained network for images (C, H, W); its weights are drawn from the global generator."""
        return VariationalNetwork(shape, self)
