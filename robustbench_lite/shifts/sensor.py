"""Risk: too few electrons. A smaller sensor, less light, or a gain that hides it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import expose_sensor, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_FULL_WELL_E = (1e9, 1000, 400, 150, 60, 25)
_GAIN_DB = (0, 1.5, 3, 5, 7.5, 10)  # 6 dB are one stop
_GAIN_WELL_E = (1e9, 2000, 2000, 2000, 2000, 2000)


@dataclass(frozen=True)
class SensorNoise(ScaledShift):
    """The noise of a camera, in electrons: photons come one by one, and reading them out adds some more.

    In linear light the variance is a L + b (EMVA 1288, release 4): a = 1 / full_well_e, and
    b = (read_noise_e² + dark_e) / full_well_e². The camera's gain brings the image back to its brightness, so
    few electrons mean a high ISO setting, a short exposure or small pixels. The levels are our choice: an
    industrial sensor has wells of 10,000 to 30,000 electrons, and each doubling of its gain halves those that
    fill the range; read noise is 2 to 7 electrons. Between two levels the variance is linear. Differentiable.

    Not modelled: the skew of the Poisson distribution, for which its Gaussian stands (below some 20 electrons
    that shows); patterns that stay (``fixed_pattern``, ``hot_pixels``, ``banding``); demosaicing and denoising,
    which make grains larger than a pixel. Stored values are taken to be sRGB.

    Args:
        severity: 0 to 5.
        full_well_e: electrons of a white pixel; fewer is noisier; None takes it from the scale.
        read_noise_e: standard deviation of the read noise, in electrons.
        dark_e: electrons of the dark current during the exposure; their mean is taken off, their noise stays.
    """

    random = True
    smooth = ("full_well_e", "read_noise_e")

    full_well_e: float | None = scaled(_FULL_WELL_E, 1, 1e9, "electrons of a white pixel", inverse=True)
    read_noise_e: float = fixed(3, 0, 1e4, "standard deviation in electrons")
    dark_e: float = fixed(0, 0, 1e6, "electrons of the dark current")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        floor_e = (at.read_noise_e**2 + at.dark_e) ** 0.5 if at.dark_e else at.read_noise_e

        def expose(image: Tensor, stream: Streams) -> Tensor:
            noise = stream.normal(like.shape[1:], "electrons", like=like)
            return to_srgb(expose_sensor(to_linear(image), noise, at.full_well_e, floor_e))

        return expose


@dataclass(frozen=True)
class Gain(ScaledShift):
    """A gain that is set wrong: brighter than meant and cut off at white, with the noise turned up; or too dark.

    The sensor counts electrons with photon and read noise (EMVA 1288), then linear light and noise are
    multiplied by 10^(gain_db / 20), and cut off. On the scale the gain is too high; give a negative one for
    too low. The levels are our choice. Differentiable.

    Not modelled: the camera's attempt to correct it by the exposure time, read noise that falls at high
    gain, the bits that a low gain wastes (``quantisation``). Stored values are taken to be sRGB.

    Args:
        severity: 0 to 5.
        gain_db: error of the gain in decibels, 6.02 to the stop; None takes it from the scale.
        full_well_e: electrons of a white pixel at the right gain; None takes it from the scale.
        read_noise_e: standard deviation of the read noise, in electrons.
    """

    random = True
    smooth = ("gain_db",)

    gain_db: float | None = scaled(_GAIN_DB, -40, 40, "error of the gain in decibels")
    full_well_e: float | None = scaled(_GAIN_WELL_E, 1, 1e9, "electrons of a white pixel", inverse=True)
    read_noise_e: float = fixed(5, 0, 1e4, "standard deviation in electrons")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        factor = 10 ** (at.gain_db / 20)

        def expose(image: Tensor, stream: Streams) -> Tensor:
            noise = stream.normal(like.shape[1:], "electrons", like=like)
            light = expose_sensor(to_linear(image), noise, at.full_well_e, at.read_noise_e)
            return to_srgb((light * factor).clamp_max(1))

        return expose
