"""The contact sheet: blocks of small images, one below the other, each under its title."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

COLUMNS = 16
_SMALL, _LARGE = 48, 96  # sides of a tile in pixels: enlarged up to about one, reduced to the other
_GAP, _MARGIN, _TEXT = 4, 16, 16
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def contact_sheet(blocks: Sequence[tuple[str, npt.NDArray[np.floating]]]) -> bytes:
    """A PNG of titled blocks of images.

    Args:
        blocks: title and images (N, C, H, W) in [0, 1], all of one shape; of more than three channels the first
            three are shown, of two the first.
    """
    height, width = blocks[0][1].shape[2:]
    size = _tile_size(height, width)
    font = ImageFont.load_default(size=_TEXT)
    columns = min(COLUMNS, max(len(images) for _, images in blocks))
    title_height = 2 * _TEXT
    block_heights = [
        title_height + -(-len(images) // columns) * (size[1] + _GAP) + _MARGIN for _, images in blocks
    ]
    sheet_width = max(columns * (size[0] + _GAP) - _GAP, *(round(font.getlength(title)) for title, _ in blocks))
    sheet = Image.new("RGB", (sheet_width + 2 * _MARGIN, sum(block_heights) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for (title, images), block_height in zip(blocks, block_heights, strict=True):
        draw.text((_MARGIN, top), title, fill=_INK, font=font)
        for i, image in enumerate(images):
            row, column = divmod(i, columns)
            place = (_MARGIN + column * (size[0] + _GAP), top + title_height + row * (size[1] + _GAP))
            sheet.paste(_tile(image, size), place)
        top += block_height
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _tile_size(height: int, width: int) -> tuple[int, int]:
    """(W, H) of a tile: small images are enlarged by a whole number, large ones reduced."""
    longer = max(height, width)
    if longer > _LARGE:
        return max(1, round(width * _LARGE / longer)), max(1, round(height * _LARGE / longer))
    factor = max(1, _SMALL // longer)
    return width * factor, height * factor


def _tile(image: npt.NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    channels = 3 if len(image) >= 3 else 1
    pixels = (image[:channels].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).convert("RGB")
    enlarged = size[0] >= picture.width and size[1] >= picture.height
    return picture.resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)
