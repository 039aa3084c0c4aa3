"""Densities that were fitted to images: what they say of an image, and images drawn from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator as Random
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from torch import Tensor

from robustbench_lite.generative.pixels import Array, Shape, as_images, draws, rows

_LOG_2PI = math.log(2 * math.pi)


def as_tensor(values: Array | float) -> Tensor:
    """A copy as float64, contiguous, to be written into a file."""
    return torch.from_numpy(np.array(values, dtype=np.float64, order="C"))


def as_array(tensor: Tensor) -> Array:
    """The inverse of ``as_tensor``."""
    values: Array = tensor.detach().cpu().numpy().astype(np.float64)
    return values


def bin_of(values: Array, bins: int) -> npt.NDArray[np.int64]:
    """Which of the equal bins of [0, 1] a value falls into; 1 belongs to the last."""
    return np.minimum(values * bins, bins - 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class HistogramDensity:
    """Every value on its own, with a density that is constant in each bin.

    Args:
        shape: (C, H, W) of an image.
        probabilities: (D, bins), each row sums to 1.
    """

    shape: Shape
    probabilities: Array

    def log_likelihood(self, images: npt.NDArray[np.floating]) -> Array:
        """Nats per image (N,) of images (N, C, H, W) in [0, 1]."""
        values = rows(images, self.shape)
        bins = self.probabilities.shape[1]
        log_density: Array = np.log(self.probabilities * bins)
        each: Array = log_density[np.arange(values.shape[1]), bin_of(values, bins)]
        return each.sum(axis=1)  # type: ignore[no-any-return]

    def state(self) -> dict[str, Tensor]:
        """All that was counted, for ``Histogram.restore``."""
        return {"probabilities": as_tensor(self.probabilities)}

    def sample(self, n: int, seed: int = 0) -> Array:
        """Images (n, C, H, W)."""
        dimensions, bins = self.probabilities.shape
        above = self.probabilities.cumsum(1)[:, :-1]

        def draw(random: Random) -> Array:
            chosen = (random.random((dimensions, 1)) >= above).sum(1)
            return (chosen + random.random(dimensions)) / bins  # type: ignore[no-any-return]

        return as_images(draws(n, seed, "histogram", draw), self.shape)


@dataclass(frozen=True, eq=False)
class Axes:
    """Directions in which images differ, and the same small variance in all directions across them.

    Args:
        mean: (D,) of the images.
        directions: (k, D), orthonormal.
        variances: (k,) of the images along them.
        rest: variance along each of the other D - k directions.
    """

    mean: Array
    directions: Array
    variances: Array
    rest: float

    def __post_init__(self) -> None:
        # One layout in memory: products of the same numbers laid out otherwise differ in their last bits, and axes
        # read from a file must give the numbers of those that were written.
        object.__setattr__(self, "directions", np.ascontiguousarray(self.directions))

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> Axes:
        """The axes whose state this is."""
        return cls(
            as_array(state["mean"]),
            as_array(state["directions"]),
            as_array(state["variances"]),
            float(state["rest"]),
        )

    def state(self) -> dict[str, Tensor]:
        """The four fields by name."""
        return {
            "mean": as_tensor(self.mean),
            "directions": as_tensor(self.directions),
            "variances": as_tensor(self.variances),
            "rest": as_tensor(self.rest),
        }

    def split(self, values: Array) -> tuple[Array, Array]:
        """Coordinates (N, k), and the log density (N,) of what they leave over."""
        centred = values - self.mean
        coordinates = centred @ self.directions.T
        others = self.directions.shape[1] - len(self.directions)
        left = ((centred - coordinates @ self.directions) ** 2).sum(1) if others else np.zeros(len(values))
        return coordinates, -0.5 * (others * (_LOG_2PI + math.log(self.rest)) + left / self.rest)

    def join(self, coordinates: Array, noise: Array) -> Array:
        """Values (D,) with these coordinates (k,) and with standard normal noise (D,) across."""
        across = noise - self.directions.T @ (self.directions @ noise)
        return self.mean + self.directions.T @ coordinates + math.sqrt(self.rest) * across


@dataclass(frozen=True, eq=False)
class GaussianDensity:
    """A normal distribution, by the axes of its covariance. O(k·D) per image; no D×D matrix."""

    shape: Shape
    axes: Axes

    def log_likelihood(self, images: npt.NDArray[np.floating]) -> Array:
        """Nats per image (N,) of images (N, C, H, W) in [0, 1]."""
        coordinates, rest = self.axes.split(rows(images, self.shape))
        variances = self.axes.variances
        return rest - 0.5 * (_LOG_2PI + np.log(variances) + coordinates**2 / variances).sum(1)  # type: ignore[no-any-return]

    def state(self) -> dict[str, Tensor]:
        """All that was found, for the ``restore`` of the class that fitted it."""
        return self.axes.state()

    def sample(self, n: int, seed: int = 0) -> Array:
        """Images (n, C, H, W), clipped to [0, 1]."""
        deviations = np.sqrt(self.axes.variances)

        def draw(random: Random) -> Array:
            along, across = random.standard_normal(len(deviations)), random.standard_normal(len(self.axes.mean))
            return self.axes.join(deviations * along, across)

        return as_images(draws(n, seed, "gaussian", draw), self.shape)


@dataclass(frozen=True, eq=False)
class MixtureDensity:
    """A mixture of normal distributions of the coordinates, times normal noise across.

    Args:
        shape: (C, H, W) of an image.
        axes: what the k coordinates are.
        weights: (M,) of the M parts; they sum to 1.
        means: (M, k) of the coordinates.
        covariances: (M, k, k) of the coordinates.
    """

    shape: Shape
    axes: Axes
    weights: Array
    means: Array
    covariances: Array

    def log_likelihood(self, images: npt.NDArray[np.floating]) -> Array:
        """Nats per image (N,) of images (N, C, H, W) in [0, 1]."""
        coordinates, rest = self.axes.split(rows(images, self.shape))
        parts = []
        for weight, mean, root in zip(self.weights, self.means, self._roots(), strict=True):
            whitened = solve_triangular(root, (coordinates - mean).T, lower=True)
            volume = np.log(np.diag(root)).sum()
            parts.append(np.log(weight) - volume - 0.5 * (len(mean) * _LOG_2PI + (whitened**2).sum(0)))
        total: Array = logsumexp(parts, axis=0)
        return rest + total

    def sample(self, n: int, seed: int = 0) -> Array:
        """Images (n, C, H, W), clipped to [0, 1]."""
        above, roots = self.weights.cumsum()[:-1], self._roots()

        def draw(random: Random) -> Array:
            chosen = int((random.random() >= above).sum())
            along, across = random.standard_normal(roots.shape[1]), random.standard_normal(len(self.axes.mean))
            return self.axes.join(self.means[chosen] + roots[chosen] @ along, across)

        return as_images(draws(n, seed, "mixture", draw), self.shape)

    def state(self) -> dict[str, Tensor]:
        """All that was found, for ``Mixture.restore``."""
        own = {"weights": self.weights, "means": self.means, "covariances": self.covariances}
        return {**self.axes.state(), **{name: as_tensor(values) for name, values in own.items()}}

    def _roots(self) -> Array:
        return np.linalg.cholesky(self.covariances).astype(np.float64)
