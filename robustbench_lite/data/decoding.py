"""Image files, 8 and 16 bit, read without surprises: one way in, one error out.

The format is told by the first bytes, not by the suffix, and handed to that one decoder. The size is read
from the header and checked before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from robustbench_lite.data.dataset import DamagedImageError
from robustbench_lite.data.pillow import channels_of, open_image, pillow_pixels
from robustbench_lite.data.source import RawPixels, Shape

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def header(path: str, name: str, keep_alpha: bool = False) -> Shape:
    """(H, W, C) of the array that ``decode`` returns, without decoding.

    Args:
        path: the file.
        name: what to call it in an error.
        keep_alpha: whether a fourth channel, opacity, is wanted.

    Raises:
        DamagedImageError: the file cannot be opened, is no image, or is larger than 25 megapixels.
    """
    with _blaming(name), open(path, "rb") as file:
        if _is_tiff(file):
            from robustbench_lite.data import tiff  # tifffile takes a while to import

            return tiff.header(file, keep_alpha)
        image = open_image(file)
        return image.height, image.width, len(channels_of(image, keep_alpha))


def decode(path: str, name: str, keep_alpha: bool = False) -> RawPixels:
    """The image (H, W, C), uint8 or uint16. Grey has one channel, palettes three.

    Args:
        path: the file.
        name: what to call it in an error.
        keep_alpha: keep opacity as a fourth channel, where there is one. Otherwise it is dropped.

    Raises:
        DamagedImageError: the file cannot be read to its end.
    """
    with _blaming(name), open(path, "rb") as file:
        if _is_tiff(file):
            from robustbench_lite.data import tiff

            return tiff.decode(file, keep_alpha)
        return pillow_pixels(open_image(file), keep_alpha)


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise  # not the file's fault
    except Exception as error:  # broken bytes make decoders raise nearly anything
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = " ".join(text.split()).rstrip(".") or type(error).__name__
        raise DamagedImageError(f"{name}: {reason}.", "Delete or replace the file.") from error


def _is_tiff(file: BinaryIO) -> bool:
    start = file.read(4)
    file.seek(0)
    return start in _TIFF
