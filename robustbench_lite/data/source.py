"""What a loader returns: the whole data set, listed but neither decoded nor hashed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.errors import InputError

RawPixels = npt.NDArray[Any]
"""(H, W) or (H, W, C): uint8, uint16, or floats in [0, 1]."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Source:
    """All images of a data set, in a fixed order. ``load_dataset`` chooses from it, resizes and hashes.

    A loader of one's own needs only the first four. It is a function; what follows the name in the spec
    (``folder:PATH``) is its positional argument, and it may ask for ``split``, ``root``, ``download`` and
    ``channels`` as keyword-only arguments.

    Args:
        labels: (N,) int64, 0 to K-1.
        class_names: K names, in label order.
        files: one name per image, for people: a file's path below the data set's folder, or an index.
        read: the i-th image, (H, W) or (H, W, C), uint8, uint16 or floats in [0, 1]; raises
            DamagedImageError.
        splits: the split each image comes in, ``train``, ``val`` or ``test``; None if the data set has none.
        groups: one group per image, used unless others are asked for.
        columns: further properties, one text per image, that can be asked for as groups.
        names: what a group's pattern is searched in: a file's path below the split's folder. None if the
            images have no file names.
        header: (H, W, C) that ``read`` would return, found without decoding; raises DamagedImageError.
        digest: SHA-256 of the i-th image's content, 32 bytes. By default of its shape, dtype and pixels.
        file_bytes: length of the i-th image's file; raises DamagedImageError. None if images have no files.
        eps: the usual attack budget per norm on the [0, 1] scale; by default derived from the image size.
        sample_ids: one id per image, of images that were chosen before: they keep it, and are not split again.
        notes: what to tell people about the images.

    Raises:
        InputError: the parts do not fit each other.
    """

    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    read: Callable[[int], RawPixels]
    splits: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    header: Callable[[int], Shape] | None = None
    digest: Callable[[int], bytes] | None = None
    file_bytes: Callable[[int], int] | None = None
    eps: Mapping[str, float] | None = None
    sample_ids: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype != np.int64:
            raise InputError(
                f"labels have the shape {self.labels.shape} and the type {self.labels.dtype}.",
                "They must be (N,) int64.",
            )
        columns: dict[str, Sequence[str] | None] = {
            "files": self.files,
            "splits": self.splits,
            "groups": self.groups,
            "names": self.names,
            "sample_ids": self.sample_ids,
            **self.columns,
        }
        for name, column in columns.items():
            if column is not None and len(column) != len(self):
                raise InputError(f"{name} has {len(column)} entries for {len(self)} labels.", "Give one each.")
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise InputError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, "
                f"but there are {len(self.class_names)} class names.",
                f"Labels must be 0 to {len(self.class_names) - 1}.",
            )

    def __len__(self) -> int:
        return len(self.labels)
