"""Risk: the lens. Focused on another distance than that of the object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from robustbench_lite.shifts.blur import Convolution, gaussian_weights
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, number, scaled

# 0.5: the disk lies within its pixel, and nothing is seen of it.
_RADIUS_PX = {
    32: (0.5, 0.8, 1.0, 1.25, 1.6, 2.0),
    64: (0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
    224: (0.5, 3.0, 4.0, 6.0, 8.0, 10.0),
}
_STRIPS = 32  # of a pixel, for the area that the disk covers


@dataclass(frozen=True)
class DefocusBlur(ScaledShift):
    """Out of focus: every point becomes a disk, the image of the round aperture.

    The weight of a pixel is the share of the disk's area that it holds, so the radius may be any number;
    below 0.5 pixels nothing changes. Beyond the edge the edge pixel is repeated. Differentiable.

    Scale: at 224 pixels the radii of defocus_blur of ImageNet-C (Hendrycks & Dietterich, ICLR 2019). Those
    of CIFAR-10-C and Tiny-ImageNet-C begin below 1 pixel, where their disk is one pixel and all blur comes
    from ``alias_sigma_px``; the radii for 32 and 64 pixels are ours. Not modelled: how the disk grows with
    the distance (all of the scene is equally out of focus), the corners of a stopped-down aperture,
    vignetted disks off the axis, diffraction.

    Args:
        severity: 0 to 5.
        radius_px: of the disk, in pixels; None takes it from the scale.
        alias_sigma_px: standard deviation of a Gaussian that softens the disk's rim, in pixels.
        linear_light: whether the light is blurred, as a lens does, or the stored values, as in the
            published sets. In light, bright spots become bright disks.
        legacy: the published disk: pixels are in it or not, and the rim is softened by 3 × 3 pixels of the
            Gaussian, 5 × 5 above radius 8.
    """

    smooth = ("radius_px",)

    radius_px: float | None = scaled(_RADIUS_PX, 0, 200, "radius in pixels")
    alias_sigma_px: float = fixed(0, 0, 20, "standard deviation in pixels")
    linear_light: bool = False
    legacy: bool = False

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        kernel = published_disk(at.radius_px, at.alias_sigma_px) if self.legacy else disk(at.radius_px)
        if at.alias_sigma_px and not self.legacy:
            rim = gaussian_weights(at.alias_sigma_px)
            kernel = _softened(pad(kernel, [len(rim) // 2] * 4), rim)
        if kernel.numel() == 1:
            return lambda image, _: image
        blur = Convolution(kernel, like)
        if self.linear_light:
            return lambda image, _: to_srgb(blur(to_linear(image)))
        return lambda image, _: blur(image)


def disk(radius: float | Tensor) -> Tensor:
    """(K, K): the share of a disk's area in each pixel, for a disk about the centre of the middle one."""
    reach = max(0, math.ceil(number(radius) - 0.5))
    pixels = torch.arange(-reach, reach + 1, dtype=torch.float64)
    x = (pixels[:, None] + (torch.arange(_STRIPS) + 0.5) / _STRIPS - 0.5).flatten()
    # Half the chord at x. The floor is for the gradient, which is infinite at the root of 0.
    half = (radius * radius - x * x).clamp_min(1e-24).sqrt()
    covered = torch.minimum(half, pixels[:, None] + 0.5) - torch.maximum(-half, pixels[:, None] - 0.5)
    area = covered.clamp_min(0).view(len(pixels), len(pixels), _STRIPS).mean(-1)
    area = area + area.T  # exact along y, strips along x: the mean is the same in both
    return area / area.sum()


def published_disk(radius: float, sigma: float) -> Tensor:
    """The disk of ImageNet-C: whole pixels, softened by a Gaussian that is cut off after 3 or 5 pixels."""
    reach = 8 if radius <= 8 else math.ceil(radius)
    pixels = torch.arange(-reach, reach + 1, dtype=torch.float64)
    inside = (pixels[:, None] ** 2 + pixels**2 <= radius * radius).double()
    taps = torch.arange(-1, 2) if radius <= 8 else torch.arange(-2, 3)
    rim = torch.exp(-((taps.double() / max(sigma, 1e-3)) ** 2) / 2)
    return _softened(pad(inside / inside.sum(), [len(rim) // 2] * 4), rim / rim.sum())


def _softened(kernel: Tensor, weights: Tensor) -> Tensor:
    """The kernel (K, L) under a separable filter; it must have room for it."""
    return conv2d(kernel[None, None], (weights[:, None] * weights)[None, None], padding="same")[0, 0]
