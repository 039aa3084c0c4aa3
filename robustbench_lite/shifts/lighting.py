"""Risk: the light. Night, lamps, and what a camera does to cope with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import (
    DAYLIGHT_K,
    Glare,
    expose_sensor,
    falloff,
    lamp_gains,
    quantise,
    to_linear,
    to_srgb,
)
from robustbench_lite.shifts.scale import at_severity, check_range, check_severity, each_sample
from robustbench_lite.types import Shift

_EXPOSURE_EV = (0, -1, -2, -3, -4, -5.5)  # Cui et al. (ICCV 2021) darken by 1.3 to 6.6 stops
_CCT_K = (DAYLIGHT_K, 5500, 4500, 3800, 3000, 2200)  # daylight, white and warm LED, tungsten, towards sodium
_CORNER_LOSS = (0, 0.1, 0.2, 0.3, 0.45, 0.6)
_BLOOM = (0, 0.01, 0.02, 0.04, 0.06, 0.08)
# A sensor with small pixels. Industrial ones have wells of 10,000 to 30,000 and 2 to 7 electrons of noise.
# Darkened to the strongest level, white has 110 electrons; Cui et al. draw from 10,000 down to 83.
_FULL_WELL_E, _READ_NOISE_E, _BITS = 5_000.0, 5.0, 12


@dataclass(frozen=True)
class Night(Shift):
    """Less light, from warm lamps: darker, uneven, glaring, and noisier where the camera turns up its gain.

    A chain in linear light, in this order: sRGB is linearised; the lamp's colour, less what automatic
    white balance takes out; uneven light from one lamp that stands somewhere in the middle half of the
    image; less light; glare; photon and read noise in electrons, cut off at the full well; the gain of
    automatic exposure; rounding by the converter; back to sRGB. The same image in less light has fewer
    electrons, so noise comes from the physics and is no setting of its own: ``auto_exposure=0`` is dark,
    ``auto_exposure=1`` is bright and noisy.

    Sources: Brooks et al. (CVPR 2019) and Cui et al. (ICCV 2021) for the chain and the range of
    exposures; EMVA 1288 and Wei et al. (CVPR 2020) for the sensor; Kim et al. (2002) for the colour of
    black bodies. Corner loss, bloom and the two shares that the camera corrects are our choice; measure
    your own place. Differentiable.

    Not modelled: lamps in the picture that are off by day, shadows and their direction, the spectrum of
    LED and sodium lamps beyond their colour temperature, motion blur by a longer shutter, the noise that
    white balance adds to blue, the skew of photon noise below about 20 electrons, fixed patterns and hot
    pixels, demosaicing, denoising and sharpening by the camera, JPEG. Stored values are taken to be sRGB;
    every channel of an image that has not three of them is treated alike, and the lamp's colour does
    nothing there.

    Args:
        severity: 0 to 5. It sets every argument below that is None.
        exposure_ev: change of the light in stops, -10 to 0.
        auto_exposure: share of those stops that the camera's gain puts back, 0 to 1.
        cct_k: colour temperature of the lamp in kelvin, 2000 to 25,000; 6500 is daylight.
        white_balance: share of the lamp's colour cast that the camera takes out, 0 to 1.
        corner_loss: share of the light that is missing in the corner farthest from the lamp, 0 to 1.
        bloom: share of the light that is scattered as glare, 0 to 1.
        full_well_e: electrons of a white pixel in daylight; fewer is noisier.
        read_noise_e: standard deviation of the read noise in electrons.
        bits: of the converter, 1 to 16.
    """

    severity: float = 3
    exposure_ev: float | None = None
    auto_exposure: float = 0.5
    cct_k: float | None = None
    white_balance: float = 0.5
    corner_loss: float | None = None
    bloom: float | None = None
    full_well_e: float | None = None
    read_noise_e: float | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        check_severity(self.severity)
        check_range("exposure_ev", self.exposure_ev, -10, 0, "change of the light in stops")
        check_range("auto_exposure", self.auto_exposure, 0, 1, "share of exposure_ev that gain puts back")
        # Below 1900 K the black body leaves the colours that sRGB can hold: blue would be negative.
        check_range("cct_k", self.cct_k, 2000, 25_000, "colour temperature in kelvin")
        check_range("white_balance", self.white_balance, 0, 1, "share of the colour cast that is taken out")
        check_range("corner_loss", self.corner_loss, 0, 1, "share of the light that is missing")
        check_range("bloom", self.bloom, 0, 1, "share of the light that is scattered")
        check_range("full_well_e", self.full_well_e, 10, 1e7, "electrons of a white pixel")
        check_range("read_noise_e", self.read_noise_e, 0, 1e4, "standard deviation in electrons")
        check_range("bits", self.bits, 1, 16, "bits of the converter")

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        scene = self._scene()
        if scene == _DAY:
            return images.clone()
        glare = Glare(scene.bloom, images) if scene.bloom else None
        return each_sample(images, streams, lambda image, stream: _photograph(image, stream, scene, glare))

    def _scene(self) -> _Scene:
        """The scale at this severity, with what was given in its place."""
        ev = _given(self.exposure_ev, at_severity(self.severity, _EXPOSURE_EV))
        cct = _given(self.cct_k, at_severity(self.severity, _CCT_K))
        # Up to severity 1 the noise grows from nothing to the sensor's own, which it then keeps.
        noisy = min(self.severity, 1)
        well = _FULL_WELL_E / noisy if noisy else math.inf
        if self.read_noise_e is not None and not noisy:
            well = _FULL_WELL_E  # electrons mean nothing against an infinite well
        return _Scene(
            exposure=2**ev,
            gain=2 ** (-ev * self.auto_exposure),
            colour=lamp_gains(cct, self.white_balance) if cct != DAYLIGHT_K else (1.0, 1.0, 1.0),
            corner_loss=_given(self.corner_loss, at_severity(self.severity, _CORNER_LOSS)),
            bloom=_given(self.bloom, at_severity(self.severity, _BLOOM)),
            full_well_e=_given(self.full_well_e, well),
            read_noise_e=_given(self.read_noise_e, _READ_NOISE_E * noisy),
            bits=self.bits if self.bits is not None else _BITS * (self.severity > 0),
        )


class _Scene(NamedTuple):
    exposure: float
    gain: float
    colour: tuple[float, float, float]
    corner_loss: float
    bloom: float
    full_well_e: float
    read_noise_e: float
    bits: int  # 0: no rounding


_DAY = _Scene(1, 1, (1, 1, 1), 0, 0, math.inf, 0, 0)


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _photograph(image: Tensor, stream: Streams, scene: _Scene, glare: Glare | None) -> Tensor:
    """One image (1, C, H, W), taken in the scene."""
    light = to_linear(image) * scene.exposure
    if image.shape[1] == 3:
        light = light * torch.tensor(scene.colour).to(image).view(1, 3, 1, 1)
    if scene.corner_loss:
        lamp = 0.25 + 0.5 * stream.uniform((2,), "lamp", like=image)[0]
        light = light * falloff(lamp, scene.corner_loss, image)
    if glare:
        light = glare(light, white=scene.exposure)
    if math.isfinite(scene.full_well_e):
        noise = stream.normal(image.shape[1:], "sensor", like=image)
        light = expose_sensor(light, noise, scene.full_well_e, scene.read_noise_e)
    light = light * scene.gain
    if scene.bits:
        light = quantise(light, scene.bits)
    return to_srgb(light)
