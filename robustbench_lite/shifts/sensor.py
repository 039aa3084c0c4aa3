"""Risk: the image sensor. Cheaper, hotter, or older than the one the training images came from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import at_size, check_range, check_severity, each_sample
from robustbench_lite.types import Shift

_SIGMA = {
    32: (0, 0.04, 0.06, 0.08, 0.09, 0.10),
    64: (0, 0.04, 0.08, 0.12, 0.15, 0.18),
    224: (0, 0.08, 0.12, 0.18, 0.26, 0.38),
}


@dataclass(frozen=True)
class GaussianNoise(Shift):
    """Noise of the electronics: the same everywhere, independent per pixel and channel.

    Scale: gaussian_noise of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks &
    Dietterich, ICLR 2019), between them by image size. Differentiable. Not modelled: photon noise, which
    grows with the light (``night`` has it), fixed patterns, hot pixels, and the correlation that
    demosaicing puts in. The result is not rounded to 8 bits, and not stored as JPEG as the published
    image files are.

    Args:
        severity: 0 to 5.
        sigma: standard deviation on the [0, 1] scale of the stored values; None takes it from the scale.
    """

    severity: float = 3
    sigma: float | None = None

    def __post_init__(self) -> None:
        check_severity(self.severity)
        check_range("sigma", self.sigma, 0, 1, "standard deviation; images are in [0, 1]")

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        sigma = self.sigma if self.sigma is not None else at_size(self.severity, _SIGMA, images)
        if sigma == 0:
            return images.clone()
        return each_sample(
            images,
            streams,
            lambda image, stream: image + sigma * stream.normal(image.shape[1:], "noise", like=image),
        )
