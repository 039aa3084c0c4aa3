"""Risk: how images are stored and sent. Lossy compression, and how strong it is."""

from __future__ import annotations

import io
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_QUALITY = {
    32: (100, 80, 65, 58, 50, 40),
    64: (100, 65, 58, 50, 40, 25),
    224: (100, 25, 18, 15, 10, 7),
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

    differentiable = False

    quality: int | None = scaled(_QUALITY, 1, 100, "JPEG quality")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        return lambda image, _: _store_and_read(image, round(at.quality))


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
