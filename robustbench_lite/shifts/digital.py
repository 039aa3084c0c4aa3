"""Risk: what happens after the sensor. Another exposure setting, another tone curve, another compression."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import at_size, check_range, check_severity, each_sample
from robustbench_lite.types import Shift

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
_QUALITY = {
    32: (100, 80, 65, 58, 50, 40),
    64: (100, 65, 58, 50, 40, 25),
    224: (100, 25, 18, 15, 10, 7),
}


@dataclass(frozen=True)
class Brightness(Shift):
    """A brighter (or darker) image: adds to the value of HSV, and keeps hue and saturation.

    Scale: brightness of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks &
    Dietterich, ICLR 2019), between them by image size. The value is the largest channel, so the rule
    carries over to any number of channels. Differentiable. Not modelled: light. Doubling the light is not
    an addition to stored values, and makes no noise here; ``night`` does it in linear light.

    Args:
        severity: 0 to 5.
        add: what is added to the value, on the [0, 1] scale; negative darkens; None takes it from the scale.
    """

    severity: float = 3
    add: float | None = None

    def __post_init__(self) -> None:
        check_severity(self.severity)
        check_range("add", self.add, -1, 1, "added to the value of HSV; images are in [0, 1]")

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        add = self.add if self.add is not None else at_size(self.severity, _ADD, images)
        if add == 0:
            return images.clone()
        return each_sample(images, streams, lambda image, _: _brighten(image, add))


def _brighten(image: Tensor, add: float) -> Tensor:
    value = image.amax(1, keepdim=True)
    target = (value + add).clamp(0, 1)
    scaled = image * (target / value.clamp_min(1e-12))
    return torch.where(value > 0, scaled, target)  # black has no hue: it becomes grey


@dataclass(frozen=True)
class Contrast(Shift):
    """A flatter (or steeper) tone curve: every channel is pulled towards its mean over the image.

    Scale: contrast of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks & Dietterich,
    ICLR 2019), between them by image size. Differentiable. Not modelled: haze (which depends on the
    distance), local contrast, and the loss of grey levels by rounding to 8 bits after flattening.

    Args:
        severity: 0 to 5.
        factor: multiplies the distance to the mean; above 1 steepens; None takes it from the scale.
    """

    severity: float = 3
    factor: float | None = None

    def __post_init__(self) -> None:
        check_severity(self.severity)
        check_range("factor", self.factor, 0, 10, "multiplies the distance to the mean; 1 changes nothing")

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        factor = self.factor if self.factor is not None else at_size(self.severity, _FACTOR, images)
        if factor == 1:
            return images.clone()
        return each_sample(images, streams, lambda image, _: _flatten(image, factor))


def _flatten(image: Tensor, factor: float) -> Tensor:
    mean = image.mean((2, 3), keepdim=True)
    return (image - mean) * factor + mean


@dataclass(frozen=True)
class JPEG(Shift):
    """Lossy compression: stored as JPEG and read again, by Pillow.

    Scale: jpeg_compression of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (32, 64, 224 px; Hendrycks &
    Dietterich, ICLR 2019), between them by image size; the quality is rounded. Three channels are stored
    as RGB, with the colour at half the resolution (4:2:0, Pillow's default); any other number as one grey
    image per channel. Not differentiable: the images are rounded to 8 bits. Not modelled: a second
    compression, other encoders, video.

    Args:
        severity: 0 to 5.
        quality: JPEG quality, 1 to 100; None takes it from the scale.
    """

    severity: float = 3
    quality: int | None = None

    def __post_init__(self) -> None:
        check_severity(self.severity)
        check_range("quality", self.quality, 1, 100, "JPEG quality")

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        if self.quality is None and self.severity == 0:  # no quality, not even 100, is without loss
            return images.clone()
        quality = self.quality if self.quality is not None else at_size(self.severity, _QUALITY, images)
        return each_sample(images, streams, lambda image, _: _store_and_read(image, round(quality)))


def _store_and_read(image: Tensor, quality: int) -> Tensor:
    pixels = (image[0].detach() * 255).round().to(torch.uint8).cpu().numpy()
    if len(pixels) == 3:
        stored = _jpeg(pixels.transpose(1, 2, 0), quality).transpose(2, 0, 1)
    else:
        stored = np.stack([_jpeg(channel, quality) for channel in pixels])
    return torch.from_numpy(stored.copy()).to(image)[None] / 255


def _jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality)
    return np.asarray(Image.open(file))
