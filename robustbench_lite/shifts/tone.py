"""Risk: what happens after the sensor. Another exposure setting, another tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_ADD = {
    32: (0, 0.05, 0.1, 0.15, 0.2, 0.3),
    64: (0, 0.1, 0.2, 0.3, 0.4, 0.5),
    224: (0, 0.1, 0.2, 0.3, 0.4, 0.5),
}
_FACTOR = {
    32: (1, 0.75, 0.5, 0.4, 0.3, 0.15),
    64: (1, 0.4, 0.3, 0.2, 0.1, 0.05),
    224: (1, 0.4, 0.3, 0.2, 0.1, 0.05),
}

_GAMMA = (1, 1.15, 1.35, 1.6, 1.9, 2.2)
_TOE = 1 / 4096


@dataclass(frozen=True)
class Brightness(ScaledShift):
    """A brighter (or darker) image: adds to the value of HSV, and keeps hue and saturation.

    Scale: brightness of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks &
    Dietterich, ICLR 2019), between them by image size. The value is the largest channel, so the rule
    carries over to any number of channels. Differentiable. Not modelled: light. Doubling the light is not
    an addition to stored values, and makes no noise here; ``night`` does it in linear light.

    Args:
        severity: 0 to 5.
        add: what is added to the value, on the [0, 1] scale; negative darkens; None takes it from the scale.
    """

    together = True
    smooth = ("add",)

    add: float | None = scaled(_ADD, -1, 1, "added to the value of HSV; images are in [0, 1]")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        return lambda images, _: _brighten(images, at.add)


def _brighten(images: Tensor, add: float) -> Tensor:
    value = images.amax(1, keepdim=True)
    target = (value + add).clamp(0, 1)
    changed = images * (target / value.clamp_min(1e-12))
    return torch.where(value > 0, changed, target)  # black has no hue: it becomes grey


@dataclass(frozen=True)
class Contrast(ScaledShift):
    """A flatter (or steeper) tone curve: every channel is pulled towards its mean over the image.

    Scale: contrast of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks & Dietterich,
    ICLR 2019), between them by image size. Differentiable. Not modelled: haze (which depends on the
    distance), local contrast, and the loss of grey levels by rounding to 8 bits after flattening.

    Args:
        severity: 0 to 5.
        factor: multiplies the distance to the mean; above 1 steepens; None takes it from the scale.
    """

    smooth = ("factor",)

    factor: float | None = scaled(_FACTOR, 0, 10, "multiplies the distance to the mean; 1 changes nothing")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        return lambda image, _: torch.lerp(image.mean((2, 3), keepdim=True), image, at.factor)


@dataclass(frozen=True)
class Gamma(ScaledShift):
    """A wrong gamma: the tone curve is left out, or applied twice, in part or in full.

    Stored values are raised to the power ``gamma``. 2.2 is what sRGB comes to: linear light that is shown as if
    it were sRGB is an image to the power 2.2, and a curve that is applied twice one to the power 1/2.2. On the
    scale the exponent grows towards that mistake at level 5, and each sample draws whether it darkens (gamma)
    or brightens (1/gamma). Below 1/4096 the curve is a straight line, which keeps the slope at black finite, as
    the toe of sRGB does. Differentiable. Not modelled: that toe itself, the loss of grey levels when the
    wrong curve is stored in 8 bits, and monitors.

    Args:
        severity: 0 to 5.
        gamma: the exponent, above 1 darkens; None takes it from the scale, with a random direction.
    """

    random = True
    smooth = ("gamma",)

    gamma: float | None = scaled(_GAMMA, 0.1, 10, "exponent of the stored values; 1 changes nothing")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        def bend(image: Tensor, stream: Streams) -> Tensor:
            brighter = self.gamma is None and stream.uniform((), "direction", like=image).item() < 0.5
            return _power(image, 1 / at.gamma if brighter else at.gamma)

        return bend


def _power(image: Tensor, exponent: float) -> Tensor:
    curve = image.clamp_min(_TOE) ** exponent
    return torch.where(image < _TOE, image * _TOE ** (exponent - 1), curve)
