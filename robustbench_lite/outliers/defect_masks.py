"""Where a made-up defect is: strokes, blobs, patches, stains, bands, chips, as soft masks.

The kinds, their shares and their sizes were chosen on photographs of magnetic tiles: the network that was trained
with these found real defects best. Lengths are pixels of an image of 128 and scale with its side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image, ImageDraw

Array = npt.NDArray[np.float32]
Random = Generator
Points = npt.NDArray[np.float64]

_FINER = 4  # masks are drawn so many times larger, for soft edges
_TO_BORDER = 0.3  # share of strokes and blobs that lie at the border, where parts break


def random_mask(side: int, random: Random) -> Array:
    """One mask (side, side) in [0, 1] of a random kind; it may be empty."""
    kinds, shares = zip(*_KINDS, strict=True)
    kind: Callable[[int, Random], Array] = kinds[random.choice(len(kinds), p=shares)]
    return kind(side, random)


def _stroke(side: int, random: Random) -> Array:
    """A random walk: scratches, cracks, fibres."""
    unit = side / 128
    steps = int(random.integers(6, 41))
    turns = random.normal(0, _log_uniform(0.03, 0.6, random), steps)
    angles = random.uniform(0, 2 * math.pi) + np.cumsum(turns)
    lengths = unit * random.uniform(1.5, 4, steps)
    path = np.cumsum(np.stack([lengths * np.cos(angles), lengths * np.sin(angles)], 1), 0)
    path += _place(side, random) - path[random.integers(steps)]
    thickness = max(1.0, unit * random.uniform(1, 3))
    return _drawn(
        side, lambda draw: draw.line(_flat(path), fill=255, width=round(_FINER * thickness), joint="curve")
    )


def _blob(side: int, random: Random) -> Array:
    """An ellipse with a wobbly outline: holes, stains, inclusions."""
    radius = max(1.0, _log_uniform(1.3, 16, random) * side / 128)
    return _filled(side, _outline(radius, random) + _place(side, random))


def _rectangle(side: int, random: Random) -> Array:
    """A turned rectangle: foreign bodies, labels, missing pieces."""
    sizes = np.maximum(1.0, [_log_uniform(1, 16, random) * side / 128 for _ in range(2)])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * sizes
    return _filled(side, corners @ _turn(random) + _place(side, random, to_border=0))


def _stain(side: int, random: Random) -> Array:
    """The highest values of smooth noise: corrosion, residues."""
    coarse = int(random.integers(3, 9))
    field = smooth_noise(side, coarse, random) + 0.5 * smooth_noise(side, 2 * coarse, random)
    level = np.quantile(field, 1 - random.uniform(0.01, 0.14))
    mask: Array = np.clip((field - level) / 0.1 + 0.5, 0, 1).astype(np.float32)
    return mask


def _band(side: int, random: Random) -> Array:
    """A half plane or a band across the image: misplaced parts, light leaks."""
    width = 2 * side if random.random() < 0.5 else random.uniform(4, 32) * side / 128
    corners = np.array([[-2 * side, 0], [2 * side, 0], [2 * side, width], [-2 * side, width]])
    return _filled(side, corners @ _turn(random) + random.uniform(0.1, 0.9, 2) * side)


def _chip(side: int, random: Random) -> Array:
    """A piece broken from the border."""
    radius = max(1.5, _log_uniform(4, 20, random) * side / 128)
    return _filled(side, _outline(radius, random) + _place(side, random, to_border=1))


_KINDS: tuple[tuple[Callable[[int, Random], Array], float], ...] = (
    (_stroke, 0.30),
    (_blob, 0.22),
    (_rectangle, 0.20),
    (_stain, 0.14),
    (_chip, 0.08),
    (_band, 0.06),
)


def smooth_noise(side: int, cells: int, random: Random) -> Array:
    """Normal noise of so many cells along each side, interpolated to (side, side)."""
    grid = Image.fromarray(random.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))


def _outline(radius: float, random: Random) -> Points:
    """Points around the origin."""
    angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    radii = np.full(24, radius)
    for harmonic in (2, 3, 5):
        radii *= 1 + random.uniform(0, 0.5 / harmonic) * np.cos(harmonic * angles + random.uniform(0, 2 * math.pi))
    points = np.stack([radii * np.cos(angles), random.uniform(0.4, 1) * radii * np.sin(angles)], 1)
    return points @ _turn(random)


def _place(side: int, random: Random, to_border: float = _TO_BORDER) -> Points:
    place = random.uniform(0, side, 2)
    if random.random() < to_border:
        place[random.integers(2)] = side * random.integers(2)
    return place


def _turn(random: Random) -> Points:
    angle = random.uniform(0, 2 * math.pi)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _log_uniform(low: float, high: float, random: Random) -> float:
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _flat(points: Points) -> list[float]:
    flat: list[float] = (_FINER * points).ravel().tolist()
    return flat


def _filled(side: int, points: Points) -> Array:
    return _drawn(side, lambda draw: draw.polygon(_flat(points), fill=255))


def _drawn(side: int, draw: Callable[[ImageDraw.ImageDraw], None]) -> Array:
    canvas = Image.new("L", (_FINER * side,) * 2)
    draw(ImageDraw.Draw(canvas))
    mask: Array = np.asarray(canvas.reduce(_FINER)).astype(np.float32) / np.float32(255)
    return mask
