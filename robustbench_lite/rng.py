"""One random stream per sample.

A draw depends on (seed, condition, sample id, key) and on nothing else: not on batch size, order, worker,
shard or model. So two networks see the same noise, and a comparison of them is paired.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import SFC64, bit_generator

if TYPE_CHECKING:
    import torch


def stable_hash(*parts: object) -> int:
    """A 63-bit hash of the parts' text, the same in every process and version of Python."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


@dataclass(frozen=True)
class Streams:
    """The random streams of one batch under one condition.

    Draws are stateless: the same key gives the same numbers again. A condition that draws more than once
    passes different keys (for example the restart, or the name of the step).

    Args:
        seed: the run's seed.
        condition: spec of the condition that draws.
        sample_ids: one id per image of the batch.
    """

    seed: int
    condition: str
    sample_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __getitem__(self, indices: torch.Tensor | Sequence[int]) -> Streams:
        """The streams of some of the samples, in the given order."""
        chosen = indices if isinstance(indices, Sequence) else indices.tolist()
        return Streams(self.seed, self.condition, tuple(self.sample_ids[i] for i in chosen))

    def camera(self) -> Streams:
        """One stream that is the same whatever the samples are: for what belongs to the camera, not to an image.

        It depends on the seed and the condition. Another camera of the same make is another seed.
        """
        return Streams(self.seed, self.condition, ("camera",))

    def generators(self, *key: object) -> Iterator[torch.Generator]:
        """One CPU generator after the other, seeded for each sample.

        CPU, because other devices draw other numbers. It is the same object every time, because making one costs
        more than seeding it.
        """
        import torch

        generator = torch.Generator()
        for sample_id in self.sample_ids:
            yield generator.manual_seed(stable_hash(self.seed, self.condition, sample_id, *key))

    def uniform(self, shape: Sequence[int], *key: object, like: torch.Tensor) -> torch.Tensor:
        """Uniform numbers in [0, 1), shape (N, *shape), on the device and in the dtype of ``like``."""
        import torch

        out = torch.empty(len(self), *shape)
        for row, generator in zip(out, self.generators(*key), strict=True):
            row.uniform_(generator=generator)
        return out.to(like)

    def normal(self, shape: Sequence[int], *key: object, like: torch.Tensor) -> torch.Tensor:
        """Standard normal numbers, shape (N, *shape), on the device and in the dtype of ``like``.

        Each is one of 65,536 equally likely values, of which the largest is 4.3. A table costs half of what a
        logarithm and a cosine do, and noise is what many shifts wait for.
        """
        import torch

        count = math.prod(shape)
        raw = np.empty((len(self), -(-count // 4)), np.uint64)
        prefix = hashlib.blake2b("\x1f".join(map(str, (self.seed, self.condition, *key, ""))).encode())
        for row, sample_id in zip(raw, self.sample_ids, strict=True):
            hashed = prefix.copy()
            hashed.update(sample_id.encode())
            row[:] = SFC64(_Digest(hashed.digest())).random_raw(len(row))  # type: ignore[arg-type]
        out = torch.empty(len(self), *shape)
        chosen = raw.view(np.uint16)[:, :count]
        _quantiles().take(chosen, out=out.view(len(self), count).numpy(), mode="wrap")
        return out.to(like)


class _Digest(bit_generator.ISeedSequence):
    """A hash as the seed of a generator: as good as what numpy's own stirring makes of it, and much cheaper."""

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest, np.uint32)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The first words of the digest. A generator asks for no more than it has."""
        return self._words.view(dtype)[:n_words]


@functools.cache
def _quantiles() -> Any:
    """65,536 equally likely values of a standard normal number, with a variance of exactly 1."""
    import torch

    middles = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    values = torch.special.ndtri(middles)
    return (values / values.square().mean().sqrt()).float().numpy()
