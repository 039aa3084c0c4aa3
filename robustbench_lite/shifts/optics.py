"""Risk: the lens. Out of focus, dirty, or replaced by a softer one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import at_size, check_range, check_severity, each_sample
from robustbench_lite.types import Shift

_SIGMA_PX = {
    32: (0, 0.4, 0.6, 0.7, 0.8, 1.0),
    64: (0, 0.5, 0.75, 1.0, 1.25, 1.5),
    224: (0, 1.0, 2.0, 3.0, 4.0, 6.0),
}


@dataclass(frozen=True)
class GaussianBlur(Shift):
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

    severity: float = 3
    sigma_px: float | None = None

    def __post_init__(self) -> None:
        check_severity(self.severity)
        check_range("sigma_px", self.sigma_px, 0, 100, "standard deviation in pixels")

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        sigma = self.sigma_px if self.sigma_px is not None else at_size(self.severity, _SIGMA_PX, images)
        if sigma == 0:
            return images.clone()
        blur = Blur(sigma, images)
        return each_sample(images, streams, lambda image, _: blur(image))


class Blur:
    """A Gaussian blur for images of one size, as two matrix products.

    A matrix per axis takes any sigma on any image, where a padded convolution fails once the kernel is wider
    than the image, and it is as fast up to about 1,000 pixels a side.

    Args:
        sigma: standard deviation in pixels.
        like: images of the size, device and dtype that will be blurred.
    """

    def __init__(self, sigma: float, like: Tensor) -> None:
        self._rows = _matrix(like.shape[-2], sigma).to(like)
        self._columns = _matrix(like.shape[-1], sigma).T.to(like)

    def __call__(self, images: Tensor) -> Tensor:
        return self._rows @ images @ self._columns


def _matrix(size: int, sigma: float) -> Tensor:
    """(size, size): row i holds the weights of all pixels in the blurred pixel i. Each row adds up to 1."""
    radius = int(4 * sigma + 0.5)  # four sigma, as in the implementation that the published scale comes from
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-((offsets / sigma) ** 2) / 2)
    weights = weights / weights.sum()
    seen = (torch.arange(size)[:, None] + offsets.long()).clamp(0, size - 1)
    return torch.zeros(size, size, dtype=torch.float64).scatter_add_(1, seen, weights.repeat(size, 1))
