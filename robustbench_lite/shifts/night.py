"""Risk: the light. Night, lamps, and what a camera does to cope with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import (
    DAYLIGHT_K,
    Bloom,
    channel_gains,
    expose_sensor,
    falloff,
    lamp_gains,
    places,
    quantise,
    smear,
    smooth_out,
    to_linear,
    to_srgb,
)
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_EXPOSURE_EV = (0, -1, -2, -3, -4, -5.5)  # Cui et al. (ICCV 2021) darken by 1.3 to 6.6 stops
_CCT_K = (DAYLIGHT_K, 5500, 4500, 3800, 3000, 2200)  # daylight, white and warm LED, tungsten, towards sodium
_CORNER_LOSS = (0, 0.1, 0.2, 0.3, 0.45, 0.6)
_BLOOM = (0, 0.01, 0.02, 0.04, 0.06, 0.08)
# A sensor with small pixels. Industrial ones have wells of 10,000 to 30,000 and 2 to 7 electrons of noise.
# Darkened to the strongest level, white has 110 electrons; Cui et al. draw from 10,000 down to 83.
_FULL_WELL_E, _READ_NOISE_E, _BITS = 5_000.0, 5.0, 12
_SHUTTER_SHARE = (0, *(0.5,) * 5)
_ROW_NOISE_E = (0, *(1.0,) * 5)  # a fifth of the read noise; in the dark it is the first pattern that is seen
_DENOISE = (0, 0.1, 0.2, 0.3, 0.4, 0.5)
_WELL, _READ, _CONVERTER = (_FULL_WELL_E,) * 6, (0, *(_READ_NOISE_E,) * 5), (_BITS,) * 6


@dataclass(frozen=True)
class Night(ScaledShift):
    """Less light, from warm lamps: darker, uneven, glaring, and noisier where the camera turns up its gain.

    A chain in linear light, in this order: sRGB is linearised; the lamp's colour; uneven light from one lamp
    that stands somewhere in the middle half of the image; less light, gathered by a longer shutter; glare; the
    smear of that shutter, along a path of its own for each sample; photon, read and row noise in electrons,
    cut off at the full well; the gains of automatic exposure and white balance; rounding by the converter;
    noise reduction; back to sRGB. The same image in less light has fewer electrons, so noise comes from the
    physics and is no setting of its own: ``auto_exposure=0`` is dark,
    ``auto_exposure=1`` is bright, and noisy or smeared.

    After MAET (Cui et al., ICCV 2021) and Brooks et al. (CVPR 2019) for the chain and the range of
    exposures; EMVA 1288 and Wei et al. (CVPR 2020) for the sensor; Kim et al. (2002) for the colour of
    black bodies. Corner loss, bloom, motion, noise reduction and the shares that the camera corrects are our
    choice; measure your own place. Differentiable.

    Not modelled: lamps in the picture that are off by day, shadows and their direction, the spectrum of LED
    and sodium lamps beyond their colour temperature, objects that move by themselves, the skew of photon noise
    below about 20 electrons, fixed patterns and hot pixels, the correlation of noise by demosaicing, noise
    reduction that spares edges, sharpening, rounding to 8 bits, JPEG. Stored values are taken to be sRGB;
    every channel of an image that has not three of them is treated alike, and the lamp's colour does nothing
    there.

    Args:
        severity: 0 to 5. It sets every argument below that is None.
        exposure_ev: change of the light in stops, -10 to 0.
        auto_exposure: share of those stops that the camera puts back, by a longer shutter and by gain, 0 to 1.
        shutter_share: share of the stops put back that the shutter gives; the rest is gain, 0 to 1.
        motion: path of the scene during the shutter of daylight, as a share of the image's width, 0 to 0.1. A
            shutter that is 2**n as long adds 2**n - 1 of it.
        cct_k: colour temperature of the lamp in kelvin, 2000 to 25,000; 6500 is daylight.
        white_balance: share of the lamp's colour cast that the camera takes out, 0 to 1.
        corner_loss: share of the light that is missing in the pixel farthest from the lamp, 0 to 0.99.
        bloom: share of the light that is scattered as glare, 0 to 1.
        full_well_e: electrons of a white pixel in daylight; fewer is noisier.
        read_noise_e: standard deviation of the read noise in electrons.
        row_noise_e: standard deviation of the noise that a whole row shares, in electrons.
        bits: of the converter, 1 to 16.
        denoise: strength of the noise reduction, 0 to 1: its share of a mean over 3 × 3 pixels.
    """

    random = True
    smooth = ("exposure_ev",)

    exposure_ev: float | None = scaled(_EXPOSURE_EV, -10, 0, "change of the light in stops")
    auto_exposure: float = fixed(0.5, 0, 1, "share of exposure_ev that the camera puts back")
    shutter_share: float | None = scaled(_SHUTTER_SHARE, 0, 1, "share of the stops put back by a longer shutter")
    motion: float = fixed(0.01, 0, 0.1, "path in daylight's shutter, as a share of the image's width")
    # Below 1900 K the black body leaves the colours that sRGB can hold: blue would be negative.
    cct_k: float | None = scaled(_CCT_K, 2000, 25_000, "colour temperature in kelvin")
    white_balance: float = fixed(0.5, 0, 1, "share of the colour cast that is taken out")
    corner_loss: float | None = scaled(_CORNER_LOSS, 0, 0.99, "share of the light that is missing")
    bloom: float | None = scaled(_BLOOM, 0, 1, "share of the light that is scattered")
    full_well_e: float | None = scaled(_WELL, 10, 1e7, "electrons of a white pixel")
    read_noise_e: float | None = scaled(_READ, 0, 1e4, "standard deviation in electrons")
    row_noise_e: float | None = scaled(_ROW_NOISE_E, 0, 1e4, "standard deviation in electrons")
    bits: int | None = scaled(_CONVERTER, 1, 16, "bits of the converter")
    denoise: float | None = scaled(_DENOISE, 0, 1, "strength of the noise reduction")

    def values(self, images: Tensor) -> SimpleNamespace:
        """As for all shifts; but up to severity 1 the noise grows from nothing to the sensor's own."""
        at, noisy = super().values(images), min(self.severity, 1)
        if self.full_well_e is None:
            # Electrons of read noise mean nothing against an infinite well.
            at.full_well_e = _FULL_WELL_E / noisy if noisy else math.inf
            if (self.read_noise_e is not None or self.row_noise_e is not None) and not noisy:
                at.full_well_e = _FULL_WELL_E
        at.bits = self.bits if self.bits is not None else _BITS * (self.severity > 0)  # 0: no rounding
        return at

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        bloom = Bloom(at.bloom, like) if at.bloom else None
        lamp = balance = like.new_ones(())
        if at.cct_k != DAYLIGHT_K and like.shape[1] == 3:
            lamp = channel_gains(lamp_gains(at.cct_k, 0), like)
            balance = channel_gains(lamp_gains(at.cct_k, at.white_balance), like) / lamp
        return lambda image, stream: _photograph(image, stream, at, lamp, balance, bloom)


def _photograph(
    image: Tensor, stream: Streams, at: SimpleNamespace, lamp: Tensor, balance: Tensor, bloom: Bloom | None
) -> Tensor:
    """One image (1, C, H, W), taken in the scene."""
    stops_put_back = -at.exposure_ev * at.auto_exposure
    shutter = 2.0 ** (stops_put_back * at.shutter_share)  # times as long
    exposure = 2.0**at.exposure_ev * shutter
    light = to_linear(image) * (exposure * lamp)
    if at.corner_loss:
        place = 0.25 + 0.5 * stream.uniform((2,), "lamp", like=image)[0]
        light = light * falloff(*places(image), place.tolist(), at.corner_loss)
    if bloom:
        light = bloom(light, white=exposure * lamp)
    path_px = at.motion * (shutter - 1) * image.shape[-1]
    if path_px > 0:
        angle = 2 * math.pi * stream.uniform((), "path", like=image).item()
        light = smear(light, path_px * math.sin(angle), path_px * math.cos(angle))
    if math.isfinite(at.full_well_e):
        noise = stream.normal(image.shape[1:], "sensor", like=image)
        rows = at.row_noise_e * stream.normal((1, image.shape[2], 1), "rows", like=image) if at.row_noise_e else 0
        light = expose_sensor(light, noise, at.full_well_e, at.read_noise_e, rows)
    light = light * (2.0**stops_put_back / shutter * balance)
    if at.bits:
        light = quantise(light, at.bits)
    if at.denoise:
        light = smooth_out(light, at.denoise)
    return to_srgb(light)
