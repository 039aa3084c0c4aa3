"""The physics of light that shifts share: sRGB, the colour of lamps, glare, and the electrons of a sensor."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad, softshrink

from robustbench_lite.shifts.blur import Blur
from robustbench_lite.shifts.scale import number

DAYLIGHT_K = 6500.0  # the white of sRGB, D65, is close to this black body

# Rec. 709: from the linear XYZ of a light to linear sRGB, and the share of each channel in the luminance.
_XYZ_TO_RGB = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))
_LUMINANCE = (0.2126, 0.7152, 0.0722)
_STORED_JOINT, _LIGHT_JOINT = 0.04045, 0.0031308  # where the line of sRGB meets its curve


def to_linear(images: Tensor) -> Tensor:
    """Stored sRGB values to linear light, both in [0, 1] (IEC 61966-2-1)."""
    # The line up to the joint, and what the curve ((x + 0.055) / 1.055) ** 2.4 adds beyond it. exp and log are
    # three times as fast as pow. The threshold is the curve at the joint, rounded up, so that black stays 0.
    curve = images.clamp_min(_STORED_JOINT).add_(0.055).log_().mul_(2.4).exp_()
    line = images.clamp_max(_STORED_JOINT).div_(12.92)
    return line.add_(softshrink(curve, 0.00313082 * 1.055**2.4), alpha=1.055**-2.4)


def to_srgb(light: Tensor) -> Tensor:
    """Linear light to stored sRGB values, both in [0, 1]; the inverse of ``to_linear``."""
    # As there. The floor also keeps the slope finite: the gradient would be NaN at 0.
    curve = light.clamp_min(_LIGHT_JOINT).log_().mul_(1 / 2.4).exp_()
    return light.clamp_max(_LIGHT_JOINT).mul_(12.92).add_(softshrink(curve, 0.0954501 / 1.055), alpha=1.055)


def planckian_xy(kelvin: float) -> tuple[float, float]:
    """CIE 1931 chromaticity of a black body of 1667 to 25,000 K.

    The cubic splines of Kim et al. (US patent 7024034, 2002), within 0.001 of the integral over the spectrum.
    """
    t = 1000 / kelvin
    if kelvin <= 4000:
        x = ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910
    else:
        x = ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390
    if kelvin <= 2222:
        y = ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683
    elif kelvin <= 4000:
        y = ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867
    else:
        y = ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483
    return x, y


def planckian_rgb(kelvin: float) -> tuple[float, float, float]:
    """Linear sRGB of a black body with luminance 1. Channels may exceed 1."""
    x, y = planckian_xy(kelvin)
    r, g, b = (row[0] * x / y + row[1] + row[2] * (1 - x - y) / y for row in _XYZ_TO_RGB)
    return r, g, b


def lamp_gains(kelvin: float, white_balance: float) -> tuple[float, float, float]:
    """Gains of red, green and blue when daylight gives way to a lamp, and the camera corrects for part of it.

    Von Kries in linear sRGB: each channel is scaled by what the lamp has of it, against daylight. The camera
    takes out the share ``white_balance`` of the cast, in stops. Grey keeps its luminance.
    """
    lamp, daylight = planckian_rgb(kelvin), planckian_rgb(DAYLIGHT_K)
    cast = [(a / b) ** (1 - white_balance) for a, b in zip(lamp, daylight, strict=True)]
    luminance = sum(share * gain for share, gain in zip(_LUMINANCE, cast, strict=True))
    r, g, b = (gain / luminance for gain in cast)
    return r, g, b


def channel_gains(gains: Sequence[float | Tensor], like: Tensor) -> Tensor:
    """Gains of red, green and blue as (1, 3, 1, 1), for images like these. Gradients pass."""
    return torch.stack([torch.as_tensor(gain).to(like) for gain in gains]).view(1, 3, 1, 1)


def places(like: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the pixels, down (H, 1) and across (W), from the middle, in shares of the image's side.

    The side of an image that is not square is that of the square with as many pixels.
    """
    height, width = like.shape[-2:]
    side = (height * width) ** 0.5
    down, across = (torch.arange(n, device=like.device, dtype=like.dtype) + (1 - n) / 2 for n in (height, width))
    return down[:, None] / side, across / side


def falloff(down: Tensor, across: Tensor, lamp: Sequence[float], loss: float | Tensor) -> Tensor:
    """Light of one lamp over the image: 1 under the lamp, less elsewhere, (H, W).

    A flat lamp that hangs over a flat scene: the cosine-fourth law. Its height follows from the loss.

    Args:
        down: places of the pixels, as from ``places``.
        across: the same.
        lamp: place of the lamp, down and across, in shares of the image's height and width.
        loss: share of the light that is missing in the pixel farthest from the lamp, below 1.
    """
    height, width = len(down), len(across)
    side = (height * width) ** 0.5
    y, x = down - (lamp[0] - 0.5) * height / side, across - (lamp[1] - 0.5) * width / side
    squared = y * y + x * x
    tangent: Tensor = squared * (((1 - loss) ** -0.5 - 1) / squared.amax())  # squared, of the angle under the lamp
    return (1 + tangent).square().reciprocal()


class Bloom:
    """Light that lens and haze scatter far from where it belongs.

    The point spread is the mean of a near and a far Gaussian, of 1.5 % and 8 % of the image's side: a
    stand-in for the long tail of measured glare. What is nearly white in the image was cut off there, and
    stands for a source that is brighter than white. From 128 pixels on, the spread is computed on blocks.

    Args:
        share: part of the light that is scattered.
        like: images of the size, device and dtype that will be changed.
    """

    _SPREADS = (0.015, 0.08)  # of the side
    _BLOCKS = 64  # at least so many per side: less than the near spread
    _NEARLY_WHITE = 0.9  # linear; 0.95 in stored values
    _SOURCE = 2.0  # how much brighter than white

    def __init__(self, share: float, like: Tensor) -> None:
        height, width = like.shape[-2:]
        side = (height * width) ** 0.5
        self._share = share
        self._block = max(1, int(side / self._BLOCKS))
        # Full blocks, with the edge repeated.
        self._padding = (0, -width % self._block, 0, -height % self._block)
        blocks = like.new_empty(1, 1, -(-height // self._block), -(-width // self._block))
        self._near, self._far = (Blur(spread * side / self._block, blocks) for spread in self._SPREADS)

    def __call__(self, light: Tensor, white: float | Tensor) -> Tensor:
        """Light (1, C, H, W) with glare; ``white`` is what a white of the original image has become."""
        nearly = self._NEARLY_WHITE * white
        beyond = ((light - nearly) / (white - nearly)).clamp(0, 1)
        sources = torch.addcmul(light, light, beyond, value=self._SOURCE - 1)
        if self._block > 1:
            sources = avg_pool2d(pad(sources, self._padding, mode="replicate"), self._block)
        scattered = self._near(sources) + self._far(sources)
        if self._block > 1:
            scattered = interpolate(scattered, scale_factor=self._block, mode="bilinear")
            scattered = scattered[..., : light.shape[-2], : light.shape[-1]]
        return (1 - self._share) * light + self._share / 2 * scattered


def smear(light: Tensor, down_px: float | Tensor, across_px: float | Tensor) -> Tensor:
    """Light (1, C, H, W) that is gathered while the image moves along a straight path; edges are repeated.

    The middle of the path is where the image was. Gradients reach its two components, in pixels.
    """
    steps = 2 * math.ceil(math.hypot(number(down_px), number(across_px))) + 1
    weights: dict[tuple[int, int], float | Tensor] = defaultdict(float)
    for step in range(steps):
        y, x = (way * ((step + 0.5) / steps - 0.5) for way in (down_px, across_px))
        top, left = math.floor(number(y)), math.floor(number(x))
        for row, part in ((top, top + 1 - y), (top + 1, y - top)):
            weights[row, left] += part * (left + 1 - x) / steps
            weights[row, left + 1] += part * (x - left) / steps
    reach = max(max(map(abs, place)) for place in weights)
    wide = pad(light, (reach,) * 4, mode="replicate")
    height, width = light.shape[-2:]
    gathered = torch.zeros_like(light)
    for (row, column), weight in weights.items():
        moved = wide[..., reach + row : reach + row + height, reach + column : reach + column + width]
        gathered = torch.addcmul(gathered, moved, torch.as_tensor(weight).to(light))
    return gathered


def smooth_out(light: Tensor, share: float) -> Tensor:
    """Light (1, C, H, W) with a share of the mean over 3 × 3 pixels, with the weights 1, 2, 1 each way."""
    wide = pad(light, (1, 1, 1, 1), mode="replicate")
    rows = wide[..., :-2, :] + wide[..., 2:, :] + 2 * wide[..., 1:-1, :]
    mean = rows[..., :-2] + rows[..., 2:] + 2 * rows[..., 1:-1]
    return (1 - share) * light + share / 16 * mean


def expose_sensor(
    light: Tensor, noise: Tensor, full_well_e: float, read_noise_e: float, offset_e: float | Tensor = 0
) -> Tensor:
    """What a sensor reads: photon noise, read noise, cut off at black and at the full well.

    The variance grows linearly with the light (EMVA 1288): electrons + read noise², in electrons. The
    Poisson distribution of the photons is replaced by the Gaussian of the same mean and variance, through
    which gradients flow.

    Args:
        light: linear, 1 fills the well.
        noise: standard normal numbers of the same shape.
        full_well_e: electrons at 1.
        read_noise_e: standard deviation of the read noise, in electrons.
        offset_e: added to every pixel, in electrons.
    """
    # In units of the full well: a well that is as good as infinite would overflow. The floor is for the
    # gradient, which is infinite at the root of 0.
    variance = light / full_well_e + (read_noise_e / full_well_e) ** 2
    read = torch.addcmul(light, variance.clamp_min_(1e-24).sqrt(), noise)
    return (read + offset_e / full_well_e).clamp(0, 1)


def quantise(light: Tensor, bits: int) -> Tensor:
    """Rounded to 2**bits levels from 0 to 1. The gradient is passed through unchanged."""
    steps = (1 << bits) - 1
    rounded = (light.detach().clamp(0, 1) * steps).round() / steps
    return rounded + (light - light.detach())
