"""Risk: the lens. The camera or the object moves while the shutter is open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.blur import Convolution
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, number, scaled

_RADIUS_PX = {32: (0, 6, 6, 6, 8, 9), 64: (0, 10, 10, 10, 10, 12), 224: (0, 10, 15, 15, 15, 20)}
_SIGMA_PX = {32: (0, 1, 1.5, 2, 2.25, 2.5), 64: (0, 1, 1.5, 2, 2.5, 3), 224: (0, 3, 5, 8, 12, 15)}
_STEPS_PER_PX = 4  # along the path


@dataclass(frozen=True)
class MotionBlur(ScaledShift):
    """The camera or the object moves along a line while the shutter is open.

    The time spent at each point of the path is a Gaussian about its middle, cut off at both ends. With a
    ``sigma_px`` far above the radius the speed is even, over 2 ``radius_px``. The blur is symmetric: the
    object stays where it is. Each sample draws its direction, unless it is given. Beyond the edge the edge
    pixel is repeated. Differentiable.

    Scale: radius and sigma of motion_blur of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px;
    Hendrycks & Dietterich, ICLR 2019), between them by image size. Not modelled: paths that are not
    straight, turning and zooming cameras (``zoom_blur``), objects that move before a background at rest,
    a shutter that reads out row by row.

    Args:
        severity: 0 to 5.
        radius_px: half the length of the path, in pixels; None takes it from the scale.
        sigma_px: standard deviation along the path, in pixels; None takes it from the scale.
        degrees: direction of the path, counter-clockwise from the image's rows; None draws it, evenly from
            all directions.
        linear_light: whether the light is blurred, as in a camera, or the stored values, as in the
            published sets. In light, bright spots leave bright streaks.
        legacy: the published kernel: one half of the Gaussian, over 2 ``radius_px`` and in whole pixels,
            which also moves the object by about 0.8 sigma; directions drawn from ±45 degrees.
    """

    random = True
    smooth = ("sigma_px",)

    radius_px: float | None = scaled(_RADIUS_PX, 0, 500, "half the length of the path in pixels")
    sigma_px: float | None = scaled(_SIGMA_PX, 0, 1e6, "standard deviation in pixels")
    degrees: float | None = fixed(None, -180, 180, "counter-clockwise from the image's rows")
    linear_light: bool = False
    legacy: bool = False

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        if at.radius_px == 0 or at.sigma_px == 0:
            return lambda image, _: image
        path = _published_path(at) if self.legacy else _path(at)
        widest = 45 if self.legacy else 90

        def blur(image: Tensor, stream: Streams) -> Tensor:
            degrees = at.degrees
            if degrees is None:
                degrees = widest * (2 * stream.uniform((), "direction", like=image).item() - 1)
            kernel = line_kernel(*path, degrees, whole_pixels=self.legacy)
            return Convolution(kernel, like, small=False)(image)

        if self.linear_light:
            return lambda image, stream: to_srgb(blur(to_linear(image), stream))
        return blur


def _path(at: SimpleNamespace) -> tuple[Tensor, Tensor]:
    """Places on the path (T,) in pixels, and the share of the time that is spent there."""
    radius = at.radius_px
    places = torch.linspace(-radius, radius, 2 * math.ceil(radius * _STEPS_PER_PX) + 1, dtype=torch.float64)
    time = torch.exp(-((places / at.sigma_px) ** 2) / 2)
    half_at_the_ends = torch.ones_like(places)
    half_at_the_ends[[0, -1]] = 0.5
    time = time * half_at_the_ends
    return places, time / time.sum()


def _published_path(at: SimpleNamespace) -> tuple[Tensor, Tensor]:
    places = torch.arange(2 * math.ceil(at.radius_px) + 1, dtype=torch.float64)
    time = torch.exp(-((places / at.sigma_px) ** 2) / 2)
    return places, time / time.sum()


def line_kernel(places: Tensor, time: Tensor, degrees: float, *, whole_pixels: bool = False) -> Tensor:
    """(K, K): what a camera that moves along a line sees, of each pixel around.

    Args:
        places: (T,) on the line, in pixels from the middle of the kernel.
        time: (T,) share of the time at each place.
        degrees: direction of the line, counter-clockwise from the image's rows.
        whole_pixels: whether each place belongs to the nearest pixel, or to the four around it (bilinear).
    """
    x, y = places * math.cos(math.radians(degrees)), -places * math.sin(math.radians(degrees))
    reach = max(1, math.ceil(number(places.abs().max())))
    pixels = torch.arange(-reach, reach + 1, dtype=torch.float64)
    if whole_pixels:
        x, y = x.round(), y.round()
    across, down = ((1 - (pixels[:, None] - at).abs()).clamp_min(0) for at in (x, y))  # (K, T)
    return (down * time) @ across.T
