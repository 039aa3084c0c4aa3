"""What every model of images needs: images as rows of values, and a random stream per sample."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.random import Generator as Random
from numpy.random import default_rng

from robustbench_lite.errors import InputError
from robustbench_lite.rng import stable_hash

Array = npt.NDArray[np.float64]
Shape = tuple[int, int, int]


def rows(images: npt.NDArray[np.floating], shape: Shape | None = None) -> Array:
    """Images (N, C, H, W) in [0, 1] as (N, C·H·W) float64.

    Args:
        images: the images.
        shape: the (C, H, W) that they must have, or None.

    Raises:
        InputError: another number of axes, another shape, whole numbers, or values outside [0, 1].
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.size == 0:
        raise InputError(f"images of shape {images.shape} are refused.", "Give them as N×C×H×W.")
    if not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"images of type {images.dtype} are refused.", "Give floats in [0, 1].")
    if shape is not None and images.shape[1:] != shape:
        raise InputError(
            f"images of {times(images.shape[1:])} do not fit a model of {times(shape)}.", "Fit one to such images."
        )
    if not (images.min() >= 0 and images.max() <= 1):  # so that NaN is refused as well
        raise InputError("the images hold values outside [0, 1].", "Scale them.")
    return images.reshape(len(images), -1).astype(np.float64)


def times(shape: tuple[int, ...]) -> str:
    """A shape for people: 3×32×32."""
    return "×".join(map(str, shape))


def draws(n: int, seed: int, model: str, draw: Callable[[Random], Array]) -> Array:
    """One row per sample, each from a stream of its own: sample 3 is the same among 4 and among 400.

    Raises:
        InputError: fewer than one sample is asked for.
    """
    if n < 1:
        raise InputError(f"{n} samples are refused.", "Ask for at least 1.")
    return np.stack([draw(default_rng(stable_hash(seed, model, i))) for i in range(n)])


def as_images(values: Array, shape: Shape) -> Array:
    """Rows of values as images (N, C, H, W), clipped to [0, 1]."""
    return values.clip(0, 1).reshape(-1, *shape)


def bits_per_dim(nats: float, dimensions: int) -> float:
    """A log likelihood in nats per image as bits per dimension: -nats / (D ln 2); lower is better.

    >>> round(bits_per_dim(-64 * math.log(2), 64), 12)
    1.0
    """
    return -nats / (dimensions * math.log(2))
