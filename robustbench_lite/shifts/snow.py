"""Risk: the weather. Snowfall, as the published corruption sets paint it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_LUMA = (0.299, 0.587, 0.114)  # of stored values, Rec. 601
_STEEPEST = math.pi / 4  # of the streaks against the vertical

# Ours: grains of one size at every severity, of which ever more are flakes; 0.4, 2, 3, 7 and 12 % of the image.
_MEAN = (-0.6, -0.2, -0.05, 0.05, 0.15, 0.25)
_SPREAD, _THRESHOLD = (0.3,) * 6, (0.6,) * 6
_ZOOM = {32: (1.25,) * 6, 64: (1.75,) * 6, 224: (3.5,) * 6}
_RADIUS_PX = {32: (5,) * 6, 64: (8,) * 6, 224: (12,) * 6}
_SIGMA_PX = {32: (2,) * 6, 64: (3,) * 6, 224: (6,) * 6}
_BLEND = (1, 0.95, 0.9, 0.86, 0.82, 0.76)


@dataclass(frozen=True)
class Snow(ScaledShift):
    """Falling snow as white streaks, before a picture that turns whiter itself.

    Noise is enlarged to grains; those above a threshold are flakes, drawn out along the way they fall (up
    to 45 degrees from the vertical, drawn for each sample), and laid over the image twice, the second
    time upside down. The image is blended with a whitened copy. This is snow of ImageNet-C, CIFAR-10-C and
    Tiny-ImageNet-C (Hendrycks & Dietterich, ICLR 2019), on the stored values. Scale: ours, for the second and
    third level of theirs are alike, and their flakes change their size from level to level. Differentiable.
    Not modelled: light and distance, flakes that are darker than the sky, snow that lies on things;
    ``winter`` has some of it.

    Args:
        severity: 0 to 5.
        mean: of the noise that flakes are made of; images are in [0, 1].
        spread: standard deviation of that noise.
        zoom: size of a grain of that noise in pixels, from 1.
        threshold: a grain below it is no flake.
        radius_px: half the length of a streak in pixels; 0 draws none.
        sigma_px: over which a streak fades, in pixels.
        blend: share of the image that is not whitened, 0 to 1.
    """

    random = True
    smooth = ("blend",)

    mean: float | None = scaled(_MEAN, -10, 10, "mean of the noise that flakes are made of")
    spread: float | None = scaled(_SPREAD, 0, 10, "standard deviation of that noise")
    zoom: float | None = scaled(_ZOOM, 1, 100, "size of a grain of that noise in pixels")
    threshold: float | None = scaled(_THRESHOLD, 0, 1, "a grain below it is no flake")
    radius_px: float | None = scaled(_RADIUS_PX, 0, 200, "half the length of a streak in pixels")
    sigma_px: float | None = scaled(_SIGMA_PX, 0.1, 200, "over which a streak fades, in pixels")
    blend: float | None = scaled(_BLEND, 0, 1, "share of the image that is not whitened")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        flakes, luma = _Flakes(at, like), _luma(like)

        def snow(image: Tensor, stream: Streams) -> Tensor:
            layer = flakes(stream, image)
            whitened = torch.maximum(image, (image * luma).sum(1, keepdim=True) * 1.5 + 0.5)
            blended: Tensor = at.blend * image + (1 - at.blend) * whitened
            return blended + layer + layer.flip(-1, -2)

        return snow


class _Flakes:
    """Grains of noise above a threshold, drawn out along the way they fall.

    Args:
        at: the arguments of ``Snow``.
        like: images of the size, device and dtype that the snow is for.
    """

    def __init__(self, at: SimpleNamespace, like: Tensor) -> None:
        self._at = at
        self._height, self._width = like.shape[-2:]
        taps = torch.arange(2 * round(at.radius_px) + 1, dtype=torch.float64)
        weights = torch.exp(-((taps / at.sigma_px) ** 2) / 2)
        self._weights = (weights / weights.sum()).tolist()
        # Streaks come from above, at up to 45 degrees: so much more is needed there and to both sides.
        self._above = len(taps)
        self._rows = _enlarging(self._height + self._above, at.zoom, like)
        self._columns = _enlarging(self._width + 2 * self._above, at.zoom, like).T

    def __call__(self, stream: Streams, like: Tensor) -> Tensor:
        """How much snow there is before each pixel of one image, (H, W), in [0, 1]."""
        grains = stream.normal((self._rows.shape[1], self._columns.shape[0]), "snow", like=like)[0]
        grains = self._rows @ (grains * self._at.spread + self._at.mean) @ self._columns
        grains = torch.where(grains < self._at.threshold, 0, grains.clamp(0, 1))
        slant = _STEEPEST * (2 * stream.uniform((1,), "slant", like=like).item() - 1)
        streaks = torch.zeros_like(grains[: self._height, : self._width])
        for tap, weight in enumerate(self._weights):
            y = self._above - round(tap * math.cos(slant))
            x = self._above - round(tap * math.sin(slant))
            streaks.add_(grains[y : y + self._height, x : x + self._width], alpha=weight)
        return streaks


def _enlarging(size: int, zoom: float, like: Tensor) -> Tensor:
    """(size, n): linear interpolation between n points that lie zoom apart."""
    place = torch.arange(size, dtype=torch.float64) / zoom
    points = torch.arange(int(place[-1]) + 2)
    return (1 - (place[:, None] - points).abs()).clamp_min(0).to(like)


def _luma(like: Tensor) -> Tensor:
    """(1, C, 1, 1): share of each channel in the luma of a colour image, in the mean of any other."""
    channels = like.shape[1]
    weights = _LUMA if channels == 3 else (1 / channels,) * channels
    return torch.tensor(weights).to(like).view(1, channels, 1, 1)
