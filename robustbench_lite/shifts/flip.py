"""Risk: the mounting. A mirrored picture, or one that is upside down."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal, get_args

from torch import Tensor

from robustbench_lite.shifts.scale import Change, ScaledShift, check_choice

_AXES = {"horizontal": (3,), "vertical": (2,), "both": (2, 3)}
Axis = Literal["horizontal", "vertical", "both"]


@dataclass(frozen=True)
class Flip(ScaledShift):
    """A mirrored picture: a front camera's preview, a mirror in the light path, a camera mounted upside down.

    Not a matter of degree: every severity above 0 is the same, and ``rb shift`` runs it once. Differentiable,
    and exact. Not modelled: that left and right may mean something, as in writing; there the right answer may
    change.

    Args:
        severity: 0 leaves the image alone; anything above mirrors it.
        axis: horizontal swaps left and right, vertical top and bottom, both is half a turn.
    """

    together = True
    switch = True

    axis: Axis = "horizontal"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("axis", self.axis, get_args(Axis))

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        return lambda images, _: images.flip(_AXES[self.axis])
