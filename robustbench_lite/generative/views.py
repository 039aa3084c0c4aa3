"""What one looks at to know a model with latents: reconstructions, traversals, ways between two images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robustbench_lite.errors import InputError
from robustbench_lite.generative.latent_space import LatentSpace
from robustbench_lite.generative.pixels import Array

PATHS = ("linear", "spherical")
_MOST_GAIN = 64


class Reconstructions(NamedTuple):
    """Images (N, C, H, W), what came back, and the difference around 0.5, amplified by ``gain``."""

    images: npt.NDArray[np.floating]
    reconstructions: Array
    differences: Array
    gain: int


class Traversals(NamedTuple):
    """One latent after the other on its way, all others in the middle.

    ``latents`` (R,) are places, ``importance`` (R,) is theirs, ``values`` (K,) are in standard deviations, and
    ``images`` is (R, K, C, H, W).
    """

    latents: list[int]
    importance: Array
    values: Array
    images: Array


class Interpolation(NamedTuple):
    """From one image to another at ``shares`` (S,): through the latents and by cross-fading, (S, C, H, W) each."""

    path: str
    shares: Array
    latent: Array
    pixels: Array


def reconstruct(space: LatentSpace, images: npt.NDArray[np.floating]) -> Reconstructions:
    """What the model makes of images (N, C, H, W) that it has to describe by its latents.

    The differences are amplified by the largest power of 2, up to 64, that leaves 99 of 100 values inside [0, 1]:
    grey is none, bright is what the image has more than its reconstruction.
    """
    back = space.decode(space.encode(images))
    left = images - back
    reach = float(np.quantile(np.abs(left), 0.99))
    gain = 1
    while gain < _MOST_GAIN and 2 * gain * reach <= 0.5:
        gain *= 2
    return Reconstructions(images, back, (0.5 + gain * left).clip(0, 1), gain)


def traverse(space: LatentSpace, rows: int = 10, columns: int = 7, reach: float = 3.0) -> Traversals:
    """Walk along the latents that matter most, from -reach to reach standard deviations.

    Args:
        space: whose latents.
        rows: how many of them, at the most; the most important first.
        columns: stops on the way.
        reach: in standard deviations.
    """
    if rows < 1 or columns < 2:
        raise InputError(f"{rows} latents with {columns} stops are refused.", "Give at least 1 and 2.")
    weights = space.importance()
    chosen = np.argsort(-weights, kind="stable")[:rows]
    values = np.linspace(-reach, reach, columns)
    stops = np.zeros((len(chosen), columns, space.latents))
    for row, latent in enumerate(chosen):
        stops[row, :, latent] = values
    images = space.decode(stops.reshape(-1, space.latents)).reshape(len(chosen), columns, *space.shape)
    return Traversals([int(i) for i in chosen], weights[chosen], values, images)


def interpolate(
    space: LatentSpace,
    first: npt.NDArray[np.floating],
    second: npt.NDArray[np.floating],
    steps: int = 9,
    path: str | None = None,
) -> Interpolation:
    """Go from one image (C, H, W) to another, through the latents and through the pixels.

    Args:
        space: whose latents.
        first: where the way begins; its reconstruction is the first image.
        second: where it ends.
        steps: images on the way, with both ends.
        path: ``linear`` or ``spherical``; by default spherical where the prior of a network's latents is a
            standard normal distribution, which has next to no mass in the middle of a straight line: White,
            *Sampling generative networks*, arXiv:1609.04468, 2016.
    """
    path = path or space.path
    if path not in PATHS:
        raise InputError(f"path {path!r} is unknown.", f"Give {' or '.join(PATHS)}.")
    if steps < 2:
        raise InputError(f"{steps} steps are refused.", "Give at least 2.")
    shares = np.linspace(0, 1, steps)
    ends = np.stack([first, second])
    start, end = space.encode(ends)
    weights = _spherical(start, end, shares) if path == "spherical" else np.stack([1 - shares, shares], axis=1)
    fade = np.stack([1 - shares, shares], axis=1) @ ends.reshape(2, -1).astype(np.float64)
    return Interpolation(
        path, shares, space.decode(weights @ np.stack([start, end])), fade.reshape(steps, *np.shape(first))
    )


def _spherical(start: Array, end: Array, shares: Array) -> Array:
    """Weights (S, 2) of both ends along the great circle; along the line where there is no one circle."""
    lengths = float(np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(start @ end / lengths, -1, 1)) if lengths > 0 else 0.0
    if np.sin(angle) < 1e-6:
        return np.stack([1 - shares, shares], axis=1)
    return np.sin(np.stack([1 - shares, shares], axis=1) * angle) / np.sin(angle)
