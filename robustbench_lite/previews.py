"""What shifts look like on one's own images: a contact sheet, samples × severities. No network is asked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustbench_lite.applying import check_fits, shifted
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.registry import make, severity_of, spec, without_severity
from robustbench_lite.sheets import Block, contact_sheet
from robustbench_lite.shifts.scale import ScaledShift
from robustbench_lite.types import Condition, is_shift

_SIDE = 160
_MOST_VALUES = 5  # physical arguments that are shown above the columns


def preview(dataset: Dataset, sweeps: Sequence[Sequence[str | Condition]], *, seed: int = 0) -> bytes:
    """A PNG: a block per sweep, a row per image, first the image as it is, then a column per condition.

    The images are those that ``evaluate`` would classify with the same seed.

    Args:
        dataset: a few images of one shape.
        sweeps: lists of conditions, such as one shift at several severities.
        seed: of all random streams.

    Raises:
        InputError: no image, an attack, or a shift that does not fit the images.
    """
    made = [[make(given) if isinstance(given, str) else given for given in sweep] for sweep in sweeps]
    for condition in (condition for sweep in made for condition in sweep):
        if not all(is_shift(part) for part in condition.parts):
            raise InputError(f"{spec(condition)} is no shift.", "An attack has no picture without a network.")
        check_fits([condition], dataset.spec, dataset.labels, len(dataset.class_names), dataset.image_shape)
    batches = [batch for batch in dataset.batches(max(1, len(dataset))) if len(batch.labels)]
    if not batches:
        raise InputError(f"{dataset.spec} holds no image that can be read.", "Check the files.")
    images, ids = batches[0].images, batches[0].sample_ids
    names = [dataset.class_names[label] for label in batches[0].labels.tolist()]
    blocks = []
    for sweep in made:
        columns = [images, *(shifted(condition, images, ids, seed) for condition in sweep)]
        rows = torch.stack(columns, 1).flatten(0, 1)  # image by image
        blocks.append(Block(_title(sweep), rows.numpy(), len(columns), _headings(sweep, images), names))
    return contact_sheet(blocks, _SIDE)


def _title(sweep: Sequence[Condition]) -> str:
    """What the conditions of a sweep have in common: the shift without its severity."""
    return " / ".join(dict.fromkeys(without_severity(condition) for condition in sweep))


def _headings(sweep: Sequence[Condition], images: Tensor) -> list[tuple[str, list[str]]]:
    """The severity above every column, and below it the physical values that follow it."""
    severities = [severity_of(c.parts[0]) if len(c.parts) == 1 else None for c in sweep]
    lines = [("severity", ["clean", *("" if s is None else f"{s:g}" for s in severities)])]
    parts = [condition.parts[0] for condition in sweep if len(condition.parts) == 1]
    scaled = [part for part in parts if isinstance(part, ScaledShift)]
    if len(scaled) < len(sweep):
        return lines
    values = [vars(part.values(images)) for part in scaled]
    for name, argument in scaled[0].arguments().items():
        texts = [_short(found.get(name)) for found in values]
        follows = argument.levels is not None and getattr(scaled[0], name) is None
        if follows and (len(set(texts)) > 1 or len(texts) == 1) and len(lines) <= _MOST_VALUES:
            lines.append((name, ["", *texts]))
    return lines


def _short(value: object) -> str:
    if not isinstance(value, (int, float)):
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
