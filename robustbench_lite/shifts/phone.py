"""Risk: another camera. The whole chain of a cheap one, from the lens to the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.blur import Blur
from robustbench_lite.shifts.compression import JPEG
from robustbench_lite.shifts.light import channel_gains, expose_sensor, smear, to_linear, to_srgb
from robustbench_lite.shifts.resolution import coarse_pixels, enlarging
from robustbench_lite.shifts.scale import Change, ScaledShift, scaled

_PIXEL_SHARE = {
    32: (1, 0.97, 0.93, 0.88, 0.82, 0.75),
    224: (1, 0.9, 0.8, 0.7, 0.6, 0.5),
}
_K1 = (0, -0.01, -0.02, -0.03, -0.04, -0.05)
_CA = (0, 0.001, 0.002, 0.003, 0.0045, 0.006)
_SHAKE = (0, 0.003, 0.005, 0.008, 0.011, 0.014)  # 0.7 to 3 pixels of 224
_ERROR_EV = (0, 0.1, 0.18, 0.26, 0.34, 0.45)
_FULL_WELL_E = (1e9, 2000, 1000, 500, 250, 120)
_DENOISE_PX = (0, 0.4, 0.5, 0.6, 0.7, 0.8)
_SHARPEN = (0, 0.4, 0.8, 1.2, 1.6, 2.0)
_QUALITY = (100, 90, 82, 74, 66, 58)
_READ_NOISE_E = 3.0
_HALO_PX = 1.5


@dataclass(frozen=True)
class Phone(ScaledShift):
    """The picture of a cheap phone instead of that of the camera that the network learned from.

    A chain, in this order. In linear light: barrel distortion (Brown & Conrady, first term; the corners stay, as
    after cropping) and lateral chromatic aberration, red enlarged and blue reduced; a hand that shakes, along a
    line; the averages of a coarser sensor; the gains of a wrong white balance; photon and read noise in
    electrons (EMVA 1288), cut off at white. In stored values: denoising by a Gaussian; sharpening by an
    unsharp mask of 1.5 pixels, which leaves halos; JPEG with colour at half the resolution; linear
    interpolation to the image's size. The hand's direction and that of the white balance are drawn for each
    sample. The ranges are those of augmentation libraries and of phones' default settings, the levels our choice.

    Not differentiable: JPEG rounds to 8 bits. Not modelled: demosaicing, tone mapping and merging of several
    exposures, denoising that spares edges, rolling shutter, autofocus, a face or a scene that the phone
    recognises and retouches. Stored values are taken to be sRGB. Images that have not three channels keep
    clear of aberration and white balance, and are stored as one grey file per channel.

    Args:
        severity: 0 to 5.
        pixel_share: share of the side's pixels that the sensor has; None takes it from the scale, as for all.
        k1: first term of the radial distortion, for a radius of 1 in the corner; negative is barrel.
        aberration: how much larger red is, and smaller blue, as a share.
        shake: length of the hand's path, as a share of the image's side.
        error_ev: size of the white balance's error in stops, as in ``white_balance_error``.
        full_well_e: electrons of a white pixel, as in ``sensor_noise``; read noise is 3.
        denoise_px: standard deviation of the denoising, in pixels of the sensor.
        sharpen: share of the difference to a blurred copy that is added.
        quality: of the JPEG, 1 to 100.
    """

    random = True
    differentiable = False

    pixel_share: float | None = scaled(_PIXEL_SHARE, 0.05, 1, "share of the side's pixels that the sensor has")
    k1: float | None = scaled(_K1, -0.3, 0, "first term of the distortion; negative is barrel")
    aberration: float | None = scaled(_CA, 0, 0.1, "how much larger red is and smaller blue, as a share")
    shake: float | None = scaled(_SHAKE, 0, 0.2, "length of the path as a share of the side")
    error_ev: float | None = scaled(_ERROR_EV, 0, 3, "error of the white balance in stops")
    full_well_e: float | None = scaled(_FULL_WELL_E, 1, 1e9, "electrons of a white pixel", inverse=True)
    denoise_px: float | None = scaled(_DENOISE_PX, 0, 20, "standard deviation in pixels of the sensor")
    sharpen: float | None = scaled(_SHARPEN, 0, 10, "share of the unsharp mask that is added")
    quality: int | None = scaled(_QUALITY, 1, 100, "JPEG quality")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        lens = _lens(at, like)
        channels, height, width = like.shape[1:]
        rows, columns = (coarse_pixels(size, at.pixel_share).to(like) for size in (height, width))
        back = [enlarging(size, at.pixel_share).to(like) for size in (height, width)]
        small = like.new_empty(1, channels, len(rows), len(columns))
        denoise = Blur(at.denoise_px, small) if at.denoise_px else None
        halo = Blur(_HALO_PX, small)
        store = self.quality is not None or self.severity > 0  # else one effect is studied alone
        compress = JPEG().change(at, small) if store else lambda image, _: image
        path_px = at.shake * (height * width) ** 0.5

        def photograph(image: Tensor, stream: Streams) -> Tensor:
            shaken, cast = (2 * math.pi * stream.uniform((2,), "directions", like=image)[0]).tolist()
            light = to_linear(_through(lens, image)) if lens is not None else to_linear(image)
            if path_px:
                light = smear(light, path_px * math.sin(shaken), path_px * math.cos(shaken))
            light = rows @ light @ columns.T
            if channels == 3:
                ev = (at.error_ev * math.cos(cast), 0, at.error_ev * math.sin(cast))
                light = light * channel_gains([2**one for one in ev], light)
            noise = stream.normal(small.shape[1:], "electrons", like=image)
            stored = to_srgb(expose_sensor(light, noise, at.full_well_e, _READ_NOISE_E))
            if denoise:
                stored = denoise(stored)
            stored = stored + at.sharpen * (stored - halo(stored))
            return back[0] @ compress(stored.clamp_(0, 1), stream) @ back[1].T

        return photograph


def _lens(at: SimpleNamespace, like: Tensor) -> Tensor | None:
    """Where the light of each pixel comes from, (C, H, W, 2) for ``grid_sample``; None if nothing moves."""
    if at.k1 == 0 and at.aberration == 0:
        return None
    channels, height, width = like.shape[1:]
    y = (torch.arange(height, dtype=torch.float64)[:, None] + 0.5 - height / 2).expand(height, width)
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2).expand(height, width)
    squared = (x * x + y * y) / ((height / 2) ** 2 + (width / 2) ** 2)
    # Undistorted from distorted radius to first order; the corner keeps its place.
    factor = (1 - at.k1 * squared) / (1 - at.k1)
    place = torch.stack((x * factor * 2 / width, y * factor * 2 / height), -1)
    sizes = [1 / (1 + at.aberration), 1, 1 + at.aberration] if channels == 3 else [1] * channels
    return torch.stack([place * size for size in sizes]).to(like)


def _through(lens: Tensor, image: Tensor) -> Tensor:
    return grid_sample(image[0, :, None], lens, "bilinear", "border", align_corners=False)[None, :, 0]
