"""Small image folders, made anew for each test."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of data sets that are too large for the repository; they may be absent."""
    return SHARED


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes images of random pixels, all different, under the given names."""

    def make(*names: str, size: tuple[int, int] = (12, 10), seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for name in names:
            path = tmp_path / "parts" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        return tmp_path / "parts"

    return make


@pytest.fixture
def png16() -> Callable[..., bytes]:
    """Encodes (H, W, C) uint16 as a PNG, which Pillow cannot for more than one channel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def encode(pixels: np.ndarray) -> bytes:
        height, width, channels = pixels.shape
        colour_type = {1: 0, 3: 2, 2: 4, 4: 6}[channels]
        flat = pixels.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
        above = np.vstack([np.zeros_like(flat[:1]), flat[:-1]])
        left = np.hstack([np.zeros((height, 2 * channels), int), flat[:, : -2 * channels]])
        filters = np.arange(height) % 3  # none, sub, up: so that the filters are tested as well
        rows = np.where(filters[:, None] == 0, flat, flat - np.where(filters[:, None] == 1, left, above))
        lines = b"".join(
            bytes([f]) + (row % 256).astype(np.uint8).tobytes() for f, row in zip(filters, rows, strict=True)
        )
        head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(lines))
            + chunk(b"IEND", b"")
        )

    return encode
