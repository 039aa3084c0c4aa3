"""What the laws of scores are tried with: normal images of three classes, outliers, and networks to ask."""

from __future__ import annotations

import copy
import functools
import math

import torch
from torch import Tensor, nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.generative.latent import Posterior
from robustbench_lite.outliers.score import Normals, Parts

Shape = tuple[int, int, int]
SHAPE = (1, 12, 12)
CLASSES = 3


def stripes(n: int, seed: int, shape: Shape = SHAPE) -> tuple[Tensor, Tensor]:
    """Images (n, C, H, W) of waves in any phase, with a little noise, and their classes (n,): the direction."""
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    labels = torch.arange(n) % CLASSES
    angle = (math.pi / CLASSES * labels + 0.2).view(-1, 1, 1, 1)
    phase = 2 * math.pi * torch.rand(n, 1, 1, 1, generator=generator)
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    wave = torch.sin(0.9 * (x * angle.cos() + y * angle.sin()) + phase)
    colour = torch.linspace(0.18, 0.3, channels).view(-1, 1, 1)
    noise = 0.03 * torch.randn(n, *shape, generator=generator)
    return (0.5 + colour * wave + noise).clamp(0, 1), labels


def noise(n: int, seed: int, shape: Shape = SHAPE) -> Tensor:
    """Outliers: every pixel on its own."""
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def normals(shape: Shape = SHAPE, n: int = 96) -> Normals:
    """Normal images with their classes."""
    return Normals(*stripes(n, 0, shape))


@functools.cache
def classifier(shape: Shape = SHAPE) -> Classifier:
    """The one that most tests share."""
    return fresh_classifier(shape)


def fresh_classifier(shape: Shape = SHAPE) -> Classifier:
    """The same, untouched. Its network is of mixed modes, and partly frozen, so that it shows if these change."""
    network = copy.deepcopy(_trained(shape)).eval()
    network[1].train()
    network[0].weight.requires_grad_(False)
    return Classifier(network, mean=(0.5,), std=(0.25,), input_shape=shape)


@functools.cache
def _trained(shape: Shape) -> nn.Sequential:
    """A small trained network; smooth, so that finite differences say what gradients should be."""
    data = normals(shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            *(
                nn.Conv2d(shape[0], 8, 3, stride=1 + (min(shape[1:]) > 16), padding=1),
                nn.BatchNorm2d(8),
                nn.Softplus(),
                nn.AdaptiveAvgPool2d(4),
            ),
            *(nn.Flatten(), nn.Linear(128, 16), nn.Softplus(), nn.Dropout(0.1), nn.Linear(16, CLASSES)),
        )
        optimizer = torch.optim.Adam(network.parameters(), 0.01)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network((data.images - 0.5) / 0.25), data.labels).backward()
            optimizer.step()
    optimizer.zero_grad()
    return network


@functools.cache
def generator(shape: Shape = SHAPE) -> PrincipalAxes:
    """A model of the normal images."""
    return PrincipalAxes(normals(shape).images)


def parts(shape: Shape = SHAPE, needs: str = "both") -> Parts:
    """The networks, or only the one that a score needs."""
    return Parts(
        classifier(shape) if needs in ("classifier", "both") else None,
        generator(shape) if needs in ("generator", "both") else None,
    )


class PrincipalAxes(nn.Module):
    """Probabilistic PCA (Tipping & Bishop 1999) as a variational autoencoder.

    Its posterior is the true one, but that some of what the axes cannot draw leaks into its mean: the encoder errs
    where images are not normal, as trained ones do.
    """

    likelihood = "gaussian"

    def __init__(self, images: Tensor, latents: int = 8) -> None:
        super().__init__()
        self.shape, self.latents = tuple(images.shape[1:]), latents
        flat = images.flatten(1).double()
        _, scales, axes = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
        variances = scales.square() / len(flat)
        rest = variances[latents:].sum() / (flat.shape[1] - latents)
        weights = axes[:latents] * (variances[:latents] - rest).clamp_min(1e-6).sqrt().unsqueeze(1)
        inner = weights.square().sum(1) + rest
        self.mean, self.weights = nn.Parameter(flat.mean(0).float()), nn.Parameter(weights.float())
        self.encoder = nn.Parameter((weights / inner.unsqueeze(1) + 2 * axes[latents : 2 * latents]).float())
        self.log_variance = nn.Parameter((rest / inner).log().float())
        self.variance = float(rest)
        self.eval().requires_grad_(False)

    def encode(self, images: Tensor) -> Tensor:
        return (images.flatten(1) - self.mean) @ self.encoder.T

    def posterior(self, images: Tensor) -> Posterior:
        mean = self.encode(images)
        return Posterior(mean, self.log_variance.expand_as(mean))

    def decode(self, latents: Tensor) -> Tensor:
        return (self.mean + latents @ self.weights).clamp(0, 1).view(-1, *self.shape)

    def log_likelihood(self, images: Tensor, latents: Tensor) -> Tensor:
        away = (images.flatten(1) - self.mean - latents @ self.weights).square().sum(1)
        size = math.prod(self.shape)
        return -0.5 * (away / self.variance + size * math.log(2 * math.pi * self.variance))
