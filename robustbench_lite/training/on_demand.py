"""Images of a split that are too many for the memory: decoded when they are asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustbench_lite.data.dataset import DamagedImageError, Dataset, Pixels
from robustbench_lite.errors import InputError

WORKERS = min(8, max(2, os.cpu_count() or 2))


class Summary(NamedTuple):
    """What is known of N images with C channels after one look at all of them.

    ``lowest`` and ``highest`` (N,) are of each image, ``mean`` and ``std`` (C,), float64, of all values of a
    channel; ``digest`` says which values they were.
    """

    lowest: Tensor
    highest: Tensor
    mean: Tensor
    std: Tensor
    digest: str


class OnDemand:
    """Images (N, C, H, W) in [0, 1] that are taken from it like from a tensor, ``images[chunk]``, and not kept.

    They are decoded in threads, one request ahead where the order is known: after a slice comes the next one.

    Args:
        dataset: its images, all of which can be read.
        device: where they are wanted.
        shape: (C, H, W).
        summary: of all of them.
    """

    def __init__(self, dataset: Dataset, device: str, shape: Iterable[int], summary: Summary) -> None:
        self.shape, self.device, self.summary = torch.Size((len(dataset), *shape)), torch.device(device), summary
        self._read, self._pool = dataset.read, ThreadPoolExecutor(WORKERS, "decoding")
        self._coming: Iterator[int] = iter(())
        self._ahead: deque[tuple[int, Future[Pixels]]] = deque()

    def __len__(self) -> int:
        return self.shape[0]

    def expect(self, order: Iterable[int]) -> None:
        """Say which images will be asked for next, in which order."""
        for _, pixels in self._ahead:
            pixels.cancel()
        self._ahead.clear()
        self._coming = iter(order)

    def __getitem__(self, chosen: Tensor | slice) -> Tensor:
        """Some of the images, float32 on the device, by their indices.

        Raises:
            InputError: one of them can no longer be read.
        """
        if isinstance(chosen, slice):
            places = list(range(len(self))[chosen])
            if places and not (self._ahead and self._ahead[0][0] == places[0]):
                self.expect(range(places[0], len(self)))
        else:
            places = chosen.tolist()
        self._read_ahead(len(places))
        wanted = [self._take(place) for place in places]
        self._read_ahead(len(places))
        try:
            pixels = [image.result() for image in wanted]
        except DamagedImageError as error:
            raise InputError(
                f"an image was lost while the network learnt from it: {error.what}",
                "Put the file back and give --resume.",
            ) from None
        return torch.from_numpy(np.stack(pixels)).to(self.device)

    def _read_ahead(self, count: int) -> None:
        for place in islice(self._coming, max(0, count - len(self._ahead))):
            self._ahead.append((place, self._pool.submit(self._read, place)))

    def _take(self, place: int) -> Future[Pixels]:
        if self._ahead and self._ahead[0][0] == place:
            return self._ahead.popleft()[1]
        return self._pool.submit(self._read, place)
