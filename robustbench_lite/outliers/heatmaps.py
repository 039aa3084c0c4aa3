"""Where images are outlying, as pictures: an overlay in colour, the raw map, and a sheet of the worst."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from robustbench_lite.errors import InputError
from robustbench_lite.outliers.mapscale import MapScale
from robustbench_lite.sheets import Block, contact_sheet

OVERLAYS, RAW = "overlay", "raw"
_STRONGEST = 0.75  # share of the colour where the map ends
_OUTLINE = (0, 200, 255)  # far from every colour of inferno, also for the colour-blind
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LONGEST = 120  # letters of a file's name

Array = npt.NDArray[np.floating]


class HeatMap(NamedTuple):
    """The files of one image."""

    overlay: Path
    raw: Path


def write_heatmaps(
    folder: Path, files: Sequence[str], images: npt.ArrayLike, maps: npt.ArrayLike, scale: MapScale
) -> list[HeatMap]:
    """Two PNG files per image, at its resolution.

    ``overlay/NAME.png`` (8 bits, colour): the image in grey under the map in the colours of matplotlib's
    *inferno*, from nothing at ``scale.usual`` to the brightest at ``scale.high``; a line around what is above
    ``scale.alarm``.
    ``raw/NAME.png`` (16 bits, grey): 0 is ``scale.least``, 65,535 is ``scale.full``; both stand in its texts.

    Args:
        folder: where ``overlay`` and ``raw`` go.
        files: names of the images; folders in them become part of the name.
        images: (N, C, H, W) in [0, 1]; of more than three channels the first three are shown, of two
            the first.
        maps: (N, H, W).
        scale: of the detector, not of these images.

    Raises:
        InputError: shapes that differ, values that are not finite, or a place that cannot be written.
    """
    pixels, values = np.asarray(images, np.float32), np.asarray(maps, np.float32)
    _check(files, pixels, values)
    written = []
    try:
        for part in (OVERLAYS, RAW):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for file, image, found in zip(files, pixels, values, strict=True):
            heat = HeatMap(*(folder / part / f"{safe_name(file)}.png" for part in (OVERLAYS, RAW)))
            Image.fromarray(overlay(image, found, scale)).save(heat.overlay)
            texts = PngImagePlugin.PngInfo()
            for key, value in (("least", scale.least), ("full", scale.full), ("alarm", scale.alarm)):
                texts.add_text(key, repr(value))
            Image.fromarray(_raw(found, scale)).save(heat.raw, pnginfo=texts)
            written.append(heat)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}.", "Choose another --out.") from None
    return written


def read_raw(file: Path) -> npt.NDArray[np.float64]:
    """The map (H, W) that a raw file holds, to one part in 65,535 of its range; what was above it is cut off."""
    with Image.open(file) as image:
        least, full = float(image.text["least"]), float(image.text["full"])  # type: ignore[attr-defined]
        values: npt.NDArray[np.float64] = np.asarray(image).astype(np.float64) / 65535 * (full - least) + least
    return values


def outlier_sheet(
    files: Sequence[str],
    images: npt.ArrayLike,
    maps: npt.ArrayLike | None,
    scores: npt.ArrayLike,
    alarms: Sequence[bool] | None = None,
    scale: MapScale | None = None,
    *,
    title: str = "most outlying first",
    side: int = 160,
) -> bytes:
    """A PNG: every image and its heat map side by side, with file, score and alarm, the most outlying first.

    Args:
        files: names of the images; the end of a long one is shown.
        images: (N, C, H, W) in [0, 1], N > 0.
        maps: (N, H, W), or None: images only.
        scores: (N,).
        alarms: which are above the threshold; None: there is none.
        scale: of the maps.
        title: above all.
        side: images with a longer side in pixels are reduced to it.

    Raises:
        InputError: no image, shapes that differ, values that are not finite, or maps without a scale.
    """
    pixels, order = np.asarray(images, np.float32), np.argsort(-np.asarray(scores, np.float64), kind="stable")
    if not len(pixels):
        raise InputError("there is no image to show.", "Give at least one.")
    if maps is None:
        tiles: list[Array] = [_shown(pixels[i]) for i in order]
        per_image = 1
    else:
        values = np.asarray(maps, np.float32)
        _check(files, pixels, values)
        if scale is None:
            raise InputError("maps without a scale cannot be shown.", "Give the detector's.")
        tiles, per_image = [], 2
        for i in order:
            tiles += [_shown(pixels[i]), overlay(pixels[i], values[i], scale) / np.float32(255)]
    captions: list[str] = []
    for i in order:
        mark = " ALARM" if alarms is not None and alarms[i] else ""
        texts = [files[i], f"{np.asarray(scores)[i]:.4g}{mark}"]
        captions += texts if per_image == 2 else [f"{texts[1]} {files[i]}"]
    shown = np.stack(tiles).transpose(0, 3, 1, 2)
    return contact_sheet([Block(title, shown, columns=6, captions=captions)], side)


def overlay(image: Array, values: Array, scale: MapScale) -> npt.NDArray[np.uint8]:
    """The map over the image, (H, W, 3): image (C, H, W) in [0, 1], map (H, W)."""
    grey: Array = _shown(image) @ _LUMA
    heat = np.sqrt(np.clip((values - scale.usual) / (scale.high - scale.usual), 0, 1))  # 0.7 at the alarm level
    colours = _colours()[np.rint(heat * 255).astype(np.intp)]
    share = (_STRONGEST * heat)[..., None].astype(np.float32)
    mixed: npt.NDArray[np.uint8] = np.rint((grey[..., None] * (1 - share) + colours * share) * 255).astype(
        np.uint8
    )
    mixed[_outline(values > scale.alarm)] = _OUTLINE
    return mixed


def safe_name(file: str) -> str:
    """A name without folders that any file system takes; another file has another one.

    >>> safe_name("test/scratch/000.png")
    'test__scratch__000'
    """
    short = re.sub(r"\.png$", "", file.replace("\\", "/").replace("/", "__"), flags=re.IGNORECASE)
    name = re.sub(r"[^\w.-]", "_", short, flags=re.ASCII).lstrip(".")
    ambiguous = (
        not name or "__" in file or "\\" in file or name != short or len(name) > _LONGEST or name.endswith(".")
    )
    if not ambiguous:
        return name
    return f"{name[-_LONGEST:].strip('.')}-{hashlib.sha256(file.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _check(files: Sequence[str], images: Array, maps: Array) -> None:
    if images.ndim != 4 or maps.shape != (len(images), *images.shape[2:]) or len(files) != len(images):
        raise InputError(
            f"{len(files)} files, images {images.shape} and maps {maps.shape} do not fit.",
            "Images are (N, C, H, W), maps (N, H, W).",
        )
    if not (np.isfinite(images).all() and np.isfinite(maps).all()):
        raise InputError("an image or a map holds NaN or infinity.", "Check the images.")


def _shown(image: Array) -> npt.NDArray[np.float32]:
    """(H, W, 3) in [0, 1]. What uses a sixteenth of the range, as 12 bits in 16 do, is brightened."""
    channels = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    top = float(channels.max())
    shown = channels / top if 0 < top <= 1 / 16 else channels
    return np.asarray(np.clip(shown, 0, 1).transpose(1, 2, 0), np.float32)


def _raw(values: Array, scale: MapScale) -> npt.NDArray[np.uint16]:
    share = (values.astype(np.float64) - scale.least) / (scale.full - scale.least)
    return np.rint(np.clip(share, 0, 1) * 65535).astype(np.uint16)


def _outline(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels just outside a region, so that what is in it can be seen."""
    padded = np.pad(region, 1)
    beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return np.asarray(beside & ~region)


@cache
def _colours() -> npt.NDArray[np.float32]:
    """(256, 3), dark to bright; evenly perceived, and in order without colours too."""
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.arange(256))[:, :3], np.float32)
