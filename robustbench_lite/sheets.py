"""The contact sheet: blocks of small images, one below the other, each under its title."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

COLUMNS = 16
_SIDE = 96
_GAP, _MARGIN, _TEXT, _SMALL_TEXT = 4, 16, 16, 12
_INK, _PAPER = (30, 30, 30), (255, 255, 255)
_MOST_LETTERS = 24  # beside a row


class Block(NamedTuple):
    """Images under a title, in rows."""

    title: str
    images: npt.NDArray[np.floating]  # (N, C, H, W) in [0, 1]
    columns: int = COLUMNS  # images in a row, at the most
    headings: Sequence[tuple[str, Sequence[str]]] = ()  # above the columns: what it is, a text per column
    rows: Sequence[str] = ()  # a text beside each row
    captions: Sequence[str] = ()  # a text below each image, shortened to its width


def contact_sheet(blocks: Sequence[Block], side: int = _SIDE) -> bytes:
    """A PNG of titled blocks of images.

    Args:
        blocks: their images are all of one shape; of more than three channels the first three are shown, of
            two the first.
        side: images with a longer side in pixels are reduced to it, small ones enlarged up to half of it.
    """
    return _Sheet(blocks, side).png()


class _Sheet:
    """Where everything goes, in pixels."""

    def __init__(self, blocks: Sequence[Block], side: int) -> None:
        self.blocks = blocks
        self.title = ImageFont.load_default(size=_TEXT)
        self.small = ImageFont.load_default(size=_SMALL_TEXT)
        self.tile = _tile_size(blocks[0].images.shape[2:], side)
        self.rows = [[_shortened(text) for text in block.rows] for block in blocks]
        beside = [text for rows in self.rows for text in rows] + [name for b in blocks for name, _ in b.headings]
        above = [text for block in blocks for _, texts in block.headings for text in texts]
        self.gutter = self._widest(beside, 2 * _GAP)
        self.pitch = max(self.tile[0], self._widest(above, _GAP)) + _GAP

    def _widest(self, texts: Sequence[str], beside: int) -> int:
        return max((round(self.small.getlength(text)) + beside for text in texts), default=0)

    def _columns(self, block: Block) -> int:
        return min(block.columns, len(block.images))

    def _head(self, block: Block) -> int:
        return 2 * _TEXT + len(block.headings) * (_SMALL_TEXT + _GAP)

    def _height(self, block: Block) -> int:
        rows = -(-len(block.images) // self._columns(block))
        return self._head(block) + rows * self._row(block) + _MARGIN

    def _row(self, block: Block) -> int:
        return self.tile[1] + _GAP + (_SMALL_TEXT + _GAP if block.captions else 0)

    def _fitting(self, text: str) -> str:
        """What of a text fits below a tile: its end."""
        short = text
        while len(short) > 2 and self.small.getlength(short) > self.tile[0]:
            short = f"…{short.removeprefix('…')[1:]}"
        return short

    def png(self) -> bytes:
        widths = [self.gutter + self._columns(block) * self.pitch - _GAP for block in self.blocks]
        widths += [round(self.title.getlength(block.title)) for block in self.blocks]
        height = sum(map(self._height, self.blocks)) + _MARGIN
        sheet = Image.new("RGB", (max(widths) + 2 * _MARGIN, height), _PAPER)
        top = _MARGIN
        for block, rows in zip(self.blocks, self.rows, strict=True):
            self._paint(sheet, block, rows, top)
            top += self._height(block)
        out = io.BytesIO()
        sheet.save(out, "PNG")
        return out.getvalue()

    def _paint(self, sheet: Image.Image, block: Block, rows: Sequence[str], top: int) -> None:
        draw = ImageDraw.Draw(sheet)
        draw.text((_MARGIN, top), block.title, fill=_INK, font=self.title)
        left = _MARGIN + self.gutter
        for i, (name, texts) in enumerate(block.headings):
            y = top + 2 * _TEXT - _GAP + i * (_SMALL_TEXT + _GAP)
            draw.text((_MARGIN, y), name, fill=_INK, font=self.small)
            for column, text in enumerate(texts):
                draw.text((left + column * self.pitch, y), text, fill=_INK, font=self.small)
        top += self._head(block)
        for i, image in enumerate(block.images):
            row, column = divmod(i, self._columns(block))
            y = top + row * self._row(block)
            if column == 0 and row < len(rows):
                draw.text((_MARGIN, y), rows[row], fill=_INK, font=self.small)
            sheet.paste(_tile(image, self.tile), (left + column * self.pitch, y))
            if i < len(block.captions):
                below = (left + column * self.pitch, y + self.tile[1])
                draw.text(below, self._fitting(block.captions[i]), fill=_INK, font=self.small)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"…{text[1 - _MOST_LETTERS :]}"


def _tile_size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """(W, H) of a tile: small images are enlarged by a whole number, large ones reduced."""
    height, width = shape
    longer = max(height, width)
    if longer > side:
        return max(1, round(width * side / longer)), max(1, round(height * side / longer))
    factor = max(1, side // 2 // longer)
    return width * factor, height * factor


def _tile(image: npt.NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    channels = 3 if len(image) >= 3 else 1
    pixels = (image[:channels].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).convert("RGB")
    enlarged = size[0] >= picture.width and size[1] >= picture.height
    return picture.resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)
