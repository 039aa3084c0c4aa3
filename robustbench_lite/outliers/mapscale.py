"""The scale of a detector's maps: the same for every image, so that two heat maps compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

_USUAL = 0.95  # of the pixels of a normal image are without colour
_SHARE = 0.95  # of the normal images are below the alarm level everywhere
_FULL = 16  # alarm levels to the top of a raw map: what lies above is cut off


class MapScale(NamedTuple):
    """What values of a map mean, found on normal images that no score was fitted to.

    Args:
        least: the smallest value.
        usual: what 95 % of the pixels of an image are below, in the middle of all images.
        alarm: what 95 % of the images reach nowhere.
    """

    least: float
    usual: float
    alarm: float

    @property
    def high(self) -> float:
        """Where the colours end: as far above the alarm level as that is above ``usual``."""
        return 2 * self.alarm - self.usual

    @property
    def full(self) -> float:
        """Where raw maps end."""
        return self.least + _FULL * (self.alarm - self.least)


def map_scale(maps: Iterable[Tensor]) -> MapScale:
    """The scale of maps (N, H, W) of normal images, given batch by batch."""
    least, usual, peaks = [], [], []
    for batch in maps:
        ordered = batch.detach().float().cpu().flatten(1).sort(1).values
        least.append(ordered[:, 0])
        usual.append(ordered[:, round(_USUAL * (ordered.shape[1] - 1))])
        peaks.append(ordered[:, -1])
    low, middle = float(torch.cat(least).min()), float(torch.cat(usual).median())
    alarm = float(torch.cat(peaks).quantile(_SHARE))
    return MapScale(low, middle, max(alarm, middle + max(1e-12, 1e-6 * abs(middle))))  # all maps may be alike
