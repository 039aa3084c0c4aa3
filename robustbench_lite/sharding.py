"""A part of the images as whole batches, so that its rows are those of the whole run, bit for bit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from robustbench_lite.errors import InputError


@dataclass(frozen=True)
class Shard:
    """The ``index``-th of ``count`` parts, from 1: every ``count``-th batch of the grid."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def batch_size(self, n: int, batch_size: int) -> int:
        """Images at a time: those asked for, fewer where there would be fewer batches than shards.

        The same for all shards of n images.

        Raises:
            InputError: there are fewer images than shards.
        """
        if n < self.count:
            raise InputError(f"{n} images cannot be {self.count} shards.", "Give fewer shards, or more images.")
        return batch_size if _batches(n, batch_size) >= self.count else max(1, n // self.count)

    def numbers(self, n: int, batch_size: int) -> range:
        """The batches of this shard, counted from 0."""
        return range(self.index - 1, _batches(n, batch_size), self.count)

    def images(self, n: int, batch_size: int) -> int:
        """How many images are in it."""
        return sum(min(batch_size, n - number * batch_size) for number in self.numbers(n, batch_size))


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """``2/4`` as the second of four.

    Raises:
        InputError: it is not that.
    """
    found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text, re.ASCII)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--shard {text} is no part of a whole.", "Write it like 1/4, 2/4, 3/4 and 4/4.")
    return Shard(int(found[1]), int(found[2]))


def _batches(n: int, batch_size: int) -> int:
    return -(-n // batch_size)
