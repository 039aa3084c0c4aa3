"""Risk: how images are stored and sent. Lossy compression, and how strong it is."""

from __future__ import annotations

import io
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image, features
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_QUALITY = {
    32: (100, 80, 65, 58, 50, 40),
    64: (100, 65, 58, 50, 40, 25),
    224: (100, 25, 18, 15, 10, 7),
}
_WHITE = np.float32(255)
_WEBP_QUALITY = {
    32: (100, 80, 60, 40, 20, 5),
    224: (100, 60, 35, 18, 6, 0),
}


@dataclass(frozen=True)
class JPEG(ScaledShift):
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

    together = True
    differentiable = False

    quality: int | None = scaled(_QUALITY, 1, 100, "JPEG quality")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        return lambda images, _: _store_and_read(images, "JPEG", quality=round(at.quality))


@dataclass(frozen=True)
class WebP(ScaledShift):
    """Lossy compression: stored as WebP and read again, by Pillow.

    The scale is our choice; the quality is rounded, and depends on the image's size as that of ``jpeg`` does.
    Three channels are stored as RGB, any other number as one grey image per channel. WebP keeps colour at
    half the resolution, brightness in 220 levels, and smooths across blocks: fine texture goes, edges stay.
    Not differentiable. Not modelled: other encoders and their settings, lossless WebP, a second
    compression, video.

    Args:
        severity: 0 to 5.
        quality: WebP quality, 0 to 100; None takes it from the scale.
    """

    together = True
    differentiable = False

    quality: int | None = scaled(_WEBP_QUALITY, 0, 100, "WebP quality")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        if not features.check("webp"):
            raise InputError("this Pillow was built without WebP.", "Install one that has it: pip install pillow.")
        return lambda images, _: _store_and_read(images, "WEBP", quality=round(at.quality))


def _store_and_read(images: Tensor, file_format: str, **settings: Any) -> Tensor:
    """Images (N, C, H, W) as they come back from files. Where they are float32 on the CPU they are overwritten."""
    # NumPy, because PyTorch takes six times as long to make bytes of numbers, and twice to put colours in order.
    buffer = images.detach().float().cpu()
    values = buffer.mul_(255).round_().numpy()
    planes = values.astype(np.uint8)
    if images.shape[1] == 3:
        pixels = np.empty((len(planes), *planes.shape[2:], 3), np.uint8)
        for channel in range(3):
            pixels[..., channel] = planes[:, channel]
        for into, image in zip(values, pixels, strict=True):
            read = _through_file(image, file_format, settings).transpose(2, 0, 1)
            np.divide(read, _WHITE, out=into)
    else:
        for k in np.ndindex(planes.shape[:2]):
            np.divide(_through_file(planes[k], file_format, settings), _WHITE, out=values[k])
    return buffer.to(images)


def _through_file(pixels: np.ndarray, file_format: str, settings: dict[str, Any]) -> np.ndarray:
    """Pixels (H, W) or (H, W, 3) of 8 bits, written and read."""
    file, image = io.BytesIO(), Image.fromarray(pixels)
    image.save(file, file_format, **settings)
    read = Image.open(file, formats=(file_format,))
    return np.asarray(read if read.mode == image.mode else read.convert(image.mode))
