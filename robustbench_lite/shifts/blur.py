"""Risk: the lens. Out of focus, dirty, or replaced by a softer one."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.shifts.scale import Change, ScaledShift, number, scaled

_SIGMA_PX = {
    32: (0, 0.4, 0.6, 0.7, 0.8, 1.0),
    64: (0, 0.5, 0.75, 1.0, 1.25, 1.5),
    224: (0, 1.0, 2.0, 3.0, 4.0, 6.0),
}


@dataclass(frozen=True)
class GaussianBlur(ScaledShift):
    """Blur by a lens that is a little out of focus: a Gaussian point spread function.

    Scale: the extra corruption gaussian_blur of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224
    px; Hendrycks & Dietterich, ICLR 2019), between them by image size. Beyond the edge the edge pixel is
    repeated. Differentiable. Not modelled: the disk of a real defocus, aberrations, motion, change over
    the field, and that light adds up before the camera's tone curve (the blur works on the stored values,
    as theirs does).

    Args:
        severity: 0 to 5.
        sigma_px: standard deviation of the point spread, in pixels; None takes it from the scale.
    """

    smooth = ("sigma_px",)

    sigma_px: float | None = scaled(_SIGMA_PX, 0, 100, "standard deviation in pixels")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        if at.sigma_px == 0:
            return lambda image, _: image
        blur = Blur(at.sigma_px, like)
        return lambda image, _: blur(image)


class Blur:
    """A Gaussian blur for images of one size, as two matrix products.

    A matrix per axis takes any sigma on any image, where a padded convolution fails once the kernel is wider
    than the image, and it is as fast up to about 1,000 pixels a side.

    Args:
        sigma: standard deviation in pixels; gradients reach it if it is a tensor.
        like: images of the size, device and dtype that will be blurred.
    """

    def __init__(self, sigma: float | Tensor, like: Tensor) -> None:
        self._rows = _matrix(like.shape[-2], sigma).to(like)
        self._columns = _matrix(like.shape[-1], sigma).T.to(like)

    def __call__(self, images: Tensor) -> Tensor:
        return self._rows @ images @ self._columns


def _matrix(size: int, sigma: float | Tensor) -> Tensor:
    """(size, size): row i holds the weights of all pixels in the blurred pixel i. Each row adds up to 1."""
    # Four sigma, as in the implementation that the published scale comes from.
    radius = int(4 * number(sigma) + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-((offsets / sigma) ** 2) / 2)
    weights = weights / weights.sum()
    seen = (torch.arange(size)[:, None] + offsets.long()).clamp(0, size - 1)
    return torch.zeros(size, size, dtype=torch.float64).scatter_add(1, seen, weights.repeat(size, 1))
