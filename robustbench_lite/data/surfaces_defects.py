"""Defects of ``surfaces``: what each does to the relief, the reflectance and the print, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from robustbench_lite.data.surfaces_scene import GLYPHS, Part, Picture

Plane = npt.NDArray[np.float32]

REACH = 0.32
"""Defects are centred within this distance from the middle of the part, along each axis."""


@dataclass
class Change:
    """What a defect does to a picture of (H, W) pixels.

    Args:
        height: added to the relief, as a share of the side; 0: nothing.
        reflectance: factor on the light that the bare surface sends back.
        ink: factor on the print's coverage; 1: whole.
        mask: (H, W) bool, where the defect is.
    """

    height: Plane | float
    reflectance: Plane | float
    ink: Plane | float
    mask: npt.NDArray[np.bool_]


class Grid:
    """The pixels of a picture, in coordinates of the camera (x, y) and of the part (u, v)."""

    def __init__(self, side: int, picture: Picture) -> None:
        self.side = side
        self._angle = math.radians(picture.rotation_deg)
        self._shift = picture.shift_x, picture.shift_y
        line = ((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5).astype(np.float32)
        self.x, self.y = line[None, :], line[:, None]
        cos, sin = math.cos(self._angle), math.sin(self._angle)
        x, y = self.x - np.float32(picture.shift_x), self.y - np.float32(picture.shift_y)
        self.u: Plane = np.float32(cos) * x + np.float32(sin) * y
        self.v: Plane = np.float32(cos) * y - np.float32(sin) * x

    def pixels(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where points (N, 2) of the part are in the picture: columns and rows, the first pixel's middle is 0."""
        cos, sin = math.cos(self._angle), math.sin(self._angle)
        turned = points @ np.array([[cos, sin], [-sin, cos]])
        found: npt.NDArray[np.float64] = (turned + np.array(self._shift) + 0.5) * self.side - 0.5
        return found


def no_change(side: int) -> Change:
    """Of a part without a defect."""
    return Change(0.0, 1.0, 1.0, np.zeros((side, side), bool))


def change_of(part: Part, grid: Grid, print_place: tuple[Plane, Plane]) -> Change:
    """What the part's defect does.

    Args:
        part: with or without a defect.
        grid: of the picture.
        print_place: column, in glyphs, and row (0 to 1) of every pixel within the print, (H, W) each.
    """
    if not part.defect:
        return no_change(grid.side)
    rng = part.stream("defect")
    if part.defect == "missing_print":
        return _missing_print(rng, grid, print_place)
    return {"crack": _crack, "dent": _dent, "scratch": _scratch, "stain": _stain}[part.defect](rng, grid)


def _line(grid: Grid, paths: list[npt.NDArray[np.float64]], widths: list[float]) -> tuple[Plane, Plane]:
    """How much of each pixel lines cover, and how near they are to it, 1 on it to 0 a pixel beside it.

    Args:
        paths: corners (N, 2) in coordinates of the part.
        widths: of each path; narrower than a pixel, it covers a part of it.
    """
    side = grid.side
    cover, near = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for path, width in zip(paths, widths, strict=True):
        corners, half = grid.pixels(path), max(width * side, 1.0) / 2
        most = min(1.0, width * side)
        for (ax, ay), (bx, by) in pairwise(corners):
            left, right = sorted((ax, bx))
            top, bottom = sorted((ay, by))
            pad = half + 1
            rows = slice(max(0, math.floor(top - pad)), max(0, math.ceil(bottom + pad) + 1))
            columns = slice(max(0, math.floor(left - pad)), max(0, math.ceil(right + pad) + 1))
            y = np.arange(side, dtype=np.float32)[rows, None] - ay
            x = np.arange(side, dtype=np.float32)[None, columns] - ax
            if not x.size or not y.size:
                continue
            dx, dy = bx - ax, by - ay
            along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
            inside = half + 0.5 - np.hypot(x - along * dx, y - along * dy)
            np.maximum(cover[rows, columns], np.clip(inside, 0, 1) * most, out=cover[rows, columns])
            np.maximum(near[rows, columns], np.clip(inside + 0.5, 0, 1), out=near[rows, columns])
    return cover, near


def _centre(rng: Generator) -> npt.NDArray[np.float64]:
    return rng.uniform(-REACH, REACH, 2)


def _scratch(rng: Generator, grid: Grid) -> Change:
    """A groove along a slight bend, with bright or dark ground."""
    angle, length = rng.uniform(0, math.pi), rng.uniform(0.15, 0.5)
    width, bend = rng.uniform(0.008, 0.016), rng.uniform(-0.15, 0.15)
    ahead = np.array([math.cos(angle), math.sin(angle)])
    steps = np.linspace(-0.5, 0.5, 9)[:, None]
    path = steps * length * ahead + (0.25 - steps**2) * bend * length * np.array([-ahead[1], ahead[0]])
    path = np.clip(path + _centre(rng), -0.42, 0.42)
    cover, near = _line(grid, [path], [width])
    ground = rng.uniform(0.18, 0.4) * (1 if rng.uniform() < 0.6 else -1)
    return Change(cover * np.float32(-0.25 * width), 1 + cover * np.float32(ground), 1 - 0.7 * cover, near > 0.5)


def _crack(rng: Generator, grid: Grid) -> Change:
    """A thin dark line that turns at every step, with up to two branches."""
    length, width = rng.uniform(0.12, 0.4), rng.uniform(0.005, 0.01)
    path = _walk(rng, _centre(rng), rng.uniform(0, 2 * math.pi), length)
    paths, widths = [path], [width]
    for _ in range(rng.integers(0, 3)):
        start = int(rng.integers(2, len(path) - 2))
        direction = math.atan2(*(path[start + 1] - path[start])[::-1]) + rng.choice([-1, 1]) * rng.uniform(
            0.5, 1.1
        )
        paths.append(_walk(rng, path[start], direction, length * rng.uniform(0.2, 0.5)))
        widths.append(0.7 * width)
    cover, near = _line(grid, paths, widths)
    depth = np.float32(rng.uniform(0.3, 0.6))
    return Change(cover * np.float32(-0.1 * width), 1 - depth * cover, 1.0, near > 0.5)


def _walk(
    rng: Generator, start: npt.NDArray[np.float64], direction: float, length: float
) -> npt.NDArray[np.float64]:
    count = max(4, round(length / 0.02))
    angles = direction + rng.normal(0, 0.25, count).cumsum() * 0.5 + rng.normal(0, 0.45, count)
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * length / count
    path: npt.NDArray[np.float64] = np.clip(np.concatenate([start[None], start + steps.cumsum(0)]), -0.43, 0.43)
    return path


def _dent(rng: Generator, grid: Grid) -> Change:
    """A smooth hollow, round or oval: only its shading shows it."""
    radius, flat, angle = rng.uniform(0.035, 0.1), rng.uniform(0.6, 1), rng.uniform(0, math.pi)
    slope = rng.uniform(0.22, 0.45)  # the steepest
    (u, v), cos, sin = _from(_centre(rng), grid), math.cos(angle), math.sin(angle)
    distance = ((cos * u + sin * v) / radius) ** 2 + ((cos * v - sin * u) / (flat * radius)) ** 2
    bowl = np.square(np.clip(1 - distance, 0, None))  # steepest, 1.54, at 0.58 of the radius
    return Change(bowl.astype(np.float32) * np.float32(-slope * flat * radius / 1.54), 1.0, 1.0, distance < 1)


def _stain(rng: Generator, grid: Grid) -> Change:
    """A spot of irregular outline, darker or (dried) lighter, often with a rim."""
    radius, soft = rng.uniform(0.03, 0.1), rng.uniform(0.15, 0.5)
    u, v = _from(_centre(rng), grid)
    flat, angle = rng.uniform(0.6, 1), rng.uniform(0, math.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    a, b = (cos * u + sin * v) / radius, (cos * v - sin * u) / (flat * radius)
    phi = np.arctan2(b, a)
    outline = np.ones_like(phi)
    for k, size in ((2, 0.18), (3, 0.14), (5, 0.08), (8, 0.05)):
        outline += np.float32(size * rng.uniform(0.3, 1)) * np.cos(k * phi + rng.uniform(0, 2 * math.pi))
    inside = outline - np.hypot(a, b)
    cover = np.clip(inside / soft, 0, 1)
    cover = cover * cover * (3 - 2 * cover)
    rim = 1 - rng.uniform(0, 0.5) * np.clip(inside - soft, 0, 1)
    contrast = -rng.uniform(0.12, 0.4) if rng.uniform() < 0.75 else rng.uniform(0.12, 0.25)
    change = (cover * rim * contrast).astype(np.float32)
    return Change(0.0, 1 + change, 1.0, cover > 0.1)


def _from(centre: npt.NDArray[np.float64], grid: Grid) -> tuple[Plane, Plane]:
    return grid.u - np.float32(centre[0]), grid.v - np.float32(centre[1])


def _missing_print(rng: Generator, grid: Grid, place: tuple[Plane, Plane]) -> Change:
    """One to three neighbouring glyphs are gone or faint, or all of them above or below a line."""
    column, row = place
    left = np.float32(rng.uniform(0, 0.25))
    if rng.uniform() < 0.7:
        count = int(rng.integers(1, 4))
        first = int(rng.integers(0, GLYPHS - count + 1)) - 1 / 12  # from the middle of the gap before it
        lost = (column >= first) & (column < first + count)
    else:
        level, tilt = rng.uniform(0.35, 0.65), rng.uniform(-0.05, 0.05)
        lost = (row - level - tilt * (column - GLYPHS / 2)) * (1 if rng.uniform() < 0.5 else -1) > 0
    lost &= (column > -0.1) & (column < GLYPHS) & (row > -0.1) & (row < 1.1)
    return Change(0.0, 1.0, np.where(lost, left, np.float32(1)), lost)
