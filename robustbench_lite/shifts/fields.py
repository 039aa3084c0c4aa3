"""A random fractal field: what fog, clouds and ice have instead of edges."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from robustbench_lite.rng import Streams

_AT_ONCE = 16  # levels up to this side are one matrix product: small tensors cost more in calls than in sums


class Plasma:
    """The diamond-square algorithm (Fournier, Fussell & Carpenter, CACM 1982) on a torus.

    Every level halves the spacing of the points. A new point is the mean of its four neighbours plus a
    random number, which is smaller from level to level. The power spectrum falls as f^-(2H + 2) with
    H = log2(decay), for decays from 1 to about 3; beyond, the interpolation shows.

    Args:
        decay: by what the random numbers are divided from level to level.
        like: images of the size, device and dtype that the field is for.
    """

    def __init__(self, decay: float, like: Tensor) -> None:
        self._height, self._width = like.shape[-2:]
        self._side = 1 << (max(self._height, self._width) - 1).bit_length()
        amplitude = torch.zeros(self._side**2)  # of number 0, which would only lift the whole field
        points, size = 1, 1.0
        while points < self._side:
            amplitude[points**2 : 4 * points**2] = size
            points, size = 2 * points, size / decay
        self._amplitude = amplitude.to(like)
        self._coarse = min(self._side, _AT_ONCE)
        self._matrix, self._rule = _coarse_levels(self._coarse).to(like), _rule().to(like)

    def __call__(self, stream: Streams, like: Tensor, *, corner: bool = False) -> Tensor:
        """The field of one sample, (H, W), whose lowest and highest value on the torus are 0 and 1.

        Args:
            stream: of the sample.
            like: the image.
            corner: cut out the corner where the first point lies, not a random place.
        """
        side, points = self._side, self._coarse
        uniform = stream.uniform((side**2 + 2,), "plasma", like=like)[0]
        numbers = (uniform[2:] - 0.5) * self._amplitude
        field = (self._matrix @ numbers[: points**2]).view(1, 1, points, points)
        while points < side:
            field = _finer(field, numbers[points**2 : 4 * points**2].view(1, 3, points, points), self._rule)
            points *= 2
        field = field[0, 0]
        low, high = field.aminmax()
        if not corner:
            field = field.roll((uniform[:2] * side).long().tolist(), (0, 1))
        return (field[: self._height, : self._width] - low) / (high - low)


def _finer(field: Tensor, numbers: Tensor, rule: Tensor) -> Tensor:
    """(N, 1, 2n, 2n) from (N, 1, n, n) and the random numbers (N, 3, n, n) of the new points."""
    torus = functional.pad(torch.cat((field, numbers), 1), (1, 1, 1, 1), mode="circular")
    return functional.pixel_shuffle(functional.conv2d(torus, rule), 2)


@lru_cache(maxsize=1)
def _rule() -> Tensor:
    """(4, 4, 3, 3), a convolution.

    From the old points and the random numbers of the new ones to the old points, the new ones to their right,
    those below, and those in the centre of the squares. The latter are made first.
    """
    rule = torch.zeros(4, 4, 3, 3)
    old, right, below, centre = rule
    old[0, 1, 1] = 1
    centre[0, 1:, 1:] = 1 / 4
    centre[3, 1, 1] = 1
    right += (centre + centre.roll(-1, -2)) / 4
    right[0, 1, 1:] += 1 / 4
    right[1, 1, 1] = 1
    below += (centre + centre.roll(-1, -1)) / 4
    below[0, 1:, 1] += 1 / 4
    below[2, 1, 1] = 1
    return rule


@lru_cache(maxsize=8)
def _coarse_levels(side: int) -> Tensor:
    """(side², side²): what each random number adds to each point of a field that has this side."""
    numbers = torch.eye(side**2)
    field, points = numbers[:, :1].view(-1, 1, 1, 1), 1
    while points < side:
        field = _finer(field, numbers[:, points**2 : 4 * points**2].view(-1, 3, points, points), _rule())
        points *= 2
    return field.flatten(1).T.contiguous()
