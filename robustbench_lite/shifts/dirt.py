"""Risk: the lens. Dust on it, and scratches in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import places, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_AREA = (0, 0.015, 0.03, 0.05, 0.08, 0.12)
_TRANSMISSION = (1, 0.85, 0.7, 0.55, 0.4, 0.25)
_COUNT = (0, 2, 4, 7, 10, 14)
_OPACITY = (0, 0.25, 0.35, 0.45, 0.55, 0.65)
_VEIL = (0, 0.01, 0.02, 0.04, 0.06, 0.1)
_MOST = 256  # grains or scratches


@dataclass(frozen=True)
class LensDust(ScaledShift):
    """Grains of dust on the front of the lens: soft dark disks, because they are far out of focus.

    In linear light, as in Gu, Ramamoorthi, Belhumeur & Nayar, Removing Image Artifacts Due to Dirty Camera
    Lenses and Thin Occluders (SIGGRAPH Asia 2009): the image is multiplied by what the grains let pass, and
    where they do not, they scatter some light of the surroundings. Every sample has its grains, at places of
    their own; a higher severity adds grains and makes all of them denser. Their radii are 0.6 to 1.4 times
    ``radius``; what each keeps back is 0.5 to 1 of the most. Area, transmission and radius are our choice.
    Differentiable.

    Not modelled: grains on the sensor (small and sharp), drops (they bend light), fingerprints (``bloom``),
    the shape of the aperture, grains lit by the sun.

    Args:
        severity: 0 to 5.
        area: share of the image that the disks would cover if none overlapped; None takes it from the scale.
        transmission: share of the light that the densest grain lets pass; None takes it from the scale.
        radius: mean radius of the disks, as a share of the image's side.
        veil: light that the grains scatter, where 1 is the mean of the image.
    """

    random = True

    area: float | None = scaled(_AREA, 0, 0.5, "share of the image")
    transmission: float | None = scaled(_TRANSMISSION, 0, 1, "share of the light that passes")
    radius: float = fixed(0.04, 0.025, 0.5, "share of the image's side")
    veil: float = fixed(0.2, 0, 1, "scattered light; 1 is the mean of the image")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        mean_square = 1 + 0.8**2 / 12  # of the radii, where their mean is 1
        present = _present(at.area / (math.pi * at.radius**2 * mean_square), like)
        rim = 0.15 * at.radius + 0.5 / (like.shape[-2] * like.shape[-1]) ** 0.5  # half of it

        def soil(image: Tensor, stream: Streams) -> Tensor:
            down, across, draws = _scattered(stream, len(present), like)
            radius = at.radius * (0.6 + 0.8 * draws[0])
            covered = ((radius - (down * down + across * across).sqrt()) / (2 * rim) + 0.5).clamp(0, 1)
            kept_back = (1 - at.transmission) * (0.5 + 0.5 * draws[1]) * present
            return _occluded(image, (1 - kept_back * covered).prod(0), at.veil)

        return soil


@dataclass(frozen=True)
class LensScratches(ScaledShift):
    """Scratches in the front of the lens: soft bright lines, and a veil over the whole image.

    In linear light: along its line, a scratch lets pass less of the image and scatters light of the
    surroundings instead; part of what all of them scatter falls on the image as an even veil. Every sample
    has its scratches, straight and at places of their own, with lengths of 0.2 to 1.2 of the image's side; a
    higher severity adds scratches and makes all of them deeper. All numbers are our choice. Differentiable.

    Not modelled: bent scratches, rainbows and stars about lamps, scratches on the part itself (those are what
    an inspection looks for).

    Args:
        severity: 0 to 5.
        count: scratches; a fraction is a fainter one. None takes it from the scale.
        opacity: share of the light that the deepest scratch keeps back; None takes it from the scale.
        veil: share of the image's light that is spread evenly over it; None takes it from the scale.
        width: standard deviation of the profile across the line, as a share of the image's side.
        glow: light that scratches scatter, where 1 is the mean of the image.
    """

    random = True

    count: float | None = scaled(_COUNT, 0, _MOST, "scratches")
    opacity: float | None = scaled(_OPACITY, 0, 1, "share of the light that is kept back")
    veil: float | None = scaled(_VEIL, 0, 1, "share of the light that is spread evenly")
    width: float = fixed(0.006, 0.0005, 0.1, "share of the image's side")
    glow: float = fixed(1.6, 0, 10, "scattered light; 1 is the mean of the image")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        present = _present(at.count, like)
        pixel = 1 / (like.shape[-2] * like.shape[-1]) ** 0.5
        width = math.hypot(at.width, 0.4 * pixel)  # a line below a pixel is as wide as a pixel, and fainter
        depth = at.opacity * at.width / width

        def scratch(image: Tensor, stream: Streams) -> Tensor:
            down, across, draws = _scattered(stream, len(present), like)
            angle, half_length = math.pi * draws[0], 0.1 + 0.5 * draws[1]
            along = across * angle.cos() + down * angle.sin()
            aside = down * angle.cos() - across * angle.sin()
            end = ((half_length - along.abs()) / (10 * width)).clamp(0, 1)
            line = end * torch.exp(aside * aside * (-0.5 / width**2))
            deep = depth * (0.4 + 0.6 * draws[2]) * present
            return _occluded(image, (1 - deep * line).prod(0), at.glow, at.veil)

        return scratch


def _present(count: float, like: Tensor) -> Tensor:
    """(N, 1, 1): 1 for each that is there, and the fraction for the last."""
    number = torch.arange(min(_MOST, max(1, math.ceil(count))), device=like.device, dtype=like.dtype)
    return (count - number).clamp(0, 1)[:, None, None]


def _scattered(stream: Streams, count: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Places of the pixels from each of the centres, (N, H, 1) and (N, 1, W), and more draws (3, N, 1, 1)."""
    draws = stream.uniform((_MOST, 5), "dirt", like=like)[0, :count].T[..., None, None]
    down, across = places(like)
    side = (like.shape[-2] * like.shape[-1]) ** 0.5
    height, width = like.shape[-2] / side, like.shape[-1] / side
    return down - (draws[0] - 0.5) * height, across - (draws[1] - 0.5) * width, draws[2:]


def _occluded(image: Tensor, passed: Tensor, glow: float, veil: float = 0) -> Tensor:
    """The image, of which (H, W) shares pass, with light of the surroundings for what does not."""
    light = to_linear(image)
    mean = light.mean()
    return to_srgb(light * (passed * (1 - veil)) + mean * (veil + (1 - veil) * glow * (1 - passed)))
