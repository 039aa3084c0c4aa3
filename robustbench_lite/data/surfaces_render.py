"""How a picture of ``surfaces`` is drawn: relief and reflectance of the part, light, lens, noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from robustbench_lite.data.surfaces_defects import Grid, Plane, change_of, no_change
from robustbench_lite.data.surfaces_scene import GLYPHS, Part, Picture

_HALF, _CORNER, _BEVEL = 0.465, 0.05, 0.02  # of the plate
_HOLES, _HOLE = ((-0.375, -0.375), (0.375, -0.375)), 0.035
_PRINT_LEFT, _PRINT_TOP, _GLYPH = (
    -0.26,
    0.27,
    0.52 / GLYPHS,
)  # the print's corner, the width of a glyph and its gap
_CELLS = 7  # a glyph is 5 × 7 cells, with one free cell on the right, and the print is 7 cells high
_BELT = 0.3  # reflectance of what the part lies on
# The digits, a row of five bits after the other.
_FONT = (
    (14, 17, 19, 21, 25, 17, 14),
    (4, 12, 4, 4, 4, 4, 14),
    (14, 17, 1, 6, 8, 16, 31),
    (31, 2, 4, 2, 1, 17, 14),
    (2, 6, 10, 18, 31, 2, 2),
    (31, 16, 30, 1, 1, 17, 14),
    (6, 8, 16, 30, 17, 17, 14),
    (31, 1, 2, 4, 8, 8, 8),
    (14, 17, 17, 14, 17, 17, 14),
    (14, 17, 17, 15, 1, 2, 12),
)


def draw(part: Part, picture: Picture, side: int, *, with_defect: bool = True, noise: bool = True) -> Plane:
    """The grey picture (H, W), float32 in [0, 1].

    Args:
        part: what is seen.
        picture: how.
        side: height and width in pixels.
        with_defect: False draws the same part as it would be without its defect.
        noise: False leaves out the camera's noise.
    """
    grid = Grid(side, picture)
    place = _print_place(part, grid)
    change = change_of(part, grid, place) if with_defect else no_change(side)
    light = _light(picture)
    outside, plate = _plate(grid)
    ink = np.float32(part.ink) * _glyphs(part.text, place) * change.ink
    tone = np.float32(part.tone) * (1 + _texture(part, picture, grid)) * change.reflectance * (1 - ink)
    height = plate + change.height
    slope = np.zeros((side, side), np.float32)
    slope[:, 1:-1] = (height[:, 2:] - height[:, :-2]) * np.float32(light[0] * side / 2)
    slope[1:-1] += (height[2:] - height[:-2]) * np.float32(light[1] * side / 2)
    surface = tone * np.clip(1 - slope, 0.25, 1.9)
    surface += np.float32(_BELT * part.tone) * outside - surface * outside
    surface *= _illumination(part, picture, grid)
    surface = _blurred(surface, np.float32(picture.blur))
    if noise:
        grain = part.stream(f"noise {picture.number}").standard_normal((side, side), np.float32)
        surface += grain * np.float32(picture.noise) * np.sqrt(surface)
    return np.clip(surface, 0, 1)


def mask_of(part: Part, picture: Picture, side: int) -> npt.NDArray[np.bool_]:
    """Where the part's defect is in the picture, (H, W) bool; of missing print where ink is missing."""
    grid = Grid(side, picture)
    place = _print_place(part, grid)
    mask = change_of(part, grid, place).mask & (_plate(grid)[0] < 0.5)
    return mask & (_glyphs(part.text, place) > 0.1) if part.defect == "missing_print" else mask


def coloured(grey: Plane, part: Part, picture: Picture) -> Plane:
    """The picture in colour, (H, W, 3), of the same luma: the metals are nearly grey, the paint is not."""
    strength = 0.35 if part.surface == "painted" else 0.06
    turns = 2 * math.pi * (part.hue + np.arange(3) / 3)
    tint = 1 + strength * np.cos(turns)
    tint /= tint @ (0.299, 0.587, 0.114)
    return np.clip(grey[..., None] * tint.astype(np.float32), 0, 1)


def _light(picture: Picture) -> tuple[float, float]:
    """How much the grey falls where the surface rises by 1 per unit along x and along y (Lambert's law)."""
    azimuth, low = math.radians(picture.light_azimuth_deg), 1 / math.tan(math.radians(picture.light_elevation_deg))
    return low * math.cos(azimuth), low * math.sin(azimuth)


def _texture(part: Part, picture: Picture, grid: Grid) -> Plane:
    """What the surface's fine relief and grain add to its grey, as a share of it: about −0.3 to 0.3."""
    side = grid.side
    white = part.stream("texture").standard_normal((side, side), np.float32)
    relief = np.fft.irfft2(np.fft.rfft2(white) * _filter(part.surface, part.texture_scale, side), s=(side, side))
    relief = relief.astype(np.float32)
    azimuth = math.radians(picture.light_azimuth_deg - picture.rotation_deg)
    low = (
        side / 128 / math.tan(math.radians(picture.light_elevation_deg))
    )  # the slope does not depend on the pixels
    ahead = low * math.cos(azimuth) * (np.roll(relief, -1, 1) - relief)
    ahead += low * math.sin(azimuth) * (np.roll(relief, -1, 0) - relief)
    if part.surface == "brushed":  # streaks that reflect more or less, whatever the light
        found = 0.055 * relief - 0.02 * ahead
    elif part.surface == "cast":  # bumps, and a few pits that are dark
        found = -0.06 * ahead - 0.16 * np.clip(relief - 1.7, 0, 1)
    else:  # orange peel, under a smooth coat
        found = -0.035 * ahead
    return _sampled(found.astype(np.float32), grid)


def _filter(surface: str, scale: float, side: int) -> npt.NDArray[np.float64]:
    """What the spectrum of white noise is multiplied with, so that the variance becomes 1."""
    fy = np.fft.fftfreq(side)[:, None] * side  # periods per side
    fx = np.fft.rfftfreq(side)[None, :] * side
    if surface == "brushed":  # long along x, fine across
        shape = 1 / (1 + (fx * 0.25 * scale) ** 2) * np.exp(-((fy * scale / 70) ** 2)) * (fy != 0)
    else:
        middle = (26 if surface == "cast" else 14) / scale
        f = np.hypot(fx, fy) / middle
        shape = f * np.exp(-0.5 * f * f)
    weight = np.full(shape.shape[1], 2.0)  # every column but the first (and an even side's last) stands for two
    weight[0] = 1
    if side % 2 == 0:
        weight[-1] = 1
    found: npt.NDArray[np.float64] = shape / math.sqrt(float((shape**2 * weight).sum()) / side**2)
    return found


def _sampled(field: Plane, grid: Grid) -> Plane:
    """A periodic field on the part (side × side), at the pixels of the picture, bilinear."""
    side = grid.side
    beyond = side // 8 + 2  # a turned and shifted picture shows less than that of the next period
    padded = np.pad(field, beyond, mode="wrap")
    middle = np.float32(side / 2 - 0.5 + beyond)
    return _bilinear(padded, grid.u * np.float32(side) + middle, grid.v * np.float32(side) + middle)


def _bilinear(field: Plane, x: Plane, y: Plane) -> Plane:
    """Values of a field between its points; x and y (of one shape) must lie inside it."""
    left, top = x.astype(np.intp), y.astype(np.intp)
    right_share, lower_share = x - left.astype(np.float32), y - top.astype(np.float32)
    at, width, flat = top * field.shape[1] + left, field.shape[1], field.ravel()
    upper: Plane = flat.take(at)
    upper += (flat.take(at + 1) - upper) * right_share
    lower = flat.take(at + width)
    lower += (flat.take(at + width + 1) - lower) * right_share
    lower -= upper
    lower *= lower_share
    upper += lower
    return upper


def _plate(grid: Grid) -> tuple[Plane, Plane]:
    """How much of each pixel is beside the part or in a hole, and the relief of the bevels; (H, W) each."""
    qx, qy = np.abs(grid.u) - np.float32(_HALF - _CORNER), np.abs(grid.v) - np.float32(_HALF - _CORNER)
    inner = np.minimum(np.maximum(qx, qy), 0)
    distance = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + inner - np.float32(_CORNER)
    for u, v in _HOLES:
        distance = np.maximum(
            distance, np.float32(_HOLE) - np.hypot(grid.u - np.float32(u), grid.v - np.float32(v))
        )
    outside = np.clip(distance * grid.side + 0.5, 0, 1)
    return outside, -0.35 * np.clip(distance + np.float32(_BEVEL), 0, _BEVEL).astype(np.float32)


def _print_place(part: Part, grid: Grid) -> tuple[Plane, Plane]:
    """Column, in glyphs, and row, 0 to 1, of every pixel within the print."""
    column = (grid.u - np.float32(_PRINT_LEFT + part.print_x)) / np.float32(_GLYPH)
    row = (grid.v - np.float32(_PRINT_TOP + part.print_y)) / np.float32(_GLYPH * _CELLS / 6)
    return column, row


def _glyphs(text: str, place: tuple[Plane, Plane]) -> Plane:
    """How much of each pixel is printed."""
    cells = np.zeros((_CELLS + 2, 6 * GLYPHS + 2), np.float32)
    for k, digit in enumerate(text):
        bits = np.array(_FONT[int(digit)])[:, None] >> np.arange(4, -1, -1) & 1
        cells[1:-1, 1 + 6 * k : 6 + 6 * k] = bits
    x, y = place[0] * 6 + np.float32(0.5), place[1] * _CELLS + np.float32(0.5)
    within = (x > 0) & (x < cells.shape[1] - 1) & (y > 0) & (y < cells.shape[0] - 1)
    printed = np.zeros_like(x)
    printed[within] = np.clip(2 * _bilinear(cells, x[within], y[within]) - 0.5, 0, 1)
    return printed


def _illumination(part: Part, picture: Picture, grid: Grid) -> Plane:
    """The light that falls on every pixel, and the broad reflection of the lamp on what is glossy."""
    azimuth = math.radians(picture.light_azimuth_deg)
    x, y = np.float32(math.cos(azimuth)), np.float32(math.sin(azimuth))
    field = 1 + np.float32(picture.light_gradient) * (x * grid.x + y * grid.y)
    place = np.float32(0.3 * math.cos(math.radians(picture.light_elevation_deg)))
    dx, dy = grid.x - x * place, grid.y - y * place
    if part.surface == "brushed":  # a band across the brushing
        field = field + 0.18 * np.exp(-np.square(dx / np.float32(0.22)))
    elif part.surface == "painted":
        field = field + 0.22 * np.exp(-(np.square(dx) + np.square(dy)) / np.float32(0.05))
    return (field * np.float32(picture.light_level)).astype(np.float32)


def _blurred(image: Plane, beside: np.float32) -> Plane:
    """Every pixel mixed with its neighbours, along rows, then along columns; the border keeps itself."""
    for axis in (0, 1):
        middle = np.swapaxes(image, 0, axis)
        out = middle * (1 - 2 * beside)
        out[1:-1] += beside * (middle[:-2] + middle[2:])
        out[0] += beside * (middle[0] + middle[1])
        out[-1] += beside * (middle[-1] + middle[-2])
        image = np.swapaxes(out, 0, axis)
    return np.ascontiguousarray(image)
