"""Examples of a run as pictures in the page: as they are, changed, and the difference made visible."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from robustbench_lite.records import Example
from robustbench_lite.reports.view import Values, View
from robustbench_lite.reports.words import class_name, number, percent
from robustbench_lite.runs import Run

PER_CONDITION = 6
IN_ALL = 60
SMALL = 64  # pixels a side: shown enlarged, and kept lossless
LARGEST = 224  # pixels a side
PIXEL_LIMIT = 25_000_000  # a small file can hold a picture that fills the memory
FACTORS = (100, 50, 20, 10, 5, 2, 1, 0.5)

Pixels = npt.NDArray[np.uint8]


class Picture(NamedTuple):
    """One picture as the page needs it."""

    url: str
    words: str
    small: bool


class Shown(NamedTuple):
    """One example; without pictures where their files are missing or damaged."""

    role: str
    file: str
    label: str
    before: str
    after: str
    right_before: bool
    right_after: bool
    confidence: str
    how: str
    pictures: list[Picture]


class Gallery(NamedTuple):
    """Examples by condition, worst first, and how many were left out."""

    conditions: list[tuple[str, list[Shown]]]
    left_out: int


def values(view: View) -> Values:
    """Section 6 of the page: examples."""
    return {"gallery": gallery(view.run)}


def gallery(run: Run) -> Gallery:
    """Examples of every condition, as many as a page can hold."""
    examples = run.record.examples
    by_condition: dict[str, list[Example]] = {}
    for example in examples:
        by_condition.setdefault(example.condition, []).append(example)
    limit = max(1, min(PER_CONDITION, IN_ALL // max(1, len(by_condition))))
    chosen = [(spec, _choose(found, limit)) for spec, found in by_condition.items()][:IN_ALL]
    left_out = len(examples) - sum(len(found) for _, found in chosen)
    return Gallery([(spec, [_show(run, e) for e in found]) for spec, found in chosen], left_out)


def _choose(examples: list[Example], limit: int) -> list[Example]:
    """Worst first, but room for ordinary ones: the worst alone would paint too dark a picture."""
    worst = [e for e in examples if e.role == "worst"]
    ordinary = [e for e in examples if e.role == "ordinary"]
    ordinary = ordinary[: max(limit // 3, limit - len(worst))]
    return [*worst[: limit - len(ordinary)], *ordinary]


def _show(run: Run, example: Example) -> Shown:
    record = run.record
    return Shown(
        role=example.role,
        file=example.file,
        label=class_name(record, example.label),
        before=class_name(record, example.clean_prediction),
        after=class_name(record, example.prediction),
        right_before=example.clean_prediction == example.label,
        right_after=example.prediction == example.label,
        confidence=percent(example.confidence, 0),
        how=example.how,
        pictures=list(_pictures(run.path, example)),
    )


def _pictures(folder: Path, example: Example) -> Iterator[Picture]:
    clean, changed = _read(folder, example.clean), _read(folder, example.changed)
    if clean is None or changed is None or clean.shape != changed.shape:
        return
    difference, factor = amplified_difference(clean, changed)
    yield _picture(clean, "as it is")
    yield _picture(changed, "changed")
    words = "no difference" if factor is None else f"difference × {number(factor)}"
    yield _picture(difference, words, exact=True)


def _read(folder: Path, name: str) -> Pixels | None:
    """A picture below the run folder as (H, W, 3), or None where there is none that can be shown."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        return None
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > PIXEL_LIMIT:
                return None
            return np.asarray(image.convert("RGB"))
    # Pillow says SyntaxError for some damaged files.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def amplified_difference(clean: Pixels, changed: Pixels) -> tuple[Pixels, float | None]:
    """Changed minus clean around middle grey, times the largest factor that does not saturate.

    Args:
        clean: (H, W, C).
        changed: same shape.

    Returns:
        The picture and the factor; None where nothing differs at 8 bits.
    """
    signed = changed.astype(np.float32) - clean.astype(np.float32)
    largest = float(np.abs(signed).max(initial=0))
    if largest == 0:
        return np.full_like(clean, 128), None
    factor = next(f for f in FACTORS if f * largest <= 127.5)
    return np.clip(np.round(127.5 + factor * signed), 0, 255).astype(np.uint8), factor


def _picture(pixels: Pixels, words: str, exact: bool = False) -> Picture:
    """Encode pixels; ``exact`` keeps single pixels when shrinking, which averaging would turn to grey."""
    image = Image.fromarray(pixels)
    small = max(image.size) <= SMALL
    filter_ = Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS
    image.thumbnail((LARGEST, LARGEST), filter_)
    buffer = io.BytesIO()
    if small:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "WEBP", quality=60 if exact else 85)
    kind = "png" if small else "webp"
    return Picture(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", words, small)
