"""Risk: what happens after the sensor. A camera or a file chain that keeps less colour, or adds some."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_FACTOR = (1, 0.75, 0.5, 0.3, 0.15, 0)


@dataclass(frozen=True)
class Saturation(ScaledShift):
    """Less colour (or more): the saturation of HSV becomes factor times itself, plus an offset.

    The scale goes one way, from full colour to a grey image, the same at every size: what is left of colour
    in dim light, behind glass, or in a camera's infrared mode. The published scale (saturate of ImageNet-C) first
    takes colour away and then adds it, so that its level 3 is milder than its level 2; its values can be given as
    factor and offset. Value and hue stay. Grey has hue 0, red, as in Python's colorsys: an offset reddens it.
    Differentiable. Not modelled: the noise of colour in dim light, and colours outside sRGB.

    Args:
        severity: 0 to 5.
        factor: multiplies the saturation; 0 is grey, above 1 more colour; None takes it from the scale.
        offset: is added to it; None is 0.
    """

    together = True
    needs_colour = True
    smooth = ("factor", "offset")

    factor: float | None = scaled(_FACTOR, 0, 100, "multiplies the saturation of HSV; 1 changes nothing")
    offset: float | None = scaled((0,) * 6, -1, 1, "added to the saturation of HSV; 0 changes nothing")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        return lambda images, _: _saturate(images, at.factor, at.offset)


def _saturate(images: Tensor, factor: float | Tensor, offset: float | Tensor) -> Tensor:
    value = images.amax(1, keepdim=True)
    below = value - images
    chroma = below.amax(1, keepdim=True)
    # Saturation is chroma / value. A new chroma at the same value and hue stretches what lies below the value.
    new = torch.minimum((factor * chroma + offset * value).clamp_min(0), value)
    changed = value - below * (new / chroma.clamp_min(1e-12))
    if isinstance(offset, float) and offset <= 0:
        return changed
    red = torch.cat((value, value - new, value - new), 1)
    return torch.where(chroma > 0, changed, red)
