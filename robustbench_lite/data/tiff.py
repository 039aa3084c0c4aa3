"""TIFF files: 16 bits, any number of channels, as scientific and inspection cameras write them.

tifffile reads them; Pillow helps out with 8-bit colour spaces and compressions that tifffile leaves to
another package.
"""

from __future__ import annotations

import logging
from typing import Any, BinaryIO

import numpy as np
import tifffile

from robustbench_lite.data.pillow import (
    UnsupportedImageError,
    channels_of,
    check_size,
    open_tiff_with_pillow,
    pillow_pixels,
)
from robustbench_lite.data.source import RawPixels, Shape

# tifffile logs what it finds odd. A logger without any handler prints to the terminal; one that has a handler
# leaves it to the application.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MINISWHITE, _MINISBLACK, _RGB = 0, 1, 2  # TIFF 6.0, section 8, PhotometricInterpretation
_ALPHA = (1, 2)  # TIFF 6.0, section 18, ExtraSamples: associated and unassociated alpha


def header(file: BinaryIO, keep_alpha: bool) -> Shape:
    """(H, W, C) of what ``decode`` returns.

    Raises:
        Exception: whatever the file provokes; the caller turns it into a DamagedImageError.
    """
    with tifffile.TiffFile(file) as tif:
        page, pages = _pages(tif)
        if _for_pillow(page):
            image = open_tiff_with_pillow(file)
            return image.height, image.width, len(channels_of(image, keep_alpha))
        channels = len(pages) if len(pages) > 1 else len(_kept(page, keep_alpha))
        return page.imagelength, page.imagewidth, channels


def decode(file: BinaryIO, keep_alpha: bool) -> RawPixels:
    """The image (H, W, C), uint8 or uint16.

    Raises:
        Exception: as ``header``.
    """
    with tifffile.TiffFile(file) as tif:
        page, pages = _pages(tif)
        if _for_pillow(page):
            return pillow_pixels(open_tiff_with_pillow(file), keep_alpha)
        if len(pages) > 1:
            pixels = np.stack([p.asarray() for p in pages], axis=-1)
        else:
            pixels = page.asarray()
            if page.axes == "SYX":
                pixels = pixels.transpose(1, 2, 0)
            pixels = pixels if pixels.ndim == 3 else pixels[..., None]
            pixels = pixels[..., _kept(page, keep_alpha)]
    if page.photometric == _MINISWHITE:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return pixels


def _pages(tif: tifffile.TiffFile) -> tuple[Any, list[Any]]:
    """The first page, and all pages if they are channels of one image: grey, and alike in size and type."""
    page: Any = tif.pages[0]
    pages = [page]
    if page.axes == "YX":
        for other in tif.pages[1:]:
            if (other.shape, other.dtype) != (page.shape, page.dtype):
                pages = [page]  # a thumbnail or a pyramid
                break
            pages.append(other)
    if page.axes not in ("YX", "YXS", "SYX"):
        raise UnsupportedImageError(f"a TIFF with the axes {page.axes} is not read")
    check_size(page.imagelength, page.imagewidth, len(pages) * page.samplesperpixel)
    return page, pages


def _for_pillow(page: Any) -> bool:
    """Whether only Pillow can read it.

    Raises:
        UnsupportedImageError: neither can.
    """
    bits = page.bitspersample
    if page.dtype not in (np.bool_, np.uint8, np.uint16) or bits not in (1, 2, 4, 8, 16):
        raise UnsupportedImageError(f"pixels of type {page.dtype} ({bits} bits) are not read: use 8 or 16 bits")
    known_colours = page.photometric in (_MINISWHITE, _MINISBLACK, _RGB)
    known_bytes = page.compression in tifffile.TIFF.DECOMPRESSORS
    if known_colours and known_bytes and bits >= 8:
        return False
    # From 16-bit colour Pillow would keep eight bits, silently.
    if bits == 16 and not (page.samplesperpixel == 1 and page.photometric == _MINISBLACK):
        raise UnsupportedImageError(
            f"16-bit {page.photometric.name} with {page.compression.name} compression is not read: "
            "save it without compression"
        )
    return True


def _kept(page: Any, keep_alpha: bool) -> list[int]:
    """The samples of a pixel that are used: all, or all but opacity."""
    count = page.samplesperpixel
    colours = 3 if page.photometric == _RGB else 1
    has_alpha = count == colours + 1 and len(page.extrasamples) == 1 and page.extrasamples[0] in _ALPHA
    if not has_alpha:
        return list(range(count))
    if keep_alpha:
        return [0, 1, 2, 3] if colours == 3 else [0, 0, 0, 1]
    return list(range(colours))
