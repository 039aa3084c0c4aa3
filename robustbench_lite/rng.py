"""One random stream per sample.

A draw depends on (seed, condition, sample id, key) and on nothing else: not on batch size, order, worker,
shard or model. So two networks see the same noise, and a comparison of them is paired.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

        Each is one of 65,536 equally likely values, of which the largest is 4.3.
        """
        import torch

        from robustbench_lite.normals import normal_rows

        rows = normal_rows(self._prefix(key), self.sample_ids, math.prod(shape))
        return torch.from_numpy(rows).view(-1, *shape).to(like)

    def words(self, shape: Sequence[int], *key: object, like: torch.Tensor) -> torch.Tensor:
        """Whole numbers from -32,768 to 32,767, all equally likely: int16, (N, *shape), on the device of ``like``.

        Where so many steps are enough, they take a third of the time of ``uniform``.
        """
        import torch

        from robustbench_lite.normals import word_rows

        rows = word_rows(self._prefix(key), self.sample_ids, math.prod(shape)).view("int16")
        return torch.from_numpy(rows).reshape(-1, *shape).to(like.device)

    def _prefix(self, key: tuple[object, ...]) -> str:
        return "\x1f".join(map(str, (self.seed, self.condition, *key, "")))
