"""Risk: the weather. Rain: streaks before the camera, and a veil before what is far."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts import precipitation
from robustbench_lite.shifts.haze import ground_plane
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_RATE_MM_H = (0, 5, 15, 40, 80, 150)  # moderate, heavy (the WMO's begins at 10), and cloudbursts


@dataclass(frozen=True)
class Rain(ScaledShift):
    """Rain: bright streaks of near drops, and the grey veil that all the others make before what is far.

    Drops are as large and as many as Marshall & Palmer (J. Meteor. 1948) found for a rate of rain, and fall
    as fast as Atlas, Srivastava & Sekhon (Rev. Geophys. 1973) give for their size. Those of 1 mm and more
    between 0.25 and 1.5 m are drawn, as streaks of the length that they fall while the shutter is open; all
    together take exp(−βd) of the light (β is twice the area of the drops per volume) and send the sky's
    instead: Koschmieder's law over the plane of ``haze``. In linear light; a drop shows the sky, for it
    gathers light from nearly all round (Garg & Nayar, IJCV 2007). So streaks are faint before bright things,
    and a longer exposure makes them longer and fainter. In images below some 60 px next to no streak is
    thick enough to be seen. Differentiable.

    Not modelled: wet ground and things, drops on the lens (``spatter``), less daylight (``exposure_ev`` of
    ``night``), drops out of focus, gusts within an image, splashes. Stored values are taken to be sRGB.

    Args:
        severity: 0 to 5.
        rain_mm_h: rate of rain in millimetres per hour.
        exposure_ms: time that the shutter is open, in milliseconds.
        slant_degrees: how far wind slants the streaks at most, to either side; drawn for each sample.
        view_degrees: field of view over the shorter side of the image.
        near_m: distance of the bottom row in metres.
        far_m: distance of the top row in metres.
        airlight: light of the sky, in linear light; 1 is white.
    """

    random = True
    smooth = ("airlight",)

    rain_mm_h: float | None = scaled(_RATE_MM_H, 0, 500, "millimetres of rain per hour")
    exposure_ms: float = fixed(2, 0.01, 1000, "time that the shutter is open, in milliseconds")
    slant_degrees: float = fixed(20, 0, 80, "how far the wind may slant the streaks, to either side")
    view_degrees: float = fixed(50, 1, 170, "field of view over the shorter side")
    near_m: float = fixed(10, 0.01, 1e6, "distance of the bottom row in metres")
    far_m: float = fixed(200, 0.01, 1e6, "distance of the top row in metres")
    airlight: float = fixed(0.8, 0, 1, "linear light of the sky; 1 is white")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        if at.rain_mm_h == 0:
            return lambda image, _: image
        fall = precipitation.rain(at.rain_mm_h)
        streaks = precipitation.Streaks(fall, at.exposure_ms, at.view_degrees, at.slant_degrees, like)
        clear = torch.exp(-fall.extinction * ground_plane(at.near_m, at.far_m, like))

        def rain(image: Tensor, stream: Streams) -> Tensor:
            seen = clear * (1 - streaks(stream, image))
            return to_srgb(to_linear(image) * seen + at.airlight * (1 - seen))

        return rain
