"""Several things that a variational autoencoder says of an image, each as usual or unusual as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robustbench_lite.generative import bounds
from robustbench_lite.generative.latent import VariationalModel
from robustbench_lite.outliers.asking import at_least_one, fixed_noise, reduced, variational_model
from robustbench_lite.outliers.reconstruction import smoothed
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState
from robustbench_lite.types import Cost

_KNOTS = 512
"""Kernels of a density, at the most: more images are told by so many of their quantiles."""
_DARK = (0.5 / 255) ** 2
"""Half a grey level, squared: no error is taken to be smaller."""


def statistics_of(model: VariationalModel, images: Tensor, noise: Tensor) -> Tensor:
    """Six numbers (N, 6) per image, each two-sided: too little is as odd as too much.

    The log of the mean squared error and of its highest mean in a Gaussian window; the divergence of the posterior
    from the prior and −ELBO, in nats; the norms of the posterior's mean and deviations.
    """
    posterior = model.posterior(images)
    squared = (images - model.decode(posterior.mean)).square().mean(1)
    found = bounds.elbo(model, images, noise, posterior)
    each = [
        (squared.flatten(1).mean(1) + _DARK).log(),
        (smoothed(squared).flatten(1).amax(1) + _DARK).log(),
        found.kl,
        -found.nats,
        (posterior.mean.square().sum(1) + 1e-12).sqrt(),  # with a slope at 0
        posterior.log_variance.exp().sum(1).sqrt(),
    ]
    return torch.stack(each, 1)


@dataclass(frozen=True, eq=False)
class Densities(TensorState):
    """A Gaussian kernel density for each of s statistics.

    Args:
        seed: of the noise.
        knots: (m, s), where the kernels stand.
        widths: (s,) of the kernels.
        model: who is asked.
        samples: draws.
    """

    seed: Tensor
    knots: Tensor
    widths: Tensor
    model: VariationalModel
    samples: int

    def __call__(self, images: Tensor) -> Tensor:
        """Minus the sum of the log densities (N,), in nats."""
        images = reduced(images, self.model)
        noise = fixed_noise(self.seed, "statistics", self.samples, self.model, images)
        knots, widths = self.knots.to(images), self.widths.to(images)
        found = statistics_of(self.model, images, noise)
        apart = (found[:, None] - knots) / widths
        log_density = torch.logsumexp(-0.5 * apart.square(), 1) - (widths * len(knots)).log()
        return (0.5 * math.log(2 * math.pi) - log_density).sum(1)


@dataclass(frozen=True)
class Statistics(Score):
    """Minus the sum of the log densities of several statistics of a generator, as if they were independent.

    Morningstar et al., *Density of states estimation for out-of-distribution detection*, AISTATS 2021, with kernel
    densities; the width by Scott's rule. Without the importance-weighted bound, which costs 50 passes. The highest
    error in a window is our addition, for defects that are small.

    Args:
        samples: draws from the posterior, each a pass through the decoder.
    """

    samples: int = 1
    needs: ClassVar[Literal["", "classifier", "generator"]] = "generator"

    def __post_init__(self) -> None:
        at_least_one("statistics", "samples", self.samples)

    def cost(self) -> Cost:
        """The decoder at the posterior's mean, and at each draw."""
        return Cost(1 + self.samples, 0)

    def fit(self, normals: Normals, parts: Parts) -> Densities:
        """The densities over normal images (N, C, H, W)."""
        model = variational_model(parts, normals.shape)
        seed = torch.tensor(normals.seed)
        with torch.no_grad():
            each = []
            for batch in torch.split(normals.images, 64):
                images = reduced(batch, model)
                noise = fixed_noise(seed, "statistics", self.samples, model, images)
                each.append(statistics_of(model, images, noise).cpu())
        found = torch.cat(each).double()
        widths = len(found) ** -0.2 * found.std(0, correction=0)
        least = 1e-3 * found.abs().amax(0).clamp_min(1e-3)  # where all images are equal
        ranks = torch.linspace(0, 1, min(_KNOTS, len(found)), dtype=torch.float64)
        knots = torch.quantile(found, ranks, 0)
        return Densities(seed, knots.float().contiguous(), widths.maximum(least).float(), model, self.samples)

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> Densities:
        """The scorer whose state this is."""
        return Densities(model=variational_model(parts, shape), samples=self.samples, **state)
