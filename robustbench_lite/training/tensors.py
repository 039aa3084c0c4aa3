"""Images of a split, in memory while they fit, and their labels."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from robustbench_lite.data.dataset import Batch, Dataset, MixedShapesError
from robustbench_lite.errors import InputError
from robustbench_lite.intervals import Groups
from robustbench_lite.training.on_demand import OnDemand, Summary

_log = logging.getLogger(__name__)

MEMORY_BUDGET = 8 * 2**30  # bytes of images per split

Images: TypeAlias = Tensor | OnDemand
"""Images (N, C, H, W) in [0, 1]: both have ``len``, ``shape``, ``device`` and ``[indices]`` or ``[slice]``."""


class Tensors(NamedTuple):
    """Images (N, C, H, W) in [0, 1], labels (N,), an id and perhaps a group of each."""

    images: Images
    labels: Tensor
    ids: tuple[str, ...]
    groups: Groups = None


def tensors_of(dataset: Dataset, device: str) -> Tensors:
    """All images of a split that can be read, on a device: in memory, or decoded on demand if they do not fit.

    Raises:
        InputError: there are none, or they differ in shape.
    """
    needed = _bytes(dataset)
    if needed <= MEMORY_BUDGET:
        return _in_memory(dataset, device)
    _log.warning(
        "note: the %d images of the %s split are decoded on demand: %.3g GiB would not fit into the %.3g that "
        "are kept in memory.",
        *(len(dataset), dataset.split, needed / 2**30, MEMORY_BUDGET / 2**30),
    )
    return _on_demand(dataset, device)


def images_in_memory(dataset: Dataset) -> Tensor:
    """All images of a split that can be read, for those that need them at once.

    Raises:
        InputError: there are none, they differ in shape, or they are too many for the memory.
    """
    needed = _bytes(dataset)
    if needed > MEMORY_BUDGET:
        raise InputError(
            f"the {len(dataset)} images of the {dataset.split} split need {needed / 2**30:.0f} GiB in memory; "
            f"the limit is {MEMORY_BUDGET / 2**30:.0f}.",
            "Give a smaller --input-size, or --limit.",
        )
    return torch.cat([batch.images for batch in _batches(dataset, 256)])


def statistics(images: Images) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel."""
    if isinstance(images, OnDemand):
        mean, std = images.summary.mean, images.summary.std
    else:
        mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    return [round(v, 6) for v in mean.tolist()], [round(v, 6) for v in std.clamp_min(1e-3).tolist()]


def extremes(images: Images) -> tuple[Tensor, Tensor]:
    """Lowest and highest value of every image, (N,) each; NaN where one is NaN."""
    if isinstance(images, OnDemand):
        return images.summary.lowest, images.summary.highest
    lowest, highest = images.flatten(1).aminmax(dim=1)
    return lowest, highest


def _bytes(dataset: Dataset) -> int:
    return 4 * len(dataset) * math.prod(dataset.image_shape)


def _in_memory(dataset: Dataset, device: str) -> Tensors:
    batches = list(_batches(dataset, 256))
    return Tensors(
        torch.cat([b.images for b in batches]).to(device),
        torch.cat([b.labels for b in batches]).to(device),
        tuple(i for b in batches for i in b.sample_ids),
        None if dataset.groups is None else np.array([g for b in batches for g in b.groups or ()]),
    )


def _on_demand(dataset: Dataset, device: str) -> Tensors:
    """In one look at all images: which can be read, and what must be known of them."""
    channels, *size = shape = dataset.image_shape
    kept, lowest, highest = list[int](), list[Tensor](), list[Tensor]()
    total, squares = torch.zeros(2, channels, dtype=torch.float64)
    digest = hashlib.sha256()
    for batch in _batches(dataset, 64):
        kept += batch.indices
        low, high = extremes(batch.images)
        lowest.append(low)
        highest.append(high)
        digest.update(batch.images.numpy().data)
        exact = batch.images.double()  # in which sums of values in [0, 1] lose nothing that counts
        total += exact.sum((0, 2, 3))
        squares += exact.square().sum((0, 2, 3))
    values = len(kept) * math.prod(size)
    mean = total / values
    std = ((squares - total * mean) / (values - 1)).clamp_min(0).sqrt()
    summary = Summary(torch.cat(lowest), torch.cat(highest), mean, std, digest.hexdigest()[:12])
    good = dataset.select(kept)
    return Tensors(
        OnDemand(good, device, shape, summary),
        torch.from_numpy(good.labels).to(device),
        good.sample_ids,
        None if good.groups is None else np.array(good.groups),
    )


def _batches(dataset: Dataset, size: int) -> Iterator[Batch]:
    """Those that hold an image.

    Raises:
        InputError: there is none, or the images of two batches differ in shape.
    """
    first = None
    for batch in dataset.batches(size):
        if not len(batch.labels):
            continue
        first = first or (batch.files[0], batch.images.shape[1:])
        if batch.images.shape[1:] != first[1]:
            raise MixedShapesError(dataset.spec, dict([first, (batch.files[0], batch.images.shape[1:])]))
        yield batch
    if first is None:
        raise InputError(f"the {dataset.split} split of {dataset.spec} holds no image.", "Check the data.")
