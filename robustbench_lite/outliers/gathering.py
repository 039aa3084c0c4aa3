"""From a data set to the images that a detector is fitted to, and which of them are kept for its threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustbench_lite.data.dataset import Dataset, Metadata, MixedShapesError, Skipped
from robustbench_lite.data.groups import units
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.outliers.conformal import least_images
from robustbench_lite.outliers.score import Normals
from robustbench_lite.outliers.units import fingerprints
from robustbench_lite.rng import stable_hash

MOST_VALUES = 2**28
"""Values of the images that are held at once: 1 GiB."""


@dataclass(frozen=True)
class Gathered:
    """Images in memory, (N, C, H, W) in [0, 1], with what is known of each."""

    images: Tensor
    labels: Tensor
    files: tuple[str, ...]
    groups: tuple[str, ...] | None
    metadata: tuple[Metadata, ...]
    skipped: tuple[Skipped, ...]

    def __len__(self) -> int:
        return len(self.images)

    def normals(self, chosen: Sequence[int], seed: int) -> Normals:
        """Some of them, to be fitted to."""
        indices = list(chosen)
        groups = None if self.groups is None else tuple(self.groups[i] for i in indices)
        return Normals(self.images[indices], self.labels[indices], groups, seed)


class Division(NamedTuple):
    """Places of the images for fitting and of those for the threshold; ``units``: independent ones among these."""

    fit: list[int]
    calibrate: list[int]
    units: int


def of_classes(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The images of some classes; of all if none is named.

    Raises:
        UnknownNameError: no such class.
        InputError: no image is left.
    """
    for name in names:
        if name not in dataset.class_names:
            raise UnknownNameError(f"class of {dataset.spec}", name, dataset.class_names)
    wanted = [dataset.class_names.index(name) for name in names or dataset.class_names]
    chosen = np.flatnonzero(np.isin(dataset.labels, wanted)).tolist()
    if not chosen:
        raise InputError(
            f"the split {dataset.split!r} of {dataset.spec} holds no image of {', '.join(names)}.",
            "Check --normal and --split.",
        )
    return dataset.select(chosen)


def gather(dataset: Dataset, batch_size: int = 128) -> Gathered:
    """All images that can be read.

    Raises:
        InputError: more than fit into memory, of several shapes, none, or one that is not finite.
    """
    values = len(dataset) * math.prod(dataset.image_shape)
    if values > MOST_VALUES:
        raise InputError(
            f"the {len(dataset)} images of {dataset.spec} are {values:,} values; {MOST_VALUES:,} fit.",
            "Give --input-size, or fewer images with --limit.",
        )
    batches = [batch for batch in dataset.batches(batch_size) if len(batch.indices)]
    if not batches:
        raise InputError(f"the images of {dataset.spec} cannot be read.", "Check the files.")
    if len({batch.images.shape[1:] for batch in batches}) > 1:
        raise MixedShapesError(dataset.spec, {batch.files[0]: tuple(batch.images.shape[1:]) for batch in batches})
    for batch in batches:
        finite = batch.images.flatten(1).isfinite().all(1)
        if not finite.all():
            file = batch.files[int(finite.logical_not().nonzero()[0])]
            raise InputError(f"{file} holds NaN or infinity.", "Leave the image out.")
    known = dataset.metadata
    return Gathered(
        torch.cat([batch.images for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        tuple(file for batch in batches for file in batch.files),
        tuple(g for batch in batches for g in batch.groups or ()) if dataset.groups is not None else None,
        tuple(known(i) for batch in batches for i in batch.indices) if known is not None else (),
        (*dataset.skipped, *(s for batch in batches for s in batch.skipped)),
    )


def divide(gathered: Gathered, false_alarms: float, share: float, seed: int) -> Division:
    """Keep a share for the threshold. A group is on one side only, and so are equal images.

    Args:
        gathered: normal images.
        false_alarms: the rate that is to be promised.
        share: of the images, for the threshold; 0 keeps none.
        seed: another seed keeps others.

    Raises:
        InputError: a share that cannot be, or too few images for the promise.
    """
    if not 0 <= share < 1:
        raise InputError(f"--calibration {share:g} is refused.", "Give a share, such as 0.25, or 0 for none.")
    if not share:
        return Division(list(range(len(gathered))), [], 0)
    if not 0 < false_alarms < 1:
        raise InputError(f"--false-alarms {false_alarms:g} is refused.", "Give a share, such as 0.01.")
    keys = units(fingerprints(gathered.images), gathered.groups)
    order = sorted(set(keys), key=lambda key: stable_hash("calibration", seed, key))
    kept = set(order[: round(share * len(order))])
    fit_on = [i for i, key in enumerate(keys) if key not in kept]
    calibrate_on = [i for i, key in enumerate(keys) if key in kept]
    least = least_images(false_alarms)
    if len(kept) < least:
        what = "groups" if gathered.groups is not None else "images"
        total = len(order) if gathered.groups is not None else len(gathered)
        raise _too_few(len(kept), len(order), total, false_alarms, share, what)
    return Division(fit_on, calibrate_on, len(kept))


def _too_few(kept: int, units: int, total: int, rate: float, share: float, what: str) -> InputError:
    """What would do instead: a larger share if that leaves as many for fitting, a larger rate, more images."""
    least = least_images(rate)
    of = f"of {units} {what}" if total == units else f"of {total} {what}, {units} of them different,"
    ways = [f"--calibration {math.ceil(100 * least / units) / 100:g}"] if 2 * least <= units else []
    ways += [f"--false-alarms {math.ceil(1000 / (kept + 1)) / 1000:g}"] if kept else []
    ways += [f"{math.ceil(least / share)} {what}", "--calibration 0 and rb outliers calibrate with others later"]
    return InputError(
        f"{of} {kept} are kept for the threshold; to promise {rate:g} false alarms takes {least}.",
        f"Give {', or '.join(ways)}.",
    )
