"""Risk: the light. More of it than the camera was set for."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_EXPOSURE_EV = (0, 0.3, 0.6, 1, 1.6, 2.5)


@dataclass(frozen=True)
class Overexposed(ScaledShift):
    """Too much light: an exposure that is too long, cut off where the sensor is full.

    Linear light is multiplied by 2 to the power of ``exposure_ev``; white is taken to be the full well, so each
    channel is cut off there, and bright colours change their hue on the way to white. The levels are our choice:
    cameras correct their exposure in steps of 1/3 stop, and 2.5 stops are what is left where a sunlit scene is
    metered for its shade. Differentiable.

    Not modelled: headroom above the stored white and the shoulder of a camera's tone curve, less noise in more
    light, charge that runs over into neighbours, ``backlight``, where only a part is too bright.

    Args:
        severity: 0 to 5.
        exposure_ev: change of the light in stops, 0 to 10; None takes it from the scale.
    """

    smooth = ("exposure_ev",)

    exposure_ev: float | None = scaled(_EXPOSURE_EV, 0, 10, "change of the light in stops")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        return lambda image, _: to_srgb(to_linear(image) * 2.0**at.exposure_ev)
