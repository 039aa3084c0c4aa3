"""Image files that Pillow reads: opened by their first bytes, checked before they are decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from robustbench_lite.data.source import RawPixels

MAX_PIXELS = 25_000_000


class UnsupportedImageError(Exception):
    """An image of a kind that is not read; the text is the reason."""


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """Nothing: the resolution is of no use here, and looking it up warns about other people's EXIF."""


# Pillow's own classes instead of Image.open, which tries dozens of formats and warns about large images.
_PILLOW: dict[bytes, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": _Jpeg,
    b"BM": BmpImageFile,
    b"RIFF": WebPImageFile,
}


def open_image(file: BinaryIO) -> ImageFile.ImageFile:
    """The image in a file, its size checked, not decoded yet.

    Raises:
        UnsupportedImageError: another format, a broken header, or too many pixels.
    """
    start = file.read(12)
    file.seek(0)
    if not start:
        raise UnsupportedImageError("the file is empty")
    kind = next((kind for magic, kind in _PILLOW.items() if start.startswith(magic)), None)
    if kind is None or (kind is WebPImageFile and start[8:] != b"WEBP"):
        raise UnsupportedImageError("not a PNG, JPEG, BMP, TIFF or WebP image")
    try:
        image = kind(file)
    except (SyntaxError, OSError, struct.error, EOFError, IndexError) as error:
        raise UnsupportedImageError(f"its header is broken ({error})") from error
    check_size(image.height, image.width)
    return image


def check_size(height: int, width: int, channels: int = 1) -> None:
    """Refuse what would fill the memory. More than four channels count as more pixels.

    Raises:
        UnsupportedImageError: larger than 25 megapixels, or empty.
    """
    if height < 1 or width < 1:
        raise UnsupportedImageError("it has no pixels")
    if height * width * max(4, channels) > 4 * MAX_PIXELS:
        raise UnsupportedImageError(
            f"{height} x {width} pixels with {channels} channel{'s' if channels > 1 else ''} "
            f"are more than the {MAX_PIXELS // 10**6} megapixels that are read"
        )


def channels_of(image: ImageFile.ImageFile, keep_alpha: bool) -> str:
    """The channels that an image of Pillow is turned into: ``L``, ``RGB`` or ``RGBA``.

    Raises:
        UnsupportedImageError: the pixels have 32 bits.
    """
    if image.mode in ("I", "F"):
        raise UnsupportedImageError("32-bit pixels are not read: save it with 8 or 16 bits")
    layout, bands = _layout(image), image.getbands()
    # A single transparent colour, instead of a channel, is kept with 8 bits only.
    single = "transparency" in image.info and not layout.endswith(";16B")
    if keep_alpha and (single or "A" in bands or "a" in bands):
        return "RGBA"
    # 16-bit grey with opacity is opened as colour.
    grey = bands[0] in ("1", "L", "I") or layout == "LA;16B"
    return "L" if grey else "RGB"


def pillow_pixels(image: ImageFile.ImageFile, keep_alpha: bool) -> RawPixels:
    """The image (H, W, C) that Pillow decodes, uint8 or uint16.

    Raises:
        Exception: whatever Pillow raises for broken data.
    """
    # Another library may have switched this on; half an image filled up with grey is no image.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    mode = channels_of(image, keep_alpha)
    if isinstance(image, PngImageFile) and _layout(image) in ("LA;16B", "RGB;16B", "RGBA;16B"):
        return _png16_pixels(image, mode)
    image.load()
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
    elif mode == "RGBA":
        pixels = np.asarray(image.convert(mode))
    else:
        image.info.pop("transparency", None)  # not wanted, and converting with it would warn
        pixels = np.asarray(image.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _layout(image: ImageFile.ImageFile) -> str:
    """How a PNG's pixels are laid out in the file, in Pillow's words."""
    return str(image.tile[0].args) if isinstance(image, PngImageFile) and image.tile else ""


def _png16_pixels(image: PngImageFile, mode: str) -> RawPixels:
    """All 16 bits of a PNG with several channels, of which Pillow keeps only the upper eight.

    Pillow is told the layout of the bytes in the file. Told the other byte order, it keeps the lower eight:
    so the file is decoded twice. (torchvision reads 16 bits too, but a damaged file can end the process.)
    """
    layout = _layout(image)
    if layout == "LA;16B":  # four bytes per pixel: as four channels, grey high, low, opacity high, low
        halves = _decoded_as(image, "RGBA").astype(np.uint16)
        pixels = halves[..., 0::2] << 8 | halves[..., 1::2]
        return pixels[..., [0, 0, 0, 1]] if mode == "RGBA" else pixels[..., :1]
    high = _decoded_as(image, layout).astype(np.uint16)
    low = _decoded_as(image, layout.replace("16B", "16L"))
    return (high << 8 | low)[..., : len(mode)]


def _decoded_as(image: PngImageFile, layout: str) -> RawPixels:
    assert image.fp is not None
    image.fp.seek(0)
    again = PngImageFile(image.fp)
    again.tile = [again.tile[0]._replace(args=layout)]
    return np.asarray(again)


def open_tiff_with_pillow(file: BinaryIO) -> TiffImageFile:
    """A TIFF as Pillow sees it, its size checked.

    Raises:
        UnsupportedImageError: it is too large.
    """
    file.seek(0)
    image = TiffImageFile(file)
    check_size(image.height, image.width)
    return image
