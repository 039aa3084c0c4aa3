"""Density models of whole images, fitted in closed form or by EM with scikit-learn. No network, no training loop.

All say the log density of the *continuous* values in nats per image. Nothing is dequantised: stored images take a
few hundred values, so a density that is narrow enough there has no upper limit, and the numbers compare models
on the same images only. ``gaussian``, ``pca`` and ``mixture`` are densities on all of R^D: what they place
outside [0, 1] is lost to them, and samples are clipped.
"""

from __future__ import annotations

import logging
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.decomposition import PCA as PrincipalComponents
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.generative.fitted import (
    Axes,
    GaussianDensity,
    HistogramDensity,
    MixtureDensity,
    as_array,
    bin_of,
)
from robustbench_lite.generative.pixels import Array, Shape, rows, times
from robustbench_lite.rng import stable_hash

LEAST_VARIANCE = 1 / (12 * 255**2)
"""Variance of rounding to 8 bit. No direction is taken to vary less: a pixel that is black in every image would
otherwise have a density without limit."""

PSEUDO_COUNT = 0.5
"""Added to every bin of a histogram, so that no value is impossible. Krichevsky & Trofimov, *The performance of
universal encoding*, IEEE Transactions on Information Theory 27(2), 1981."""

MOST_VALUES_GAUSSIAN = 1024
"""32×32 grey. The axes of a full covariance cost D³ operations: a second here, half a minute at 3072."""

_EXACT_WORK = 1e10
"""Up to N·D·min(N, D) of this the principal axes are exact (seconds); beyond, randomised with seven iterations."""

_MOST_ROUNDS = 200  # of EM

_log = logging.getLogger(__name__)


class Density(Protocol):
    """A fitted model of images."""

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""

    def log_likelihood(self, images: npt.NDArray[np.floating]) -> Array:
        """Nats per image (N,) of images (N, C, H, W) in [0, 1]: the log of the continuous density."""

    def sample(self, n: int, seed: int = 0) -> Array:
        """Images (n, C, H, W) clipped to [0, 1]; the i-th depends on the seed and on i only."""

    def state(self) -> dict[str, Tensor]:
        """All that was found out in fitting, for ``Generator.restore``: contiguous tensors by name."""


class Generator(Protocol):
    """A model to be fitted: a frozen dataclass, whose fields are the arguments of its spec."""

    kind: ClassVar[str] = "generator"

    @abstractmethod
    def check(self, count: int, shape: Shape) -> None:
        """Raise InputError if it cannot be fitted to so many images (C, H, W)."""

    @abstractmethod
    def fit(self, images: npt.NDArray[np.floating], seed: int = 0) -> Density:
        """Fit to images (N, C, H, W) in [0, 1]."""

    @abstractmethod
    def restore(self, state: dict[str, Tensor], shape: Shape) -> Density:
        """The model whose ``state`` this is, for images (C, H, W); it says the same to the last bit.

        Raises:
            KeyError: a tensor is missing.
        """


@dataclass(frozen=True)
class Histogram(Generator):
    """Every pixel on its own, as a histogram: what a model knows that knows no structure.

    Args:
        bins: of equal width on [0, 1]; the density is at most this, per value.
    """

    bins: int = 16

    def __post_init__(self) -> None:
        _check_field("histogram", "bins", self.bins)

    def check(self, count: int, shape: Shape) -> None:
        _check_count(count)

    def fit(self, images: npt.NDArray[np.floating], seed: int = 0) -> HistogramDensity:
        """Fit to images (N, C, H, W) in [0, 1]. The seed changes nothing."""
        values, shape = _checked(self, images)
        dimensions = values.shape[1]
        places = bin_of(values, self.bins) + np.arange(dimensions) * self.bins
        found = np.bincount(places.ravel(), minlength=dimensions * self.bins).reshape(dimensions, self.bins)
        counts = found.astype(np.float64) + PSEUDO_COUNT
        return HistogramDensity(shape, counts / counts.sum(1, keepdims=True))

    def restore(self, state: dict[str, Tensor], shape: Shape) -> HistogramDensity:
        """The model whose state this is."""
        return HistogramDensity(shape, as_array(state["probabilities"]))


@dataclass(frozen=True)
class Gaussian(Generator):
    """A normal distribution with a full covariance, shrunk towards a multiple of the identity.

    Ledoit & Wolf, *A well-conditioned estimator for large-dimensional covariance matrices*, Journal of
    Multivariate Analysis 88(2), 2004. Up to 1024 values per image.

    Args:
        shrink: by how much follows from the images; false leaves the covariance as it is counted, which takes
            more images than values.
    """

    shrink: bool = True

    def check(self, count: int, shape: Shape) -> None:
        _check_count(count)
        dimensions = int(np.prod(shape))
        if dimensions > MOST_VALUES_GAUSSIAN:
            raise InputError(
                f"gaussian goes up to {MOST_VALUES_GAUSSIAN} values per image; {times(shape)} is {dimensions}.",
                "Take pca, or smaller images (--input-size).",
            )
        if not self.shrink and count <= dimensions:
            raise InputError(
                f"gaussian(shrink=false) needs more images than values; here are {count} and {dimensions}.",
                "Leave shrink=false out.",
            )

    def fit(self, images: npt.NDArray[np.floating], seed: int = 0) -> GaussianDensity:
        """Fit to images (N, C, H, W) in [0, 1]. The seed changes nothing."""
        values, shape = _checked(self, images)
        _check_differ(values)
        estimate = (LedoitWolf if self.shrink else EmpiricalCovariance)(store_precision=False).fit(values)
        variances, directions = np.linalg.eigh(estimate.covariance_)
        axes = Axes(estimate.location_, directions.T, variances.clip(LEAST_VARIANCE), LEAST_VARIANCE)
        return GaussianDensity(shape, axes)

    def restore(self, state: dict[str, Tensor], shape: Shape) -> GaussianDensity:
        """The model whose state this is."""
        return GaussianDensity(shape, Axes.restore(state))


@dataclass(frozen=True)
class PCA(Generator):
    """Probabilistic PCA: a normal distribution with a few free axes, and one variance for all the others.

    Tipping & Bishop, *Probabilistic principal component analysis*, Journal of the Royal Statistical Society B
    61(3), 1999; variances are divided by N - 1, as scikit-learn does. For images of many values.

    Args:
        components: number of axes, fewer than images and at most as many as values.
    """

    components: int = 20

    def __post_init__(self) -> None:
        _check_field("pca", "components", self.components)

    def check(self, count: int, shape: Shape) -> None:
        _check_axes("pca", "components", self.components, count, shape)

    def fit(self, images: npt.NDArray[np.floating], seed: int = 0) -> GaussianDensity:
        """Fit to images (N, C, H, W) in [0, 1]. The seed matters only where the axes are found by chance."""
        values, shape = _checked(self, images)
        return GaussianDensity(shape, _principal_axes(values, self.components, seed))

    def restore(self, state: dict[str, Tensor], shape: Shape) -> GaussianDensity:
        """The model whose state this is."""
        return GaussianDensity(shape, Axes.restore(state))


@dataclass(frozen=True)
class Mixture(Generator):
    """A mixture of normal distributions on the principal axes, and one variance for all the others.

    Fitted by EM from k-means (scikit-learn's GaussianMixture), at most 200 rounds.

    Args:
        components: of the mixture, each with a mean and a full covariance of its own.
        axes: principal axes, fewer than images and at most as many as values.
    """

    components: int = 10
    axes: int = 20

    def __post_init__(self) -> None:
        _check_field("mixture", "components", self.components)
        _check_field("mixture", "axes", self.axes)

    def check(self, count: int, shape: Shape) -> None:
        _check_axes("mixture", "axes", self.axes, count, shape)
        if self.components > count:
            raise InputError(
                f"mixture(components={self.components}) needs as many images; here are {count}.",
                "Take fewer components.",
            )

    def fit(self, images: npt.NDArray[np.floating], seed: int = 0) -> MixtureDensity:
        """Fit to images (N, C, H, W) in [0, 1]. Another seed may end in another mixture."""
        values, shape = _checked(self, images)
        axes = _principal_axes(values, self.axes, seed)
        mixture = GaussianMixture(
            self.components,
            reg_covar=LEAST_VARIANCE,
            max_iter=_MOST_ROUNDS,
            random_state=_random_state("mixture", seed),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said below, in our words
            mixture.fit(axes.split(values)[0])
        if not mixture.converged_:
            _log.warning("warning: the mixture has not settled after %d rounds.", mixture.max_iter)
        return MixtureDensity(shape, axes, mixture.weights_, mixture.means_, mixture.covariances_)

    def restore(self, state: dict[str, Tensor], shape: Shape) -> MixtureDensity:
        """The model whose state this is."""
        own = (as_array(state[name]) for name in ("weights", "means", "covariances"))
        return MixtureDensity(shape, Axes.restore(state), *own)


def _principal_axes(values: Array, count: int, seed: int) -> Axes:
    """The axes of largest variance, and the mean variance along all others."""
    _check_differ(values)
    images, dimensions = values.shape
    exact = images * dimensions * min(images, dimensions) <= _EXACT_WORK
    found = PrincipalComponents(
        count,
        svd_solver="full" if exact else "randomized",
        iterated_power=7,
        random_state=_random_state("axes", seed),
    ).fit(values)
    variances = found.explained_variance_
    # Over D - k as in the paper. scikit-learn divides by min(N, D) - k, which differs for few images.
    left = values.var(axis=0, ddof=1).sum() - variances.sum()
    rest = left / (dimensions - count) if count < dimensions else 0.0
    return Axes(found.mean_, found.components_, variances.clip(LEAST_VARIANCE), float(max(rest, LEAST_VARIANCE)))


def _random_state(name: str, seed: int) -> int:
    return stable_hash(seed, name) % 2**32


def _checked(model: Generator, images: npt.NDArray[np.floating]) -> tuple[Array, Shape]:
    values = rows(images)
    _, channels, height, width = np.shape(images)
    model.check(len(values), (channels, height, width))
    return values, (channels, height, width)


def _check_field(name: str, field: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{name}: {field}={value} is out of range.", "It must be at least 1.")


def _check_count(count: int) -> None:
    if count < 2:
        raise InputError(f"{count} image is too few to fit a density.", "Give at least 2.")


def _check_axes(name: str, field: str, asked: int, count: int, shape: Shape) -> None:
    _check_count(count)
    most = min(count - 1, int(np.prod(shape)))
    if asked > most:
        raise InputError(
            f"{name}({field}={asked}) is more than {count} images of {times(shape)} can tell apart.",
            f"Take {name}({field}={most}) at the most.",
        )


def _check_differ(values: Array) -> None:
    if not (values != values[0]).any():
        raise InputError(f"all {len(values)} images are the same.", "A density needs images that differ.")
