"""The data set as the rest of the package sees it: labelled images, read one at a time, each with an id."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robustbench_lite.errors import InputError

Pixels = npt.NDArray[np.float32]


class DamagedImageError(InputError):
    """An image that cannot be read. It is reported by name and left out."""


class MixedShapesError(InputError):
    """Images of several shapes, which cannot be one batch; ``shapes`` are the (C, H, W) of each file."""

    def __init__(self, spec: str, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        (first, usual), *others = shapes.items()
        odd, other = next((file, shape) for file, shape in others if shape != usual)
        super().__init__(
            f"the images of {spec} differ in shape: {first} is {' x '.join(map(str, usual))} "
            f"(channels x height x width), {odd} is {' x '.join(map(str, other))}.",
            "Give --input-size (and --channels) to bring them to one.",
        )


class Skipped(NamedTuple):
    """An image that was left out, and why."""

    file: str
    reason: str

    @classmethod
    def because(cls, file: str, error: DamagedImageError) -> Skipped:
        """With the error's reason, without the file's name in front."""
        return cls(file, error.what.removeprefix(f"{file}: ").removesuffix("."))


class Metadata(NamedTuple):
    """What is known of an image without its content: height and width in pixels, and its file's length."""

    height: int
    width: int
    file_bytes: int | None


class Batch(NamedTuple):
    """Images (N, C, H, W) float32 in [0, 1], labels (N,) int64, and one place, id, file and group per image.

    ``skipped`` are the damaged ones; ``out_of_reach``: for one of them it was the disk, which may be back later.
    """

    indices: tuple[int, ...]
    images: Tensor
    labels: Tensor
    sample_ids: tuple[str, ...]
    files: tuple[str, ...]
    groups: tuple[str, ...] | None
    skipped: tuple[Skipped, ...]
    out_of_reach: bool = False


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Args:
        spec: what the data were asked for as, for example ``folder:parts``.
        split: ``train``, ``val``, ``test`` or ``all``.
        class_names: one name per class, in label order.
        labels: (N,) int64.
        files: one name per image, for people: a file's path below the folder, or an index.
        sample_ids: one id per image, a hash of its content and its class's name.
        read: the i-th image, (C, H, W) float32 in [0, 1]; raises DamagedImageError.
        groups: one group per image (pictures of the same part, day or camera), or None.
        skipped: images that were already found damaged.
        notes: what was decided while loading, for people.
        metadata: the i-th image's size before it was scaled, and its file's length; None if unknown.
        eps: the usual attack budget per norm for these images, on the [0, 1] scale.
    """

    spec: str
    split: str
    class_names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    files: tuple[str, ...]
    sample_ids: tuple[str, ...]
    read: Callable[[int], Pixels]
    eps: dict[str, float]
    groups: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: Callable[[int], Metadata] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the first image that can be read."""
        for i in range(len(self)):
            try:
                channels, height, width = self.read(i).shape
            except DamagedImageError:
                continue
            return channels, height, width
        raise InputError(f"{self.spec} holds no image that can be read.", "Check the files.")

    @property
    def manifest_hash(self) -> str:
        """SHA-256 of all sample ids, whatever their order."""
        return hashlib.sha256("\n".join(sorted(self.sample_ids)).encode()).hexdigest()

    def select(self, indices: Sequence[int]) -> Dataset:
        """Some of the samples, in the given order."""
        read, metadata, chosen = self.read, self.metadata, list(indices)
        return replace(
            self,
            labels=self.labels[chosen],
            files=tuple(self.files[i] for i in chosen),
            sample_ids=tuple(self.sample_ids[i] for i in chosen),
            groups=self.groups and tuple(self.groups[i] for i in chosen),
            read=lambda i: read(chosen[i]),
            metadata=metadata and (lambda i: metadata(chosen[i])),
        )

    def remembered(self, most: int) -> Dataset:
        """The same images, decoded when they are first read and then kept, if all take at most so many bytes."""
        read, kept = self.read, dict[int, Pixels]()

        def once(i: int) -> Pixels:
            if i not in kept:
                kept[i] = read(i)
            return kept[i]

        remembering = replace(self, read=once)
        fits = len(self) * 4 * math.prod(remembering.image_shape) <= most  # float32
        return remembering if fits else self

    def batches(
        self, batch_size: int, workers: int = 2, *, numbers: Sequence[int] | None = None
    ) -> Iterator[Batch]:
        """All images in order, decoded in threads one batch ahead; damaged ones are left out and named.

        With ``numbers`` only those batches, counted from 0: the images of the others are not looked at.
        """
        every = range(0, len(self), batch_size)
        starts = every if numbers is None else [every[number] for number in numbers]
        with ThreadPoolExecutor(max_workers=workers) as pool:
            chunks = (range(start, min(start + batch_size, len(self))) for start in starts)
            ahead = [(chunk, pool.map(self._try_read, chunk)) for chunk in islice(chunks, 2)]
            try:
                while ahead:
                    chunk, pixels = ahead.pop(0)
                    ahead += [(c, pool.map(self._try_read, c)) for c in islice(chunks, 1)]
                    yield self._batch(chunk, list(pixels))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _try_read(self, i: int) -> Pixels | DamagedImageError:
        try:
            return self.read(i)
        except DamagedImageError as error:
            return error

    def _batch(self, chunk: Sequence[int], pixels: list[Pixels | DamagedImageError]) -> Batch:
        kept = [(i, p) for i, p in zip(chunk, pixels, strict=True) if not isinstance(p, DamagedImageError)]
        if len({p.shape for _, p in kept}) > 1:
            raise MixedShapesError(self.spec, {self.files[i]: p.shape for i, p in kept})
        indices = [i for i, _ in kept]
        return Batch(
            indices=tuple(indices),
            images=torch.from_numpy(np.stack([p for _, p in kept])) if kept else torch.empty(0),
            labels=torch.from_numpy(self.labels[indices]),
            sample_ids=tuple(self.sample_ids[i] for i in indices),
            files=tuple(self.files[i] for i in indices),
            groups=self.groups and tuple(self.groups[i] for i in indices),
            skipped=tuple(
                Skipped.because(self.files[i], p)
                for i, p in zip(chunk, pixels, strict=True)
                if isinstance(p, DamagedImageError)
            ),
            out_of_reach=any(isinstance(p, DamagedImageError) and _of_disk(p) for p in pixels),
        )


def _of_disk(error: DamagedImageError) -> bool:
    """Whether the operating system refused to read. A decoder's OSError has no number."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno is not None


def joined(parts: Sequence[Dataset], split: str) -> Dataset:
    """Splits of one data set as one, one after another.

    Args:
        parts: loaded alike.
        split: what the whole is called.
    """
    ends = np.cumsum([len(part) for part in parts]).tolist()

    def place(i: int) -> tuple[Dataset, int]:
        which = bisect_right(ends, i)
        return parts[which], i - (ends[which - 1] if which else 0)

    def read(i: int) -> Pixels:
        part, own = place(i)
        return part.read(own)

    grouped = all(part.groups is not None for part in parts)
    return replace(
        parts[0],
        split=split,
        labels=np.concatenate([part.labels for part in parts]),
        files=tuple(file for part in parts for file in part.files),
        sample_ids=tuple(i for part in parts for i in part.sample_ids),
        read=read,
        groups=tuple(group for part in parts for group in part.groups or ()) if grouped else None,
        skipped=tuple(skipped for part in parts for skipped in part.skipped),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        metadata=None,
    )
