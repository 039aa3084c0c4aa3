"""Risk: pixels that are not alike. Patterns that belong to one camera, and are the same in all its images."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.light import to_linear, to_srgb
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

_PRNU = (0, 0.02, 0.04, 0.07, 0.11, 0.16)
_DSNU_E = (0, 4, 8, 16, 32, 64)
_SHARE = (0, 0.001, 0.002, 0.004, 0.008, 0.015)
_SIGNAL = (0, 0.1, 0.2, 0.3, 0.45, 0.6)
_BAND = (0, 0.003, 0.006, 0.012, 0.022, 0.04)


@dataclass(frozen=True)
class FixedPattern(ScaledShift):
    """Pixels that answer differently to the same light, and to none: the pattern of one camera.

    In linear light, L (1 + PRNU) + DSNU, with one Gaussian number per pixel and channel for each (EMVA 1288:
    photo response and dark signal non-uniformity). The pattern is drawn from the seed of the run: all images
    share it, as if they came from one camera; another seed is another camera. A sensor has a PRNU of 0.005 to
    0.02 and a DSNU of 1 to 10 electrons before correction, which is level 1; infrared cameras and short
    exposures of old sensors have the rest, by our choice. Differentiable.

    Not modelled: a flat-field correction that is out of date, columns (``banding``), demosaicing. Stored
    values are taken to be sRGB.

    Args:
        severity: 0 to 5.
        prnu: standard deviation of the pixels' gains; None takes it from the scale.
        dsnu_e: standard deviation of the pixels' dark signals, in electrons; None takes it from the scale.
        full_well_e: electrons of a white pixel.
    """

    per_camera = True
    smooth = ("prnu", "dsnu_e")

    prnu: float | None = scaled(_PRNU, 0, 1, "standard deviation of the gains")
    dsnu_e: float | None = scaled(_DSNU_E, 0, 1e5, "standard deviation of the dark signals in electrons")
    full_well_e: float = fixed(2000, 1, 1e9, "electrons of a white pixel")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        @functools.cache
        def pattern(camera: Streams) -> tuple[Tensor, Tensor]:
            gain = 1 + at.prnu * camera.normal(like.shape[1:], "gain", like=like)
            return gain, at.dsnu_e / at.full_well_e * camera.normal(like.shape[1:], "dark", like=like)

        def expose(image: Tensor, stream: Streams) -> Tensor:
            gain, dark = pattern(stream.camera())
            return to_srgb((to_linear(image) * gain + dark).clamp(0, 1))

        return expose


@dataclass(frozen=True)
class HotPixels(ScaledShift):
    """Pixels with so much dark current that they shine: the same ones in every image of one camera.

    In linear light a signal is added to ``share`` of the values; it is exponentially distributed, as the
    tail of measured dark currents is, and cut off at the full well. The places and their order are drawn from the
    seed of the run. Each channel has its own, as behind a colour filter. A new sensor has 1e-5 to 1e-3 of
    them, mapped out at the factory; heat, age and radiation add more. The levels are our choice, visible on
    small images too. Differentiable.

    Not modelled: the demosaicing that spreads a hot pixel over its neighbours, dead pixels and columns,
    pixels that blink, the camera's own correction.

    Args:
        severity: 0 to 5.
        share: share of the values that are hot; None takes it from the scale.
        dark_signal: mean signal of a hot value, 1 fills the well; None takes it from the scale.
    """

    per_camera = True

    share: float | None = scaled(_SHARE, 0, 1, "share of the values that are hot")
    dark_signal: float | None = scaled(_SIGNAL, 0, 10, "mean signal of a hot value; 1 fills the well")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        @functools.cache
        def pattern(camera: Streams) -> Tensor:
            chance, size = (camera.uniform(like.shape[1:], key, like=like) for key in ("place", "size"))
            signal: Tensor = -torch.log1p(-size) * at.dark_signal
            return signal.masked_fill_(chance >= at.share, 0)

        def expose(image: Tensor, stream: Streams) -> Tensor:
            return to_srgb((to_linear(image) + pattern(stream.camera())).clamp_max(1))

        return expose


@dataclass(frozen=True)
class Banding(ScaledShift):
    """Stripes of the read-out: rows that differ from image to image, and columns that belong to the camera.

    In linear light one Gaussian number is added to every row, drawn for each image, as rows are read one
    after the other against a reference that wanders; and one to every column, drawn from the seed of the run,
    as every column has an amplifier of its own in a CMOS sensor. All channels share them. The levels are our
    choice. Differentiable.

    Not modelled: stripes of lamps that flicker, stripes of a period, columns that differ in gain, correction
    by masked pixels. Stored values are taken to be sRGB.

    Args:
        severity: 0 to 5.
        row: standard deviation of the rows in linear light, 1 is white; None takes it from the scale.
        column: the same for columns.
    """

    random = True
    smooth = ("row", "column")

    row: float | None = scaled(_BAND, 0, 1, "standard deviation in linear light")
    column: float | None = scaled(_BAND, 0, 1, "standard deviation in linear light")

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        height, width = like.shape[-2:]

        @functools.cache
        def columns(camera: Streams) -> Tensor:
            pattern: Tensor = at.column * camera.normal((1, 1, width), "columns", like=like)
            return pattern

        def read_out(image: Tensor, stream: Streams) -> Tensor:
            rows = stream.normal((1, height, 1), "rows", like=like) * at.row
            return to_srgb((to_linear(image) + rows + columns(stream.camera())).clamp(0, 1))

        return read_out
