"""Risk: the image sensor. Four kinds of noise on stored values, as the published sets of images have them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

# Hendrycks & Dietterich (ICLR 2019): CIFAR-10-C, Tiny-ImageNet-C, ImageNet-C.
_SIGMA = {
    32: (0, 0.04, 0.06, 0.08, 0.09, 0.10),
    64: (0, 0.04, 0.08, 0.12, 0.15, 0.18),
    224: (0, 0.08, 0.12, 0.18, 0.26, 0.38),
}
_PHOTONS = {
    32: (1e9, 500, 250, 100, 75, 50),
    64: (1e9, 250, 100, 50, 30, 15),
    224: (1e9, 60, 25, 12, 5, 3),
}
_AMOUNT = {
    32: (0, 0.01, 0.02, 0.03, 0.05, 0.07),
    64: (0, 0.01, 0.02, 0.05, 0.08, 0.14),
    224: (0, 0.03, 0.06, 0.09, 0.17, 0.27),
}
_SPECKLE = {
    32: (0, 0.06, 0.10, 0.12, 0.16, 0.20),
    64: (0, 0.15, 0.20, 0.25, 0.30, 0.35),
    224: (0, 0.15, 0.20, 0.35, 0.45, 0.60),
}


@dataclass(frozen=True)
class GaussianNoise(ScaledShift):
    """Noise of the electronics: the same everywhere, independent per pixel and channel.

    Scale: gaussian_noise of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks &
    Dietterich, ICLR 2019), between them by image size. Differentiable. Not modelled: photon noise, which
    grows with the light (``sensor_noise`` has it), fixed patterns, hot pixels, and the correlation that
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
        return lambda images, streams: (streams.normal(like.shape[1:], "noise", like=like) * at.sigma).add_(images)


@dataclass(frozen=True)
class ShotNoise(ScaledShift):
    """Few photons, as the published sets of images count them: a Poisson number of them for every stored value.

    Scale: shot_noise of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks &
    Dietterich, ICLR 2019), between them by image size, and between levels linear in 1/photons, which is
    the variance. Not differentiable: photons are whole. Not modelled: light. Stored values are not
    proportional to photons; ``sensor_noise`` counts electrons in linear light, and adds read noise.

    Args:
        severity: 0 to 5.
        photons: mean number of photons in a white value; None takes it from the scale.
    """

    together = True
    random = True
    differentiable = False

    photons: float | None = scaled(_PHOTONS, 0.1, 1e9, "photons in a white value", inverse=True)

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        def count(images: Tensor, streams: Streams) -> Tensor:
            noise = streams.normal(like.shape[1:], "photons", like=like)
            return poisson(images.mul_(at.photons), noise).div_(at.photons)

        return count


def poisson(mean: Tensor, noise: Tensor) -> Tensor:
    """Poisson numbers out of standard normal ones, in arithmetic that gives the same bits in any company.

    A quadratic in the normal number with the mean, the variance and nearly the skewness of the Poisson
    distribution (after Cornish & Fisher, 1938), rounded to whole numbers. The total variation distance to
    the exact distribution is below 0.02 for every mean, and below 0.002 from 10 on.

    Args:
        mean: not negative, any shape.
        noise: standard normal numbers of the same shape.
    """
    # mean + b (z² - 1) + a z with a² + 2 b² = mean and b = root / (6 wider): for large means b is 1/6, so
    # that the third moment is right too; for small ones it is all of the variance. Then a = 6 root b.
    root = mean.sqrt()
    wider = (mean + 1 / 18).sqrt_()
    quadratic = (noise / 6).add_(root).mul_(noise).sub_(1 / 6).mul_(root.div_(wider))
    return quadratic.add_(mean).round_().clamp_min_(0)


@dataclass(frozen=True)
class ImpulseNoise(ScaledShift):
    """Salt and pepper: values that were lost in the converter or on the way, and are now white or black.

    Scale: impulse_noise of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks &
    Dietterich, ICLR 2019), between them by image size. Each value of each channel is hit on its own, half
    of them by salt. Differentiable (the lost values have no gradient). Not modelled: whole pixels, rows or
    packets that are lost, and pixels that are lost in every image (``hot_pixels``).

    Args:
        severity: 0 to 5.
        amount: share of the values that are lost; None takes it from the scale.
    """

    together = True
    random = True

    amount: float | None = scaled(_AMOUNT, 0, 1, "share of the values that are lost")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        # As many normal numbers lie beyond this, on either side, as values are lost.
        threshold = -NormalDist().inv_cdf(at.amount / 2) if at.amount else math.inf

        def lose(images: Tensor, streams: Streams) -> Tensor:
            # Whole numbers: 0 nearly everywhere, elsewhere far enough from 0 to be cut off at black or white.
            # Comparisons and masks cost five times as much.
            return images.add_(
                streams.normal(like.shape[1:], "impulses", like=like).div_(threshold).trunc_().mul_(2)
            )

        return lose


@dataclass(frozen=True)
class SpeckleNoise(ScaledShift):
    """Noise in proportion to the stored value: a Gaussian gain per value.

    Scale: the extra corruption speckle_noise of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224
    px; Hendrycks & Dietterich, ICLR 2019), between them by image size. Differentiable. Not modelled: the
    interference of coherent light (laser, ultrasound, radar), whose speckle is exponential in intensity
    and has a grain of more than one pixel.

    Args:
        severity: 0 to 5.
        sigma: standard deviation of the gain; None takes it from the scale.
    """

    together = True
    random = True
    smooth = ("sigma",)

    sigma: float | None = scaled(_SPECKLE, 0, 10, "standard deviation of the gain")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        def speckle(images: Tensor, streams: Streams) -> Tensor:
            gain: Tensor = 1 + streams.normal(like.shape[1:], "speckle", like=like) * at.sigma
            return images * gain

        return speckle
