"""Risk: the lens. It zooms, or the camera drives forward, while the shutter is open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled
from robustbench_lite.shifts.warp import grid, pixels

_MAX_ZOOM = {
    32: (1, 1.06, 1.11, 1.16, 1.21, 1.26),
    64: (1, 1.06, 1.11, 1.16, 1.21, 1.26),
    224: (1, 1.11, 1.16, 1.21, 1.26, 1.31),
}
# A compromise: 0.02 moves the edge of an image of 224 pixels by 2 pixels; half the step takes twice the time.
_STEP = {32: (0.03,) * 6, 64: (0.02,) * 6, 224: (0.02,) * 6, 1000: (0.01,) * 6}
_FEWEST = 4  # steps of the shortest exposure


@dataclass(frozen=True)
class ZoomBlur(ScaledShift):
    """The lens zooms, or the camera drives forward, while the shutter is open.

    The mean of the image magnified about its centre by zooms in even steps from 1 to just below
    ``max_zoom``. The centre stays sharp and in its place. All of the light comes from inside the image, so
    nothing is invented. Bilinear. Differentiable.

    Scale: the largest zooms of zoom_blur of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px;
    Hendrycks & Dietterich, ICLR 2019), between them by image size; the steps are ours. Not modelled: that
    near things grow faster than far ones when the camera drives, and zooms that run at a changing speed.

    Args:
        severity: 0 to 5.
        max_zoom: the zoom at the end of the exposure; None takes it from the scale.
        step: the largest step from one zoom to the next; the smaller, the smoother and slower. None takes
            it from the scale.
        linear_light: whether the light adds up, as in a camera, or the stored values, as in the published
            sets.
    """

    max_zoom: float | None = scaled(_MAX_ZOOM, 1, 4, "zoom at the end of the exposure")
    step: float | None = scaled(_STEP, 0.001, 1, "from one zoom to the next")
    linear_light: bool = False

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        if at.max_zoom == 1:
            return lambda image, _: image
        count = max(_FEWEST, math.ceil(round((at.max_zoom - 1) / at.step, 6)))
        zooms = [1 + (at.max_zoom - 1) * k / count for k in range(count)]
        places = grid(*pixels(like), like)

        def blur(image: Tensor, _: Streams) -> Tensor:
            out: Tensor = torch.zeros_like(image)
            for zoom in zooms:
                out = out + grid_sample(image, places / zoom, "bilinear", "border", align_corners=False) / count
            return out

        if self.linear_light:
            return lambda image, stream: to_srgb(blur(to_linear(image), stream))
        return blur
