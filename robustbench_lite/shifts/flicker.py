"""Risk: the light. Lamps on mains current, seen by a sensor that reads one row after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_MODULATION = (0, 0.12, 0.25, 0.45, 0.7, 1)


@dataclass(frozen=True)
class Flicker(ScaledShift):
    """Dark and bright bands: the lamps flicker with the mains, and each row is exposed at another moment.

    The light is 1 + modulation · cos(2π · flicker_hz · t), of mean 1. A row gathers it during the exposure,
    which leaves modulation · sinc(flicker_hz · exposure) of it, and rows start one after the other during the
    readout, so the image holds flicker_hz · readout bands. Each sample has its phase. Linear light is
    multiplied by that. Modulation is (max - min) / (max + min), the percent flicker of lighting standards
    (IEEE 1789-2015): of bulbs about 0.1, of LEDs without a smoothing capacitor up to 1. The levels are our
    choice. Differentiable.

    Not modelled: harmonics and the square waves of dimmed LEDs, the change of colour within a cycle, flicker from
    one frame to the next.

    Args:
        severity: 0 to 5.
        modulation: of the lamp, 0 to 1; None takes it from the scale.
        flicker_hz: twice the mains: 100 or 120.
        exposure_ms: exposure time of a row; a multiple of the lamp's period (10 ms at 100 Hz) shows no bands.
        readout_ms: time from the first row to the last; 0 is a global shutter, where whole images differ.
    """

    random = True
    smooth = ("modulation", "exposure_ms")

    modulation: float | None = scaled(_MODULATION, 0, 1, "(max - min) / (max + min) of the lamp's light")
    flicker_hz: float = fixed(100, 1, 1e5, "twice the mains in hertz")
    exposure_ms: float = fixed(2, 0, 1e4, "exposure time of a row in milliseconds")
    readout_ms: float = fixed(25, 0, 1e4, "time from the first row to the last in milliseconds")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        height = like.shape[-2]
        cycles = at.flicker_hz * at.readout_ms / 1000
        rows = torch.arange(height, dtype=torch.float64) / max(1, height - 1) * cycles
        depth = at.modulation * torch.sinc(torch.as_tensor(at.flicker_hz / 1000 * at.exposure_ms))

        def flicker(image: Tensor, stream: Streams) -> Tensor:
            phase = stream.uniform((), "phase", like=rows)
            light = 1 + depth * torch.cos(2 * math.pi * (rows + phase))
            return to_srgb(to_linear(image) * light.to(image).view(1, 1, -1, 1))

        return flicker
