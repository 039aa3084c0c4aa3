"""Pictures of an example for the page: before, after, the difference amplified, and where it is."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from robustbench_lite.records import Example
from robustbench_lite.reports.words import number, percent

SMALL = 64  # pixels a side: shown enlarged, and kept lossless
PIXEL_LIMIT = 25_000_000  # a small file can hold a picture that fills the memory
FACTORS = (100, 50, 20, 10, 5, 2, 1, 0.5)

# One hue (75° in OKLCH) whose lightness rises in equal steps from 0.18 to 0.90: the order is seen without colour.
HEAT = ("#1b0f01", "#523708", "#926415", "#d89623", "#fdd7a4")
_BLUR = 1 / 56  # of the longer side: 4 of 224 pixels, nothing of 8

Pixels = npt.NDArray[np.uint8]


class Picture(NamedTuple):
    """One picture as the page needs it."""

    url: str
    words: str
    small: bool
    width: int  # of the file: room is kept before it is decoded
    height: int


class Size(NamedTuple):
    """How large and how faithful pictures are kept: pixels of the longer side, and WebP's quality."""

    side: int
    quality: int
    difference: int  # pixels; noise hardly compresses
    heat: int  # pixels; it is smooth


# Up to so many examples, each of them so large: together below 2.2 MB, 3 MB in the page, also where all of
# them are noise (benchmarks/big_run.py).
SIZES = ((40, Size(224, 80, 168, 112)), (90, Size(160, 70, 112, 80)), (200, Size(128, 50, 64, 56)))


def size_for(count: int) -> Size:
    """The size of the pictures on a page with so many examples."""
    return next((size for most, size in SIZES if count <= most), SIZES[-1][1])


def pictures(folder: Path, example: Example, size: Size) -> list[Picture]:
    """The four pictures of an example; none where a file is missing or damaged."""
    clean, changed = read_picture(folder, example.clean), read_picture(folder, example.changed)
    if clean is None or changed is None or clean.shape != changed.shape:
        return []
    difference, factor = amplified_difference(clean, changed)
    heat, peak = heat_map(clean, changed)
    amplified = "no difference" if factor is None else f"difference ×\N{NO-BREAK SPACE}{number(factor)}"
    return [
        encoded(clean, "before", size.side, size.quality),
        encoded(changed, "after", size.side, size.quality),
        encoded(difference, amplified, size.difference, 40, exact=True),
        encoded(heat, f"where, up to {percent(peak)}", size.heat, size.quality),
    ]


def read_picture(folder: Path, name: str) -> Pixels | None:
    """A picture below the run folder as (H, W, 3), or None where there is none that can be shown."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        return None
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > PIXEL_LIMIT:
                return None
            return np.asarray(image.convert("RGB"))
    # Pillow says SyntaxError for some damaged files.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def amplified_difference(clean: Pixels, changed: Pixels) -> tuple[Pixels, float | None]:
    """Changed minus clean around middle grey, times the largest factor that does not saturate.

    Args:
        clean: (H, W, C).
        changed: same shape.

    Returns:
        The picture and the factor; None where nothing differs at 8 bits.
    """
    signed = changed.astype(np.float32) - clean.astype(np.float32)
    largest = float(np.abs(signed).max(initial=0))
    if largest == 0:
        return np.full_like(clean, 128), None
    factor = next(f for f in FACTORS if f * largest <= 127.5)
    return np.clip(np.round(127.5 + factor * signed), 0, 255).astype(np.uint8), factor


def heat_map(clean: Pixels, changed: Pixels) -> tuple[Pixels, float]:
    """Where a picture was changed, in the colours of ``HEAT``, and the change that the brightest stands for.

    The size of the difference, as the mean over the channels, smoothed with a Gaussian of one 56th of the longer
    side so that a place is seen rather than single pixels; scaled to its own largest value.

    Args:
        clean: (H, W, C).
        changed: same shape.

    Returns:
        (H, W, 3), and a share of the range from black to white.
    """
    from scipy.ndimage import gaussian_filter

    change = np.abs(changed.astype(np.float32) - clean.astype(np.float32)).mean(axis=2) / 255
    change = gaussian_filter(change, _BLUR * max(change.shape))
    peak = float(change.max(initial=0))
    colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in HEAT], dtype=np.float32)
    place = change / peak if peak > 0 else change
    stops = np.linspace(0, 1, len(HEAT))
    found = np.stack([np.interp(place, stops, colours[:, k]) for k in range(3)], axis=-1)
    return found.round().astype(np.uint8), peak


def encoded(pixels: Pixels, words: str, side: int, quality: int, *, exact: bool = False) -> Picture:
    """Pixels (H, W, 3) as WebP; ``exact`` keeps single ones when shrinking, which averaging would turn to grey."""
    image = Image.fromarray(pixels)
    small = max(image.size) <= SMALL
    buffer = io.BytesIO()
    if not small:
        image.thumbnail((side, side), Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS)
    image.save(buffer, "WEBP", lossless=small, quality=80 if small else quality)
    url = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(url, words, small, *image.size)
