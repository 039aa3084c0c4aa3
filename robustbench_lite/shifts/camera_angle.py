"""Risk: the mounting. The camera looks at the object from another side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import fixed, number, scaled
from robustbench_lite.shifts.warp import Fill, Places, Warp, finer_for, grid, pixels

_DEGREES = (0, 2, 5, 10, 15, 25)
_RADIAN = math.pi / 180
_NEAREST = 1e-3  # to the horizon, in distances of the camera: beyond it there is no picture to look up


Number = Any  # a float, or a tensor without dimensions and with a gradient


@dataclass(frozen=True)
class CameraAngle(Warp):
    """A camera that looks at the centre of the scene from another side, at the same distance.

    The pinhole camera of projective geometry (Hartley & Zisserman, Multiple View Geometry, 2003, chapter 8):
    the scene is a flat picture that faced the camera, such as a sign, a sheet or a part on a table, and its image
    changes by a homography. On the scale, which is our choice, each sample draws the side that the camera moves
    to. An angle that is given is taken as it is, and the others are then 0. Bicubic, averaged over several
    places per pixel where half-way to the far edge everything is more than 1.5 times smaller. Differentiable.
    Not modelled: depth (a solid object shows other faces), the light's angle, focus, and what lies outside
    the image.

    Args:
        severity: 0 to 5.
        pitch_degrees: how far the camera rises about the centre; the upper edge comes nearer.
        yaw_degrees: how far it goes to the right; the right edge comes nearer.
        roll_degrees: how far the picture turns counter-clockwise; 0 on the scale.
        field_of_view_degrees: angle from edge to edge of the longer side; a wider one is nearer, and more oblique.
        fill: what is shown beyond the edge of the image: reflect, edge or constant (black).
    """

    random = True
    smooth = ("pitch_degrees", "yaw_degrees", "roll_degrees", "field_of_view_degrees")

    pitch_degrees: float | None = scaled(_DEGREES, -80, 80, "the camera rises")
    yaw_degrees: float | None = scaled(_DEGREES, -80, 80, "the camera goes to the right")
    roll_degrees: float | None = scaled((0,) * 6, -180, 180, "the picture turns counter-clockwise")
    field_of_view_degrees: float = fixed(50, 1, 150, "from edge to edge of the longer side")
    fill: Fill = "reflect"

    @property
    def _given(self) -> bool:
        return any(angle is not None for angle in (self.pitch_degrees, self.yaw_degrees, self.roll_degrees))

    def values(self, images: Tensor) -> SimpleNamespace:
        """As for all shifts; but where one angle is given, the others are 0."""
        at = super().values(images)
        if self._given:
            at.pitch_degrees, at.yaw_degrees = self.pitch_degrees or 0.0, self.yaw_degrees or 0.0
        return at

    def places(self, at: SimpleNamespace, like: Tensor) -> Places | None:
        half_view = at.field_of_view_degrees * _RADIAN / 2
        distance = max(like.shape[-2:]) / 2 / _tan(half_view)  # in pixels: nothing in the centre changes its size
        x, y = pixels(like, finer_for(self._shrinking(at, number(half_view))))

        def looked_at(stream: Streams) -> Tensor:
            right, up = 1.0, 1.0
            if not self._given:
                angle = 2 * math.pi * stream.uniform((), "side", like=like).item()
                right, up = math.cos(angle), math.sin(angle)
            turn = _turn(at.pitch_degrees * up, at.yaw_degrees * right, at.roll_degrees)
            return grid(*_on_the_plane(x, y, turn, distance), like)

        return looked_at

    def _shrinking(self, at: SimpleNamespace, half_view: float) -> float:
        """How many times smaller the scene becomes half-way to its far edge."""
        tilt = math.hypot(number(at.pitch_degrees), number(at.yaw_degrees))
        if not self._given:
            tilt /= math.sqrt(2)  # both stand for the whole angle, of which each sample draws its parts
        tilt = math.radians(min(tilt, 80))
        return (1 + math.tan(half_view) * math.sin(tilt) / 2) ** 2 / math.cos(tilt)


def _cos(angle: Number) -> Number:
    return angle.cos() if isinstance(angle, Tensor) else math.cos(angle)


def _sin(angle: Number) -> Number:
    return angle.sin() if isinstance(angle, Tensor) else math.sin(angle)


def _tan(angle: Number) -> Number:
    return angle.tan() if isinstance(angle, Tensor) else math.tan(angle)


def _turn(pitch: Number, yaw: Number, roll: Number) -> list[tuple[Number, Number, Number]]:
    """Rows of the matrix from the scene's axes to the camera's, x to the right, y down, z forward; degrees."""
    (cp, sp), (cy, sy), (cr, sr) = ((_cos(a * _RADIAN), _sin(a * _RADIAN)) for a in (pitch, yaw, roll))
    # About y, then x; and then about z.
    first, second, third = (cy, 0.0, sy), (sp * sy, cp, -sp * cy), (-cp * sy, sp, cp * cy)
    return [
        tuple(cr * a + sr * b for a, b in zip(first, second, strict=True)),
        tuple(cr * b - sr * a for a, b in zip(first, second, strict=True)),
        third,
    ]


def _on_the_plane(
    x: Tensor, y: Tensor, turn: list[tuple[Number, Number, Number]], distance: Number
) -> tuple[Tensor, Tensor]:
    """Where the rays through the pixels (x, y) meet the scene, in pixels from its centre."""

    # The ray t (x, y, d) meets the plane where its part along the normal, the third column, is that of (0, 0, d).
    def along(axis: int) -> Tensor:
        part: Tensor = (turn[0][axis] * x + turn[2][axis] * distance) + turn[1][axis] * y
        return part

    t = turn[2][2] * distance / along(2).clamp_min(_NEAREST * number(distance))
    return t * along(0) - turn[2][0] * distance, t * along(1) - turn[2][1] * distance
