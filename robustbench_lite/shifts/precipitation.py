"""Drops and flakes that fall past the camera while its shutter is open."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite.rng import Streams

_NEAREST_M, _FARTHEST_M = 0.25, 1.5  # of what is drawn one by one; beyond, it is part of the veil
_THINNEST_PX, _TYPICAL_M = 0.25, 0.003  # nothing is drawn so far away that 3 mm are less than a quarter of a pixel
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True)
class Fall:
    """What falls: n_0·exp(−slope·D) particles per m³ and mm, of those at least ``smallest_mm`` wide.

    Args:
        n_0: particles per m³ and mm of diameter, at the diameter 0.
        slope: of the exponential, per mm.
        smallest_mm: thinner ones are not drawn one by one.
        swelling: diameter of a particle over that of the drop it melts to; D is the drop's.
        speed: from diameters D in mm to metres per second.
    """

    n_0: float
    slope: float
    smallest_mm: float
    swelling: float
    speed: Callable[[Tensor], Tensor]

    @property
    def per_m3(self) -> float:
        """Particles per m³ that are drawn."""
        return self.n_0 / self.slope * math.exp(-self.slope * self.smallest_mm)

    @property
    def extinction(self) -> float:
        """Per metre, of particles of all sizes, which take out twice the light that falls on them."""
        return math.pi * self.n_0 / self.slope**3 * self.swelling**2 * 1e-6


def rain(rate_mm_h: float) -> Fall:
    """Marshall & Palmer (J. Meteor. 1948); speeds of Atlas, Srivastava & Sekhon (Rev. Geophys. 1973)."""
    return Fall(8000, 4.1 * rate_mm_h**-0.21, 1, 1, lambda mm: 9.65 - 10.3 * torch.exp(-0.6 * mm))


def snow(rate_mm_h: float) -> Fall:
    """Gunn & Marshall (J. Meteor. 1958), for the melted diameter; flakes of 0.06 g/cm³ that fall at 1 m/s."""
    return Fall(3800 * rate_mm_h**-0.87, 2.55 * rate_mm_h**-0.48, 0.5, 2.5, torch.ones_like)


class Streaks:
    """How much of the exposure each pixel is behind a particle.

    Particles are spread evenly through the space that a pinhole camera sees from 0.25 to 1.5 m, less in a small
    image, where they are too thin to be seen. Each moves on a straight line of length speed × exposure; its
    picture has the area of its disk, spread over that line.

    Args:
        fall: what falls.
        exposure_ms: time that the shutter is open.
        view_degrees: field of view over the shorter side of the image.
        slant_degrees: how far the fall may be blown to either side, drawn for each sample.
        like: images of the size that the streaks are for.
    """

    def __init__(
        self, fall: Fall, exposure_ms: float, view_degrees: float, slant_degrees: float, like: Tensor
    ) -> None:
        self._fall, self._exposure_s, self._slant = fall, exposure_ms / 1000, math.radians(slant_degrees)
        self._height, self._width = like.shape[-2:]
        self._focal_px = min(self._height, self._width) / 2 / math.tan(math.radians(view_degrees / 2))
        self._farthest = min(_FARTHEST_M, max(self._focal_px * _TYPICAL_M / _THINNEST_PX, 1.2 * _NEAREST_M))
        space = (self._farthest**3 - _NEAREST_M**3) / 3 * self._height * self._width / self._focal_px**2
        self._particles = round(fall.per_m3 * space)
        large = torch.tensor(fall.smallest_mm + 2 / fall.slope)
        nearest = self._focal_px / _NEAREST_M
        length, width = nearest * fall.speed(large).item() * self._exposure_s, nearest * large.item() / 1000
        points = min(max(math.ceil(max(length, 2 * (width * fall.swelling) ** 2)), 16), 256)
        # Points that fill a disk evenly, spread over the time that the shutter is open.
        order = torch.arange(points) + 0.5
        radius = ((order * 0.618034) % 1).sqrt() / 2
        self._time = order / points - 0.5
        self._disk = torch.stack(
            (radius * torch.sin(order * _GOLDEN_ANGLE), radius * torch.cos(order * _GOLDEN_ANGLE))
        )

    def __call__(self, stream: Streams, like: Tensor) -> Tensor:
        """Share of the exposure, (1, 1, H, W), for one image."""
        drawn = stream.uniform((self._particles + 1, 4), "particles", like=self._time)[0]
        slant = self._slant * (2 * drawn[0, 0].item() - 1)
        y, x, depth, size = drawn[1:, :, None].unbind(1)
        depth = (_NEAREST_M**3 + (self._farthest**3 - _NEAREST_M**3) * depth) ** (1 / 3)
        melted_mm = self._fall.smallest_mm - torch.log1p(-size) / self._fall.slope
        per_m = self._focal_px / depth
        width = melted_mm * (self._fall.swelling / 1000) * per_m
        along = self._fall.speed(melted_mm) * self._exposure_s * per_m * self._time
        # What leaves the image on one side enters it on the other, so that no place has more than another.
        y = (y * self._height + along * math.cos(slant) + width * self._disk[0]) % self._height
        x = (x * self._width + along * math.sin(slant) + width * self._disk[1]) % self._width
        area = (math.pi / 4 / len(self._time)) * width**2
        return _splat(y, x, area.expand_as(y), self._height, self._width).clamp_max_(1).to(like)[None, None]


def _splat(y: Tensor, x: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """(H, W): weights at points, each shared by the four pixels around it, on a torus."""
    out = torch.zeros(height * width)
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    rows, columns = top.long() % height, left.long() % width
    for row, vertical in ((rows, 1 - down), ((rows + 1) % height, down)):
        for column, across in ((columns, 1 - right), ((columns + 1) % width, right)):
            out.index_add_(0, (row * width + column).flatten(), (weight * vertical * across).flatten())
    return out.view(height, width)
