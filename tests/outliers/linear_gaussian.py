"""A variational autoencoder whose every number has a closed form."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.stats import multivariate_normal
from torch import nn

from robustbench_lite.generative.latent import Posterior


class LinearGaussian(nn.Module):
    """x = b + W z + s e with orthogonal columns of W, so that the exact posterior is diagonal.

    Args:
        shift: added to the exact posterior's mean: an encoder that errs.
        log_scale: added to its log variance.
    """

    likelihood = "gaussian"

    def __init__(self, shape=(1, 8, 8), latents=3, deviation=0.1, shift=0.0, log_scale=0.0, seed=0):
        super().__init__()
        self.shape, self.latents, self.deviation = shape, latents, deviation
        self.shift, self.log_scale = shift, log_scale
        random = np.random.default_rng(seed)
        axes = np.linalg.qr(random.normal(size=(math.prod(shape), latents)))[0]
        scales = np.linspace(0.5, 1.0, latents) * math.prod(shape) ** 0.5 * 0.1
        self.register_buffer("weight", torch.from_numpy(axes * scales).float())
        self.register_buffer("bias", torch.full((math.prod(shape),), 0.5))

    def exact_posterior(self, images):
        variance = 1 / (1 + (self.weight / self.deviation).square().sum(0))
        mean = variance * ((images.flatten(1) - self.bias) @ self.weight) / self.deviation**2
        return Posterior(mean, variance.log().expand_as(mean))

    def posterior(self, images):
        mean, log_variance = self.exact_posterior(images)
        return Posterior(mean + self.shift, log_variance + self.log_scale)

    def encode(self, images):
        return self.posterior(images).mean

    def decode(self, latents):
        return (self.bias + latents @ self.weight.T).view(-1, *self.shape)

    def log_likelihood(self, images, latents):
        squared = ((images - self.decode(latents)) / self.deviation).flatten(1).square().sum(1)
        return -0.5 * squared - math.prod(self.shape) * math.log(self.deviation * math.sqrt(2 * math.pi))

    def exact(self, images):
        """log p (N,) of the images, float64, by scipy."""
        weight = self.weight.double().numpy()
        covariance = weight @ weight.T + self.deviation**2 * np.eye(len(weight))
        values = images.double().flatten(1).numpy()
        return multivariate_normal(self.bias.double().numpy(), covariance).logpdf(values)

    def regret(self):
        """KL of the encoder's posterior from the exact one: the same for every image."""
        _, log_variance = self.exact_posterior(self.bias.view(1, *self.shape))
        ratio = math.exp(self.log_scale)
        each = 0.5 * (ratio - 1 - self.log_scale + self.shift**2 / log_variance.exp())
        return float(each.sum())

    def draw(self, n, seed=0):
        """Images (n, C, H, W) of the model, cut to [0, 1]."""
        random = np.random.default_rng(seed)
        noise = torch.from_numpy(random.normal(size=(n, math.prod(self.shape)))).float()
        latents = torch.from_numpy(random.normal(size=(n, self.latents))).float()
        return (self.decode(latents) + self.deviation * noise.view(n, *self.shape)).clamp(0, 1)
