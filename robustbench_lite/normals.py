"""Random numbers that are cheap, normal ones from a table: noise is what many shifts wait for."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import SFC64, bit_generator


def normal_rows(prefix: str, sample_ids: Sequence[str], count: int) -> npt.NDArray[np.float32]:
    """A row of standard normal numbers (N, count) per sample; it depends on the prefix and on the sample's id.

    Each is one of 65,536 equally likely values, of which the largest is 4.3. A table costs half of what a
    logarithm and a cosine do.
    """
    out = np.empty((len(sample_ids), count), np.float32)
    _quantiles().take(word_rows(prefix, sample_ids, count), out=out, mode="wrap")
    return out


def word_rows(prefix: str, sample_ids: Sequence[str], count: int) -> npt.NDArray[np.uint16]:
    """A row of random whole numbers of 16 bits (N, count) per sample, by the prefix and the sample's id."""
    raw = np.empty((len(sample_ids), -(-count // 4)), np.uint64)
    begun = hashlib.blake2b(prefix.encode())
    for row, sample_id in zip(raw, sample_ids, strict=True):
        hashed = begun.copy()
        hashed.update(sample_id.encode())
        row[:] = SFC64(_Digest(hashed.digest())).random_raw(len(row))  # type: ignore[arg-type]
    return raw.view(np.uint16)[:, :count]


class _Digest(bit_generator.ISeedSequence):
    """A hash as the seed of a generator: as good as what numpy's own stirring makes of it, and much cheaper."""

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest, np.uint32)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The first words of the digest. A generator asks for no more than it has."""
        return self._words.view(dtype)[:n_words]


@functools.cache
def _quantiles() -> npt.NDArray[np.float32]:
    """65,536 equally likely values of a standard normal number, with a variance of exactly 1."""
    import torch

    middles = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    values = torch.special.ndtri(middles)
    table: npt.NDArray[np.float32] = (values / values.square().mean().sqrt()).float().numpy()
    return table
