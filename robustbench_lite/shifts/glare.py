"""Risk: the light. It is mirrored by the surface, and hides what is under it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import places, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_SPECULAR = (0, 0.06, 0.15, 0.35, 0.7, 1.2)
_CAMERA, _LAMP = 2.0, 2.0  # heights above the surface, in sides of the image
_WAVES = 6.0  # of the surface, per side of the image
_MIDDLE = 0.7  # the highlight of a flat surface lies in this part of the image


@dataclass(frozen=True)
class Glare(ScaledShift):
    """A highlight on a glossy surface: one lamp, mirrored by a plate that is not quite flat.

    The dichromatic model (Shafer 1985): the surface's own light stays, and specular · (n · h)^exponent is
    added in linear light, Blinn's lobe (1977) about the normal n with h between lamp and camera, cut off at
    white. Camera and lamp are 2 sides of the image above the surface; each sample has its lamp, with the
    highlight of a flat surface somewhere in the middle 0.7 of the image. The normals are those of a random
    smooth height field with waves of 1/6 of the side. ``grain`` brushes the surface in a direction of its own
    for each sample: one random slope per line of pixels across that direction. The levels are our choice.
    Differentiable.

    Not modelled: the scene that a mirror shows, Fresnel's law (more is mirrored at flat angles), coloured metal,
    shading of the surface's own light by the same relief, several lamps, the bloom of the lens.

    Args:
        severity: 0 to 5.
        specular: the light of the highlight, where white is 1; None takes it from the scale.
        exponent: of the lobe: 10 is satin, 200 polished.
        slope: standard deviation of the surface's slope, 0 to 1.
        grain: standard deviation of the slope by brushing, 0 to 1.
    """

    random = True
    smooth = ("specular", "exponent")

    specular: float | None = scaled(_SPECULAR, 0, 100, "light of the highlight; white is 1")
    exponent: float = fixed(100, 1, 1e5, "of the lobe")
    slope: float = fixed(0.06, 0, 1, "standard deviation of the slope")
    grain: float = fixed(0.03, 0, 1, "standard deviation of the slope by brushing")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        down, across = places(like)
        mirror, relief, brush = _Mirror(down, across), _Relief(down, across), _Brush(down, across)

        def shine(image: Tensor, stream: Streams) -> Tensor:
            y, x, angle = stream.uniform((3,), "lamp and brushing", like=image)[0].tolist()
            slopes = at.slope * relief(stream) if at.slope else down.new_zeros(2, 1, 1)
            if at.grain:
                slopes = slopes + at.grain * brush(stream, angle)
            lobe = mirror(slopes, (y - 0.5) * _MIDDLE, (x - 0.5) * _MIDDLE).clamp_min(1e-6).log() * at.exponent
            return to_srgb(to_linear(image) + at.specular * lobe.exp())

        return shine


class _Mirror:
    """The geometry of camera, lamp and surface. Places as from ``places``."""

    def __init__(self, down: Tensor, across: Tensor) -> None:
        height, width = len(down), len(across)
        flat = down.new_zeros(height, width)
        self._surface = torch.stack((flat + down, flat + across, flat))
        self._extent = height / (height * width) ** 0.5, width / (height * width) ** 0.5
        to_camera = down.new_tensor((0, 0, _CAMERA)).view(3, 1, 1) - self._surface
        self._to_camera = to_camera * to_camera.square().sum(0).rsqrt()

    def __call__(self, slopes: Tensor, y: float, x: float) -> Tensor:
        """n · h, (H, W).

        Args:
            slopes: (2, H, W), down and across.
            y: where a flat surface has its highlight, in shares of the image's height from its middle.
            x: the same, of its width.
        """
        # Equal angles on both sides of the normal: seen from above, the lamp is beyond the highlight.
        beyond = 1 + _LAMP / _CAMERA
        lamp = slopes.new_tensor((y * self._extent[0] * beyond, x * self._extent[1] * beyond, _LAMP))
        to_lamp = lamp.view(3, 1, 1) - self._surface
        half = torch.addcmul(self._to_camera, to_lamp, to_lamp.square().sum(0).rsqrt())
        # The normal is (-slope down, -slope across, 1).
        product = half[2] - (slopes * half[:2]).sum(0)
        lengths = half.square().sum(0) * (1 + slopes.square().sum(0))
        return product * lengths.rsqrt()


class _Relief:
    """Slopes of a smooth random height field: cubic B-splines on a grid."""

    def __init__(self, down: Tensor, across: Tensor) -> None:
        (rows, steep_rows), (columns, steep_columns) = _spline(down[:, 0]), _spline(across)
        self._rows = torch.stack((steep_rows, rows))
        self._columns = torch.stack((columns, steep_columns)).mT

    def __call__(self, stream: Streams) -> Tensor:
        """(2, H, W), of variance 1."""
        shape = (self._rows.shape[2], self._columns.shape[1])
        return self._rows @ stream.normal(shape, "relief", like=self._rows)[0] @ self._columns


def _spline(places: Tensor) -> tuple[Tensor, Tensor]:
    """Values and slopes (places, knots) of cubic B-splines; independent heights give slopes of variance 1."""
    t = (places - places[0]) * _WAVES
    knots = torch.arange(-1, math.ceil(t[-1].item()) + 2).to(t)
    u = t[:, None] - knots
    far, near = (2 - u.abs()).clamp_min(0), (1 - u.abs()).clamp_min(0)
    value, steep = (far**3 - 4 * near**3) / 6, -u.sign() * (far**2 - 4 * near**2) / 2
    # Mean squares of value and steepness over all phases: 151/315 and 2/3.
    return value, steep / math.sqrt(151 / 315 * 2 / 3)


class _Brush:
    """Slopes of a surface that is brushed in one direction: the same along each line."""

    def __init__(self, down: Tensor, across: Tensor) -> None:
        self._down, self._across = down, across
        self._side = (len(down) * len(across)) ** 0.5
        self._middle = len(down) + len(across)  # more lines than the diagonal has pixels

    def __call__(self, stream: Streams, angle: float) -> Tensor:
        """(2, H, W) with one value of variance 1 per line of pixels, for an angle of 0 to 1 turns."""
        y, x = math.sin(2 * math.pi * angle), math.cos(2 * math.pi * angle)
        line = self._down * (y * self._side) + (self._across * (x * self._side) + self._middle)
        lines = stream.normal((2 * self._middle,), "lines", like=line)[0]
        return lines[line.long()] * lines.new_tensor((y, x)).view(2, 1, 1)
