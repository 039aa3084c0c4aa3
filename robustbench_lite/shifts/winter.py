"""Risk: the season. A winter's day: cold light from low down, haze, falling snow, ice on the window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts import precipitation
from robustbench_lite.shifts.haze import ground_plane, transmission
from robustbench_lite.shifts.ice import Ice
from robustbench_lite.shifts.light import DAYLIGHT_K, channel_gains, lamp_gains, places, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_CCT_K = (DAYLIGHT_K, 7000, 7500, 8200, 9000, 10_000)  # an overcast sky, towards open shade
_EXPOSURE_EV = (0, -0.4, -0.8, -1.2, -1.6, -2)
_AMBIENT = (1, 0.85, 0.7, 0.55, 0.45, 0.35)
_VISIBILITY_M = (math.inf, 4000, 2000, 1000, 600, 400)
_SNOW_MM_H = (0, 0.2, 0.5, 1, 1.8, 3)  # of water
_FROST = (0, 0.1, 0.2, 0.35, 0.5, 0.7)
_SUN = math.radians(30)  # how far a shadow may run off the horizontal
_WIDEST, _NARROWEST, _PENUMBRA = 0.35, 0.15, 0.1  # of a shadow, in sides of the image
_VIEW_DEGREES, _SLANT_DEGREES = 50, 40


@dataclass(frozen=True)
class Winter(ScaledShift):
    """A winter's day: less light, bluer and from low down; haze; falling snow; ice on the window.

    A chain in linear light: the light's colour, less what white balance takes out, and its exposure; a long
    soft shadow, of something tall beside the scene under a low sun; falling snow over what haze leaves, by
    Koschmieder's law over the plane of ``haze``; ice that has grown from the rim of the window (the crystals
    of ``frost``). The sky that haze, flakes and ice show has the colour and the exposure of the light. On an
    image that has not three channels all but the colour happens.

    Sources: Gunn & Marshall (J. Meteor. 1958) for how many flakes there are of which size (0.06 g/cm³, 1 m/s);
    Kim et al. (US patent 7024034, 2002) for the colour of black bodies. Colour temperatures from an overcast
    sky to open shade; the other levels are our choice. Differentiable.

    Not modelled: snow that lies on things, and the light that it throws back; bare trees, wet and salted
    ground; breath and fog on the lens, the blur behind ice; flakes out of focus, or darker than the sky; the noise
    of less light (``night`` has it). Stored values are taken to be sRGB.

    Args:
        severity: 0 to 5. It sets every argument below that is None.
        cct_k: colour temperature of the light in kelvin, 2000 to 25,000; 6500 is daylight.
        white_balance: share of the colour cast that the camera takes out, 0 to 1.
        exposure_ev: change of the light in stops, -10 to 0.
        ambient: share of the light that is left in the shadow, 0 to 1.
        visibility_m: distance at which 5 % of the contrast is left, in metres.
        snow_mm_h: rate of snow, in millimetres of water per hour.
        frost: share of the light that ice as bright as can be takes at the rim of the image, 0 to 1.
        exposure_ms: time that the shutter is open, in milliseconds.
        near_m: distance of the bottom row in metres.
        far_m: distance of the top row in metres.
        airlight: light of the sky before the change of exposure, in linear light; 1 is white.
    """

    random = True
    smooth = ("exposure_ev", "ambient")

    cct_k: float | None = scaled(_CCT_K, 2000, 25_000, "colour temperature of the light in kelvin")
    white_balance: float = fixed(0.3, 0, 1, "share of the colour cast that is taken out")
    exposure_ev: float | None = scaled(_EXPOSURE_EV, -10, 0, "change of the light in stops")
    ambient: float | None = scaled(_AMBIENT, 0, 1, "share of the light that is left in the shadow")
    visibility_m: float | None = scaled(
        _VISIBILITY_M, 1, math.inf, "metres at which 5 % of the contrast is left", inverse=True
    )
    snow_mm_h: float | None = scaled(_SNOW_MM_H, 0, 50, "millimetres of water per hour, falling as snow")
    frost: float | None = scaled(_FROST, 0, 1, "share of the light that ice takes at the rim of the image")
    exposure_ms: float = fixed(10, 0.01, 1000, "time that the shutter is open, in milliseconds")
    near_m: float = fixed(10, 0.01, 1e6, "distance of the bottom row in metres")
    far_m: float = fixed(200, 0.01, 1e6, "distance of the top row in metres")
    airlight: float = fixed(0.8, 0, 1, "linear light of the sky before the exposure; 1 is white")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        down, across = places(like)
        light: float | Tensor = 2.0**at.exposure_ev
        if like.shape[1] == 3:
            light = channel_gains(lamp_gains(at.cct_k, at.white_balance), like) * light
        sky = at.airlight * light
        clear = transmission(at.visibility_m, ground_plane(at.near_m, at.far_m, like))
        flakes = _flakes(at, like) if at.snow_mm_h else None
        ice = Ice(min(max(math.sqrt(down.numel() * across.numel()) / 224, 0.05), 4), like) if at.frost else None
        rim = (2 * torch.maximum(down.abs(), across.abs())).clamp_max(1) ** 2 * at.frost

        def snowed_in(image: Tensor, stream: Streams) -> Tensor:
            seen = to_linear(image) * light
            shade = _shade(down, across, stream.uniform((4,), "shadow", like=image)[0])
            seen = seen * (1 - (1 - at.ambient) * shade)
            through = clear * (1 - flakes(stream, image)) if flakes else clear
            seen = seen * through + sky * (1 - through)
            if ice:
                film = rim * ice(stream, image)
                seen = seen + film * (sky - seen)
            return to_srgb(seen)

        return snowed_in


def _flakes(at: SimpleNamespace, like: Tensor) -> precipitation.Streaks:
    fall = precipitation.snow(at.snow_mm_h)
    return precipitation.Streaks(fall, at.exposure_ms, _VIEW_DEGREES, _SLANT_DEGREES, like)


def _shade(down: Tensor, across: Tensor, drawn: Tensor) -> Tensor:
    """How deep in a long shadow each place lies, 0 to 1, (H, W), for 4 random numbers.

    The shadow of something tall beside the scene, under a low sun: a band from edge to edge with soft borders.
    """
    angle = _SUN * (2 * drawn[0] - 1)
    middle = 0.6 * (drawn[1] - 0.5)
    half = (_NARROWEST + (_WIDEST - _NARROWEST) * drawn[2]) / 2
    outside = ((down - middle) * angle.cos() + across * angle.sin()).abs() - half
    lit = (outside / _PENUMBRA + 0.5).clamp(0, 1)
    return 1 - lit * lit * (3 - 2 * lit)
