"""From the pixels of a file to the image that a classifier sees: channels, size, and the scale [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from robustbench_lite.data.dataset import DamagedImageError, Pixels
from robustbench_lite.data.pillow import MAX_PIXELS
from robustbench_lite.data.source import RawPixels, Shape
from robustbench_lite.errors import InputError

# Rec. ITU-R BT.601-7, section 2.5.1: the weights that Pillow and torchvision use for grey.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Fit:
    """Brings images to one shape.

    The image is scaled until its shorter side is ``resize`` pixels, or, without that, until it just covers
    ``input_size``; then the centre is cut out. Scaling is bilinear and antialiased, in floats, as
    torchvision's is for tensors.

    Args:
        channels: 1 and 3 are turned into each other (luma, or three times the same); None leaves them.
        input_size: (H, W) in pixels; None leaves the size.
        resize: length of the shorter side in pixels before the cut.

    Raises:
        InputError: sizes that cannot be.
    """

    channels: int | None = None
    input_size: tuple[int, int] | None = None
    resize: int | None = None

    def __post_init__(self) -> None:
        if self.channels is not None and self.channels < 1:
            raise InputError(f"--channels {self.channels} is refused.", "Give 1, 3, or what the images have.")
        if self.input_size is not None and (len(self.input_size) != 2 or min(self.input_size) < 1):
            raise InputError(f"--input-size {self.input_size} is refused.", "Give height and width in pixels.")
        if self.resize is not None and self.input_size is None:
            raise InputError(f"--resize {self.resize} needs --input-size.", "Give both, or neither.")
        if self.resize is not None and self.input_size is not None and self.resize < max(self.input_size):
            raise InputError(
                f"--resize {self.resize} does not cover --input-size {self.input_size}.",
                f"Give at least {max(self.input_size)}.",
            )

    def __call__(self, raw: RawPixels, name: str) -> Pixels:
        """The image (C, H, W) float32 in [0, 1].

        Args:
            raw: (H, W) or (H, W, C).
            name: what to call the image in an error.

        Raises:
            InputError: the channels or the type cannot be converted.
            DamagedImageError: so long and narrow that scaling it would fill the memory.
        """
        if raw.ndim not in (2, 3) or 0 in raw.shape:
            raise InputError(f"{name} has the shape {raw.shape}.", "Images are (H, W) or (H, W, C).")
        pixels = to_float(raw if raw.ndim == 3 else raw[..., None], name)
        pixels = self._with_channels(pixels, name).transpose(2, 0, 1)
        return np.ascontiguousarray(self._with_size(pixels, name))

    def mask(self, mask: npt.NDArray[np.bool_], name: str) -> npt.NDArray[np.bool_]:
        """A mask (H, W) of an image, scaled by the nearest pixel and cut as the image is.

        Raises:
            DamagedImageError: as for an image.
        """
        if self.input_size is None:
            return mask
        (height, width), (out_height, out_width) = mask.shape, self.input_size
        size = self._scaled_size(height, width, self.input_size, name)
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int) for old, new in ((height, size[0]), (width, size[1]))
        )
        top, left = round((size[0] - out_height) / 2), round((size[1] - out_width) / 2)
        return mask[np.ix_(rows[top : top + out_height], columns[left : left + out_width])]

    def shape(self, raw: Shape, name: str) -> Shape:
        """(C, H, W) that an image of (H, W, C) gets."""
        channels = raw[2] if self.channels is None else self.channels
        _check_channels(raw[2], channels, name)
        if self.input_size is None:
            return channels, raw[0], raw[1]
        self._scaled_size(raw[0], raw[1], self.input_size, name)
        return channels, *self.input_size

    def _with_channels(self, pixels: Pixels, name: str) -> Pixels:
        has, wanted = pixels.shape[2], pixels.shape[2] if self.channels is None else self.channels
        _check_channels(has, wanted, name)
        if has == wanted:
            return pixels
        return pixels.repeat(3, axis=2) if has == 1 else (pixels @ _LUMA)[..., None]

    def _with_size(self, pixels: Pixels, name: str) -> Pixels:
        if self.input_size is None:
            return pixels
        (height, width), (out_height, out_width) = pixels.shape[1:], self.input_size
        size = self._scaled_size(height, width, self.input_size, name)
        if size != (height, width):
            batch = torch.from_numpy(np.ascontiguousarray(pixels))[None]
            scaled = torch.nn.functional.interpolate(
                batch, size=size, mode="bilinear", align_corners=False, antialias=True
            )
            pixels = scaled[0].clamp(0, 1).numpy()
        top, left = round((size[0] - out_height) / 2), round((size[1] - out_width) / 2)
        return pixels[:, top : top + out_height, left : left + out_width]

    def _scaled_size(self, height: int, width: int, target: tuple[int, int], name: str) -> tuple[int, int]:
        """Height and width before the cut. The longer side is rounded down, as torchvision does."""
        if self.resize is not None:
            side, by_height = self.resize, height <= width
        else:
            by_height = target[0] * width >= target[1] * height
            side = target[0] if by_height else target[1]
        size = (side, side * width // height) if by_height else (side * height // width, side)
        if size[0] * size[1] > MAX_PIXELS:
            raise DamagedImageError(
                f"{name}: {height} x {width} pixels would become {size[0]} x {size[1]}, which is too large.",
                "Leave the file out, or cut it.",
            )
        return size


def _check_channels(has: int, wanted: int, name: str) -> None:
    if has != wanted and {has, wanted} != {1, 3}:
        raise InputError(
            f"{name} has {has} channel{'s' if has > 1 else ''}, which cannot be made {wanted}.",
            "Only 1 and 3 are turned into each other: change --channels, or leave the file out.",
        )


def to_float(raw: RawPixels, name: str) -> Pixels:
    """Pixels as float32 in [0, 1]: 8-bit values over 255, 16-bit values over 65535, floats as they are."""
    if np.issubdtype(raw.dtype, np.uint8) or np.issubdtype(raw.dtype, np.uint16):  # of any byte order
        return raw.astype(np.float32) / np.float32(np.iinfo(raw.dtype).max)
    if np.issubdtype(raw.dtype, np.floating):
        return raw.astype(np.float32)
    raise InputError(f"{name} holds {raw.dtype}.", "Images are uint8, uint16, or floats in [0, 1].")
