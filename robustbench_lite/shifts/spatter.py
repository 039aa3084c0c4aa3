"""Risk: the weather. Water or mud that splashed onto the window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.blur import Blur
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

# Theirs, on stored values: the colours, and the filter that lights a drop from the upper left.
_WATER = (175 / 255, 238 / 255, 238 / 255)
_MUD = (63 / 255, 42 / 255, 20 / 255)
_LUMINANCE = (0.2125, 0.7154, 0.0721)
_RELIEF = ((-2.0, -1.0, 0.0), (-1.0, 1.0, 1.0), (0.0, 1.0, 2.0))
_DENSE = 0.8  # mud that is thinner is left out
_RIM_PX = 1.5  # of a drop that is flat: what the rounding of distances in their code comes to

# Ours: the share of the image that is covered, as the quantile that the threshold is of the blurred noise.
# It is 0, 2, 5, 10, 20 and 32 %. Their scale turns from water to mud on the way.
_QUANTILES = (3.3, 2.05, 1.65, 1.28, 0.84, 0.47)
_MEAN, _SPREAD = (0.65,) * 6, (0.3,) * 6
_SIGMA_PX = {32: (1,) * 6, 64: (1.3,) * 6, 224: (3,) * 6}
_THRESHOLD = {
    side: tuple(0.65 + quantile * 0.3 / (2 * math.sqrt(math.pi) * sigma) for quantile in _QUANTILES)
    for side, (sigma, *_) in _SIGMA_PX.items()
}
_INTENSITY = (0.6,) * 6


@dataclass(frozen=True)
class Spatter(ScaledShift):
    """Drops of water that glitter, or blots of mud, on the window in front of the camera.

    The extra corruption spatter of ImageNet-C, CIFAR-10-C and Tiny-ImageNet-C (Hendrycks & Dietterich, ICLR
    2019), on the stored values: where blurred noise exceeds a threshold there is liquid. Mud is theirs.
    Their water follows the distance to the edge of the drop, found by an edge detector, equalised, and lit
    from the upper left; ours takes the rank of the noise for the rank of that distance, which costs a
    fifth of the time. Scale: ours, of the share of the image that is covered, for theirs turns from water to mud
    on the way. Differentiable. Not modelled: what drops do to light. A real one shows the scene upside
    down, blurred; here it only shines.

    Args:
        severity: 0 to 5.
        mean: of the noise that drops are made of.
        spread: standard deviation of that noise, before the blur.
        sigma_px: blur of that noise in pixels: larger drops.
        threshold: there is liquid where the blurred noise exceeds it.
        intensity: of water: the light of the brightest point of all drops, on the [0, 1] scale. Of mud: how soft
            its edge is, as the standard deviation of a blur in pixels.
        mud: mud in place of water.
    """

    random = True

    mean: float | None = scaled(_MEAN, -10, 10, "mean of the noise that drops are made of")
    spread: float | None = scaled(_SPREAD, 0.001, 10, "standard deviation of that noise, before the blur")
    sigma_px: float | None = scaled(_SIGMA_PX, 0.1, 100, "blur of that noise in pixels")
    threshold: float | None = scaled(_THRESHOLD, -10, 10, "where the blurred noise exceeds it there is liquid")
    intensity: float | None = scaled(
        _INTENSITY, 0, 100, "light of water on the [0, 1] scale; blur of mud in pixels"
    )
    mud: bool = False

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        liquid = _Liquid(at, like)
        if self.mud:
            soft, mud = Blur(max(at.intensity, 0.1), like), _colour(_MUD, like)

            def muddy(image: Tensor, stream: Streams) -> Tensor:
                cover = soft((liquid.height(stream, image) > 0).to(image))
                return image + torch.where(cover < _DENSE, 0, cover) * (mud - image)

            return muddy
        water = _colour(_WATER, like) * at.intensity
        return lambda image, stream: image + water * liquid.glitter(liquid.height(stream, image))


class _Liquid:
    """Blurred noise above a threshold.

    Args:
        at: the arguments of ``Spatter``.
        like: images of the size, device and dtype that the drops are for.
    """

    def __init__(self, at: SimpleNamespace, like: Tensor) -> None:
        self._blur = Blur(at.sigma_px, like)
        dot = torch.zeros(1, 1, *like.shape[-2:]).to(like)
        dot[..., like.shape[-2] // 2, like.shape[-1] // 2] = 1
        # What the blur leaves of the noise's standard deviation, away from the edges.
        spread = at.spread * self._blur(dot).norm().item()
        unit = math.sqrt(2) * spread  # in which erf takes it
        self._gain, self._level = at.spread / unit, (at.mean - at.threshold) / unit
        self._rim = _RIM_PX / (2 * at.sigma_px)  # the slope of a blurred field is about its spread / (√2 σ)
        self._relief = torch.tensor(_RELIEF).to(like)[None, None] / 2

    def height(self, stream: Streams, like: Tensor) -> Tensor:
        """(1, 1, H, W): height above the threshold, in √2 standard deviations of the blurred noise."""
        noise = stream.normal((1, *like.shape[-2:]), "drops", like=like)
        return self._blur(noise).mul_(self._gain).add_(self._level)

    def glitter(self, height: Tensor) -> Tensor:
        """(1, 1, H, W): light of the drops, 1 at the brightest point."""
        away = (height.abs() - self._rim).clamp_min_(0)
        # Twice the share of a normal field that is nearer to the threshold.
        rank = torch.erf(away - self._level).add_(torch.erf(away + self._level))
        lit = functional.conv2d(functional.pad(rank, (1, 1, 1, 1), mode="replicate"), self._relief).clamp_(0, 1)
        lit = functional.avg_pool2d(lit, 3, 1, 1).mul_(height > 0)
        return lit / lit.max().clamp_min(1e-12)


def _colour(rgb: tuple[float, float, float], like: Tensor) -> Tensor:
    """The colour for images of three channels, (1, 3, 1, 1); its luminance for any other."""
    if like.shape[1] == 3:
        return torch.tensor(rgb).to(like).view(1, 3, 1, 1)
    return torch.tensor(sum(a * b for a, b in zip(rgb, _LUMINANCE, strict=True))).to(like)
