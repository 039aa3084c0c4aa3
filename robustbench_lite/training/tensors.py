"""Images of a split in memory."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.intervals import Groups

MEMORY_BUDGET = 8 * 2**30  # bytes of images per split


class Tensors(NamedTuple):
    """Images (N, C, H, W) in [0, 1], labels (N,), an id and perhaps a group of each, all in memory."""

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    groups: Groups = None


def in_memory(dataset: Dataset, device: str) -> Tensors:
    """All images of a split that can be read, on a device.

    Raises:
        InputError: there are none, or too many for the memory.
    """
    needed = 4 * len(dataset) * math.prod(dataset.image_shape)
    if needed > MEMORY_BUDGET:
        raise InputError(
            f"the {len(dataset)} images of the {dataset.split} split need {needed / 2**30:.0f} GiB in memory; "
            f"the limit is {MEMORY_BUDGET / 2**30:.0f}.",
            "Give a smaller --input-size, or --limit.",
        )
    batches = [b for b in dataset.batches(256) if len(b.labels)]
    if not batches:
        raise InputError(f"the {dataset.split} split of {dataset.spec} holds no image.", "Check the data.")
    return Tensors(
        torch.cat([b.images for b in batches]).to(device),
        torch.cat([b.labels for b in batches]).to(device),
        tuple(i for b in batches for i in b.sample_ids),
        None if dataset.groups is None else np.array([g for b in batches for g in b.groups or ()]),
    )


def statistics(images: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel."""
    mean = images.mean((0, 2, 3))
    std = images.std((0, 2, 3)).clamp_min(1e-3)
    return [round(v, 6) for v in mean.tolist()], [round(v, 6) for v in std.tolist()]
