"""Risk: the light. Something stands in it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import places, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_AMBIENT = (1, 0.75, 0.5, 0.32, 0.2, 0.1)
_NEAREST, _FARTHEST = 0.1, 0.7  # edges of the occluder from a point inside it, in sides of the image
_TURN = math.radians(20)  # how far an edge may be turned from the rectangle


@dataclass(frozen=True)
class Shadow(ScaledShift):
    """A shadow across the image: something stands between the lamp, or the sun, and the scene.

    Linear light is multiplied by ``ambient`` in the umbra, and by the part of a disk-shaped lamp that is seen past
    the edge in the penumbra. Each sample has an occluder of its own: a random quadrangle about a point in the
    middle half of the image, most often larger than the image on one side or more. The clear sky gives a tenth to
    a fifth of the light of a high sun, so 0.2 and 0.1 are shadows outdoors; weaker ones are those of rooms with
    several lamps. The levels and shapes are our choice. Differentiable.

    Not modelled: the blue of shadows under the sky, the relief of the scene, holes and several occluders, edges
    that grow softer with distance (the sun's is 0.9 % of the occluder's distance), a camera that meters for it.

    Args:
        severity: 0 to 5.
        ambient: share of the light that is left in the umbra, 0 to 1; None takes it from the scale.
        penumbra: width of the soft edge, in shares of the image's side, 0.001 to 1.
    """

    random = True
    smooth = ("ambient",)

    ambient: float | None = scaled(_AMBIENT, 0, 1, "share of the light that is left in the umbra")
    penumbra: float = fixed(0.06, 0.001, 1, "width of the soft edge in shares of the image's side")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        down, across = places(like)

        def cast(image: Tensor, stream: Streams) -> Tensor:
            outside = _outside(down, across, stream.uniform((11,), "occluder", like=image)[0].tolist())
            seen = _seen(outside * (2 / at.penumbra))
            return to_srgb(to_linear(image) * (at.ambient + (1 - at.ambient) * seen))

        return cast


def _outside(down: Tensor, across: Tensor, drawn: Sequence[float]) -> Tensor:
    """Distance from the shadow's edge in sides of the image, positive outside, (H, W), for 11 random numbers."""
    y, x, turn = drawn[0] / 2 - 0.25, drawn[1] / 2 - 0.25, drawn[2]
    sides = []
    for quarter, (tilt, far) in enumerate(zip(drawn[3:7], drawn[7:11], strict=True)):
        normal = math.pi / 2 * (quarter + turn) + _TURN * (2 * tilt - 1)
        sin, cos = math.sin(normal), math.cos(normal)
        distance = _NEAREST + (_FARTHEST - _NEAREST) * far + y * sin + x * cos
        sides.append(down * sin + (across * cos - distance))
    return functools.reduce(torch.maximum, sides)


def _seen(height: Tensor) -> Tensor:
    """Part of a disk of radius 1 that is seen past a straight edge, where its middle stands that high above it."""
    h = height.clamp(-1, 1)
    return 0.5 + (h * (1 - h * h).sqrt() + h.asin()) / math.pi
