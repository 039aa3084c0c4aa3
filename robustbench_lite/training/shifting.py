"""Shifts with ranges of arguments, as training draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_lite.rng import Streams


@dataclass(frozen=True)
class ShiftRange:
    """A shift whose arguments may be ranges: ``night(severity=1..4)``."""

    text: str

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Images (N, C, H, W) in [0, 1] under draws of the shift."""
        raise NotImplementedError


def parse_shifts(text: str) -> tuple[ShiftRange, ...]:
    """``night(severity=1..4), gaussian_blur`` as shifts."""
    raise NotImplementedError
