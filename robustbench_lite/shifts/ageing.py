"""Risk: the years. A sensor that runs warmer and has aged, behind optics that turn yellow."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import channel_gains, to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_YEARS = (0, 1, 3, 6, 10, 15)
_WARMER_K = (0, 4, 9, 15, 21, 28)
DOUBLING_K = 7.0  # of the dark current of silicon: 6 to 8 K
_UNEVEN = 0.1  # standard deviation of the dark current from pixel to pixel, as a share of it
_HOT_PER_YEAR = 4e-4  # share of the values
_HOT = 6.0  # mean dark current of a hot value, as a multiple of a good one's
_PRNU_PER_YEAR = 0.003
_DENSITY_PER_YEAR = (0.003, 0.006, 0.03)  # optical density of red, green and blue light


@dataclass(frozen=True)
class Ageing(ScaledShift):
    """A camera after years of service, and warmer than when the images of training were taken.

    In linear light, by the terms of EMVA 1288. The optics pass 10^(-density x years), blue least. The pixels'
    gains drift apart by a PRNU of 0.003 a year. The dark current doubles every 7 K (6 to 8 in silicon): the
    camera takes its mean off, its noise is drawn for each image, and a tenth of it is uneven. Every year
    another 4e-4 of the values turn hot: they have an exponentially distributed dark current on top, six times
    that of a good pixel in the mean, which grows with the warmth as well. What is uneven belongs to the
    camera: it is drawn from the seed of the run, and all images share it. The noise that the camera had when
    new is in the images already. The rates are our choice, in the range of industrial sensors; measure your
    own camera's dark frames. Differentiable.

    Not modelled: dust and scratches, loose lenses, columns that fail, the camera's own correction,
    radiation. Stored values are taken to be sRGB; images that have not three channels darken as green does.

    Args:
        severity: 0 to 5.
        years: of service; None takes them from the scale.
        warmer_k: kelvin above the temperature at which the camera was new; None takes it from the scale.
        dark_e: electrons of dark current of a good pixel, new, in one exposure.
        full_well_e: electrons of a white pixel.
        yellowing: factor on the yellowing of the optics; 0 leaves it out.
    """

    random = True
    smooth = ("warmer_k",)

    years: float | None = scaled(_YEARS, 0, 100, "years of service")
    warmer_k: float | None = scaled(_WARMER_K, -50, 100, "kelvin above the temperature when new")
    dark_e: float = fixed(10, 0, 1e5, "electrons of dark current when new")
    full_well_e: float = fixed(2000, 1, 1e9, "electrons of a white pixel")
    yellowing: float = fixed(1, 0, 100, "factor on the yellowing")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        passed = [10 ** (-density * at.yellowing * at.years) for density in _DENSITY_PER_YEAR]
        optics = channel_gains(passed, like) if like.shape[1] == 3 else passed[1]
        dark = at.dark_e * 2 ** (at.warmer_k / DOUBLING_K)  # electrons
        added = dark - at.dark_e  # less when colder: then nothing is taken away
        noise = (added / at.full_well_e**2) ** 0.5 if added > 0 else 0.0

        @functools.cache
        def pattern(camera: Streams) -> tuple[Tensor, Tensor]:
            drift, uneven = (camera.normal(like.shape[1:], key, like=like) for key in ("gain", "dark"))
            place, size = (camera.uniform(like.shape[1:], key, like=like) for key in ("place", "size"))
            hot = -torch.log1p(-size) * (place < _HOT_PER_YEAR * at.years)
            current = _UNEVEN * added * uneven + _HOT * dark * hot
            return (1 + _PRNU_PER_YEAR * at.years * drift) * optics, current / at.full_well_e

        def expose(image: Tensor, stream: Streams) -> Tensor:
            gain, offset = pattern(stream.camera())
            electrons = stream.normal(like.shape[1:], "dark", like=like)
            return to_srgb((to_linear(image) * gain + offset + noise * electrons).clamp(0, 1))

        return expose
