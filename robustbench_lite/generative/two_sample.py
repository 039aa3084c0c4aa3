"""Are samples told apart from real images? By a classifier that tries to, and by a kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng
from sklearn.decomposition import PCA as PrincipalComponents
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustbench_lite.errors import InputError
from robustbench_lite.generative.density import LEAST_VARIANCE
from robustbench_lite.generative.pixels import Array, rows
from robustbench_lite.intervals import proportion_interval
from robustbench_lite.rng import stable_hash

FEWEST, MOST = 20, 500
"""Images on each side: with fewer the interval spans nearly everything, more make the wait longer than the answer
better."""
AXES, FOLDS = 20, 5
_WIDER = math.sqrt(1 + FOLDS / (FOLDS - 1))
"""Deviation of a cross-validated accuracy over that of as many independent images: 1/J + n₂/n₁ in place of 1/J."""


@dataclass(frozen=True)
class Comparison:
    """How far two sets of images are told apart.

    Args:
        accuracy: of the classifier on images that it was not fitted to; 0.5 is guessing, 1 means always.
        ci_low: end of the 95 % interval.
        ci_high: the other end.
        kid: squared maximum mean discrepancy, unbiased: around 0 for equal distributions, also below.
    """

    accuracy: float
    ci_low: float
    ci_high: float
    kid: float


@dataclass(frozen=True)
class TwoSample:
    """Samples of several models against the same real images.

    Args:
        n: images on each side of each comparison.
        features: in words: what the images are compared by.
        floor: real against other real images.
        models: real against samples, by name.
    """

    n: int
    features: str
    floor: Comparison
    models: dict[str, Comparison]


class PrincipalFeatures:
    """Coordinates of images along the leading principal axes of the training images, and the distance from them.

    Each has about variance 1 on the training images; the distance is the logarithm of the mean square. Values are
    rounded to 8 bits first, as stored images are: otherwise the rounding alone gives samples away.

    Args:
        images: (N, C, H, W) in [0, 1], at least two that differ.
    """

    def __init__(self, images: npt.NDArray[np.floating]) -> None:
        values = self._rounded(images)
        count = min(AXES, len(values) - 1, values.shape[1])
        # A fixed start, so that equal images give equal axes.
        self._axes = PrincipalComponents(count, whiten=True, svd_solver="randomized", random_state=0).fit(values)
        self.name = f"{count} principal axes and the distance from them"
        distances = self._distances(values, self._axes.transform(values))
        self._middle, self._spread = float(distances.mean()), float(distances.std()) or 1.0

    def __call__(self, images: npt.NDArray[np.floating]) -> Array:
        """Features (N, k + 1) of images."""
        values = self._rounded(images)
        coordinates: Array = self._axes.transform(values)
        distances = (self._distances(values, coordinates) - self._middle) / self._spread
        return np.concatenate([coordinates, distances[:, None]], axis=1)

    def _distances(self, values: Array, coordinates: Array) -> Array:
        left: Array = ((values - self._axes.inverse_transform(coordinates)) ** 2).mean(axis=1)
        return np.log(left + LEAST_VARIANCE)

    @staticmethod
    def _rounded(images: npt.NDArray[np.floating]) -> Array:
        return np.round(rows(images) * 255) / 255


def compare_samples(
    train: npt.NDArray[np.floating],
    held_out: npt.NDArray[np.floating],
    samplers: Mapping[str, Callable[[int], npt.NDArray[np.floating]]],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> TwoSample:
    """Real images that no model has seen against samples, and one half of them against the other as the floor.

    Args:
        train: (N, C, H, W) in [0, 1], which give the axes.
        held_out: other images; each side of a comparison has at most half of them, and at most 500.
        samplers: how many → images, by the name of the model.
        groups: one per image held out; pictures of one part stay on one side and in one fold.
        seed: of the halves and of the folds.

    Raises:
        InputError: too few images held out.
    """
    first, second = _halves(groups or [str(i) for i in range(len(held_out))], seed)
    n = min(len(first), len(second), MOST)
    if n < FEWEST:
        raise InputError(
            f"{len(held_out)} images held out are too few for a two-sample test.", f"Give {2 * FEWEST} at least."
        )
    features = PrincipalFeatures(train)
    first, second = first[:n], second[:n]
    real, of = features(held_out[first]), None if groups is None else [groups[i] for i in first]
    other = None if groups is None else [groups[i] for i in second]
    return TwoSample(
        n,
        features.name,
        compare(real, features(held_out[second]), of, other, seed=seed),
        {name: compare(real, features(draw(n)), of, None, seed=seed) for name, draw in samplers.items()},
    )


def compare(
    first: Array,
    second: Array,
    first_groups: Sequence[str] | None = None,
    second_groups: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Comparison:
    """Two sets of features (N, k) and (M, k).

    The classifier two-sample test of Lopez-Paz & Oquab, *Revisiting classifier two-sample tests*, ICLR 2017:
    logistic regression on the features and their squares, five folds. The interval is that of independent images
    (or groups), widened by half because the folds are not: Nadeau & Bengio, *Inference for the generalization
    error*, Machine Learning 52, 2003.
    """
    values = np.concatenate([first, second])
    labels = np.repeat([0, 1], [len(first), len(second)])
    groups = np.array([*_named("a", first_groups, len(first)), *_named("b", second_groups, len(second))])
    values = np.concatenate([values, values**2], axis=1)
    right = np.zeros(len(labels))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=_random_state(seed))
    for fitted, kept in folds.split(values, labels, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        right[kept] = model.fit(values[fitted], labels[fitted]).predict(values[kept]) == labels[kept]
    grouped = first_groups is not None or second_groups is not None
    accuracy, ends = float(right.mean()), proportion_interval(right, groups if grouped else None)
    low, high = (min(1.0, max(0.0, accuracy + _WIDER * (end - accuracy))) for end in ends)
    return Comparison(accuracy, low, high, kernel_distance(first, second))


def kernel_distance(first: Array, second: Array) -> float:
    """The squared maximum mean discrepancy of features (N, k) and (M, k), unbiased, with the kernel (x·y/k + 1)³.

    Bińkowski et al., *Demystifying MMD GANs*, ICLR 2018, who use it with features of Inception; with others the
    numbers do not compare with theirs.
    """

    def kernel(a: Array, b: Array) -> Array:
        return (a @ b.T / a.shape[1] + 1) ** 3  # type: ignore[no-any-return]

    def within(a: Array) -> float:
        products = kernel(a, a)
        return float((products.sum() - np.trace(products)) / (len(a) * (len(a) - 1)))

    return within(first) + within(second) - 2 * float(kernel(first, second).mean())


def _halves(groups: Sequence[str], seed: int) -> tuple[list[int], list[int]]:
    """Places of two halves at random; a group goes to that half which is smaller so far."""
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    halves: tuple[list[int], list[int]] = ([], [])
    order = default_rng(_random_state(seed)).permutation(len(members))
    for group in [list(members)[i] for i in order]:
        min(halves, key=len).extend(members[group])
    return halves


def _named(side: str, groups: Sequence[str] | None, count: int) -> list[str]:
    return [f"{side}{group}" for group in (groups if groups is not None else range(count))]


def _random_state(seed: int) -> int:
    return stable_hash(seed, "two-sample") % 2**32
