"""Risk: the image sensor. Cheaper, hotter, or older than the one the training images came from."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_SIGMA = {
    32: (0, 0.04, 0.06, 0.08, 0.09, 0.10),
    64: (0, 0.04, 0.08, 0.12, 0.15, 0.18),
    224: (0, 0.08, 0.12, 0.18, 0.26, 0.38),
}


@dataclass(frozen=True)
class GaussianNoise(ScaledShift):
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

    together = True
    random = True
    smooth = ("sigma",)

    sigma: float | None = scaled(_SIGMA, 0, 1, "standard deviation; images are in [0, 1]")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        return lambda images, streams: images + streams.normal(like.shape[1:], "noise", like=like) * at.sigma
