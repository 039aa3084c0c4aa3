"""A window full of ice crystals, drawn, not photographed. What frost and winter lay over the image."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.fields import Plasma

SIDE = 1024  # of the window in pixels, at scale 1
MEAN, SPREAD = 0.635, 0.13  # of the stored values, as in the photographs that the published frost uses
_TINT = (0.92, 1.01, 1.07)  # ice is bluish

_SITES, _ARMS = 16**2, 4  # where ice begins to grow, and crystals from there
_STEPS, _POINTS = 36, 18  # needles on each side of a crystal, and points that draw a needle
_LENGTH = 0.075  # median of a crystal, as share of the window
_SIXTY_DEGREES = math.pi / 3  # between the needles of hexagonal ice


class Ice:
    """Cuts a piece for each sample out of the window, mirrors it, and makes it thinner or thicker.

    Args:
        scale: size of the crystals; at 1 the longest have 170 pixels.
        like: images of the size, device and dtype that the ice is for.
    """

    def __init__(self, scale: float, like: Tensor) -> None:
        self._height, self._width = like.shape[-2:]
        side = max(round(SIDE * scale), math.ceil(1.1 * max(self._height, self._width)))
        self._window = window(side).to(like)
        self._tint = torch.tensor(_TINT).to(like).view(3, 1, 1) if like.shape[1] == 3 else None

    def __call__(self, stream: Streams, like: Tensor) -> Tensor:
        """Stored values of the ice before one image, (3 or 1, H, W)."""
        down, across, mirror, thickness = stream.uniform((4,), "ice", like=like)[0].tolist()
        room = len(self._window)
        y, x = int(down * (room - self._height + 1)), int(across * (room - self._width + 1))
        piece: Tensor = self._window[None, y : y + self._height, x : x + self._width]
        piece = piece.flip([(), (1,), (2,), (1, 2)][int(4 * mirror)])
        piece = piece * (0.75 + 0.5 * thickness)
        return piece if self._tint is None else piece * self._tint


@lru_cache(maxsize=4)
def window(side: int) -> Tensor:
    """The window at another size, (side, side). Always the same one."""
    whole = _window()
    if side == SIDE:
        return whole
    return functional.interpolate(whole[None, None], (side, side), mode="bilinear", antialias=True)[0, 0]


@lru_cache(maxsize=1)
def _window() -> Tensor:
    """(SIDE, SIDE): a veil of uneven thickness, and on it crystals with their lit and shaded sides."""
    stream = Streams(0, "ice", ("window",))
    like = torch.zeros(1, 1, SIDE, SIDE)
    veil = Plasma(2.2, like)(stream, like)
    crystals = 1 - torch.exp(-0.3 * _crystals(stream))
    crystals = functional.avg_pool2d(crystals[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    lit = crystals - crystals.roll((2, 2), (0, 1))  # light comes from one side
    ice = 0.5 * veil + crystals + 0.6 * lit
    return (MEAN + SPREAD * (ice - ice.mean()) / ice.std()).clamp(0, 1)


def _crystals(stream: Streams) -> Tensor:
    """(SIDE, SIDE): how often a needle crosses each pixel.

    From every site crystals grow like ferns: a bent stem, and needles at 60 degrees to it on both sides, which
    get shorter towards its tip.
    """
    none = torch.empty(0)

    def draw(*shape: int) -> Tensor:
        return stream.uniform(shape, shape, like=none)[0]

    grid = torch.cartesian_prod(*2 * (torch.arange(math.isqrt(_SITES)),))[:, None]
    sites = (grid + 1.5 * draw(_SITES, 1, 2)) / math.isqrt(_SITES)
    turn = 2 * math.pi * draw(_SITES, 1)
    length, bend, detail = draw(3, _SITES, _ARMS)
    angle = turn + _SIXTY_DEGREES * (torch.arange(_ARMS) + 0.8 * (detail - 0.5))
    length = _LENGTH * 5 ** (length - 0.5)
    along = torch.linspace(0.02, 1, _STEPS)
    bent = angle[..., None] + (bend[..., None] - 0.5) * along  # (sites, arms, steps)
    steps = torch.stack((bent.sin(), bent.cos()), -1) * length[..., None, None] / _STEPS
    stems = sites[:, :, None] + steps.cumsum(2)
    side = torch.tensor((-1.0, 1.0))
    needle = bent[..., None] + _SIXTY_DEGREES * side
    reach = 0.45 * (1 - along[:, None]) * (0.4 + 0.6 * draw(_SITES, _ARMS, _STEPS, 2)) * length[..., None, None]
    arrow = torch.stack((needle.sin(), needle.cos()), -1) * reach[..., None]  # (sites, arms, steps, 2 sides, 2)
    points = stems[..., None, None, :] + arrow[..., None, :] * torch.linspace(0, 1, _POINTS)[:, None]
    y, x = ((points % 1) * SIDE).long().clamp_max(SIDE - 1).unbind(-1)
    return torch.bincount((y * SIDE + x).flatten(), minlength=SIDE**2).view(SIDE, SIDE).float()
