"""What a detector says of the images of a data set: one row per image, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from robustbench_lite.data.dataset import Batch, Dataset, Metadata, MixedShapesError, Skipped
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.detector import Detector
from robustbench_lite.outliers.units import fingerprints

NATS = "nats "
"""How the column of a score's −log p begins; what follows is its spec, which is the column of the score itself."""

Maps = npt.NDArray[np.float32]


@dataclass
class Scored:
    """The rows so far: ``file``, ``class``, ``group``, ``score``, ``alarm``, and per member its score and −log p.

    ``indices`` are the places of the images in the data set, ``marks`` fingerprints of their pixels, ``metadata``
    what is known of each without its pixels.
    """

    rows: list[pd.DataFrame] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def table(self) -> pd.DataFrame:
        """All rows, in the order of the data."""
        return pd.concat(self.rows, ignore_index=True) if self.rows else pd.DataFrame()


@torch.no_grad()
def score_images(
    detector: Detector,
    dataset: Dataset,
    scored: Scored,
    *,
    batch_size: int = 64,
    device: str = "cpu",
    on_batch: Callable[[Batch, pd.DataFrame, Maps | None], None] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fill ``scored``; what is in it when this stops, for whatever reason, is whole.

    Args:
        detector: whose scores.
        dataset: images of the detector's shape; those that cannot be read or are not finite are skipped.
        scored: where the rows go.
        batch_size: images at a time.
        device: where the images go, as the detector's networks.
        on_batch: gets each batch, its rows and, where a member of the detector can tell, its maps (N, H, W).
        on_progress: images done, and of how many.

    Raises:
        InputError: an image of another shape.
    """
    scored.skipped += dataset.skipped
    done = 0
    for batch in _finite(dataset, batch_size, scored, detector.shape):
        if tuple(batch.images.shape[1:]) != detector.shape:
            raise wrong_shape(batch.files[0], tuple(batch.images.shape[1:]), detector.shape)
        images = batch.images.to(device)
        rows = _rows(detector, dataset, batch, images)
        if on_batch is not None:
            maps = detector.maps(images)
            on_batch(batch, rows, None if maps is None else maps.float().cpu().numpy())
        scored.rows.append(rows)
        scored.indices += batch.indices
        scored.marks += fingerprints(batch.images)
        if dataset.metadata is not None:
            scored.metadata += [dataset.metadata(i) for i in batch.indices]
        done += len(batch.indices)
        on_progress(done, len(dataset))


def _rows(detector: Detector, dataset: Dataset, batch: Batch, images: Tensor) -> pd.DataFrame:
    each = detector.each(images)
    scores = detector.combined(each)
    columns: dict[str, Any] = {
        "file": list(batch.files),
        "class_name": [dataset.class_names[label] for label in batch.labels.tolist()],
    }
    if batch.groups is not None:
        columns["group"] = list(batch.groups)
    columns["score"] = scores.float().cpu().numpy()
    if detector.threshold is not None:
        columns["alarm"] = detector.alarms(scores).cpu().numpy()
    for member in detector.members:
        columns[member.spec] = each[member.spec].float().cpu().numpy()
        columns[NATS + member.spec] = member.tail(each[member.spec]).float().cpu().numpy()
    return pd.DataFrame(columns)


def _finite(dataset: Dataset, batch_size: int, scored: Scored, shape: tuple[int, ...]) -> Iterator[Batch]:
    """The batches without images that hold NaN or infinity, which are skipped as damaged ones are."""
    for batch in _uniform(dataset, batch_size, shape):
        scored.skipped += batch.skipped
        if not len(batch.indices):
            continue
        finite = batch.images.flatten(1).isfinite().all(1)
        good = finite.nonzero()[:, 0].tolist()
        bad = set(range(len(finite))) - set(good)
        scored.skipped += [Skipped(batch.files[i], "it holds NaN or infinity") for i in sorted(bad)]
        if good:
            yield batch if not bad else _chosen(batch, good)


def _uniform(dataset: Dataset, batch_size: int, shape: tuple[int, ...]) -> Iterator[Batch]:
    try:
        yield from dataset.batches(batch_size)
    except MixedShapesError as error:
        odd = next(file for file, found in error.shapes.items() if found != shape)
        raise wrong_shape(odd, error.shapes[odd], shape) from None


def _chosen(batch: Batch, good: list[int]) -> Batch:
    def pick(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[i] for i in good)

    return Batch(
        pick(batch.indices),
        batch.images[good],
        batch.labels[good],
        pick(batch.sample_ids),
        pick(batch.files),
        None if batch.groups is None else pick(batch.groups),
        (),
    )


def wrong_shape(file: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> InputError:
    """An image whose (C, H, W) is not the detector's. Both remedies: the next image may need the other."""
    return InputError(
        f"{file} is {' x '.join(map(str, found))} (channels x height x width), "
        f"the detector was fitted to {' x '.join(map(str, wanted))}.",
        f"Give --channels {wanted[0]} and --input-size {wanted[1]}x{wanted[2]}, or images like those.",
    )
