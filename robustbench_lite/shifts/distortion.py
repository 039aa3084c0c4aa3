"""Risk: the lens. It bends straight lines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import at_severity, fixed, scaled
from robustbench_lite.shifts.warp import Fill, Places, Warp, grid, pixels

_K1 = (0, 0.015, 0.03, 0.055, 0.085, 0.125)
_FARTHEST = 3.0  # radius up to which light is followed; beyond, the image has been mirrored twice
_STEPS = 4096


@dataclass(frozen=True)
class RadialDistortion(Warp):
    """A lens that bends straight lines: outwards as a barrel, inwards as a pincushion.

    The radial part of the model of Brown and Conrady: a point at distance r from the image's centre comes
    to lie at r (1 + k1 r² + k2 r⁴), where r is 1 in the corner. So k1 + k2 is by what share the corner moves:
    below 0 a barrel, as of wide lenses, above 0 a pincushion. On the scale, each sample draws the sign of
    k1; one that is given is taken as it is. Bicubic; a barrel shows more of the scene than the image holds, and
    ``filled`` says how much. Differentiable.

    The levels are our choice: common wide lenses have -0.02 to -0.05. Below -4/27, the light that should
    arrive in the corner is bent back. Not modelled: tangential distortion by lenses off the axis, fisheye
    lenses, the change of sharpness that comes with the magnification.

    Args:
        severity: 0 to 5.
        k1: share by which the third power of the radius moves a point; None takes it from the scale, with
            a random sign.
        k2: the same for the fifth power.
        fill: what is shown beyond the image: its mirror image (reflect), its outermost pixels (edge) or black
            (constant).
    """

    random = True

    k1: float | None = scaled(_K1, -1, 1, "share by which the corner moves outwards")
    k2: float = fixed(0, -1, 1, "share by which the corner moves outwards")
    fill: Fill = "reflect"

    def __post_init__(self) -> None:
        super().__post_init__()
        level = at_severity(self.severity, _K1)
        for k1 in (-level, level) if self.k1 is None else (self.k1,):
            _shares(k1, self.k2)

    def places(self, at: SimpleNamespace, like: Tensor) -> Places | None:
        if at.k1 == at.k2 == 0:
            return None
        source = lru_cache(2)(lambda k1: _source(k1, at.k2, like))

        def draw(stream: Streams) -> Tensor:
            barrel = self.k1 is None and stream.uniform((), "sign", like=like).item() < 0.5
            return source(-at.k1 if barrel else at.k1)

        return draw


def _source(k1: float, k2: float, like: Tensor) -> Tensor:
    """(1, H, W, 2): where each pixel comes from."""
    (x, y), (height, width) = pixels(like), like.shape[-2:]
    radius = (x * x + y * y).sqrt() * (2 / (height**2 + width**2) ** 0.5)
    factor = torch.from_numpy(np.interp(radius.double().cpu().numpy(), *_shares(k1, k2))).to(like)
    return grid(x * factor, y * factor, like)


def _shares(k1: float, k2: float) -> tuple[np.ndarray, np.ndarray]:
    """Radii in the distorted image, ascending to 1 or more, and by what each must be multiplied to undo it."""
    before = np.linspace(0, _FARTHEST, int(_FARTHEST * _STEPS))
    moved = 1 + k1 * before**2 + k2 * before**4
    after = before * moved
    turned = np.flatnonzero(np.diff(after) <= 0)
    end = turned[0] + 1 if len(turned) else len(after)
    if after[end - 1] < 1:
        raise InputError(
            f"k1={k1:g} and k2={k2:g} leave the corners of the image without light.",
            "Give k1 of at least -4/27 = -0.148 with k2=0, or a k2 above 0 that makes up for it.",
        )
    return after[:end], 1 / moved[:end]
