"""Which images of a run are kept as pictures, and how they are written."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from robustbench_lite.records import Example
from robustbench_lite.rng import stable_hash

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Picture = npt.NDArray[np.uint8]

WORST, ORDINARY = 4, 2
_MOST = {"worst": WORST, "ordinary": ORDINARY}
_COLUMNS = ("sample_id", "file", "label", "prediction", "confidence")


class Kept(NamedTuple):
    """An image that is kept as a picture: why, what its row says, and itself, (H, W) or (H, W, 3), in 8 bits."""

    condition: str
    role: Literal["worst", "ordinary"]
    rank: tuple[float, int]
    row: dict[str, Any]
    clean_prediction: int
    clean: Picture
    changed: Picture


class ExampleKeeper:
    """Keeps, per condition, the worst images and some ordinary ones, whatever order they come in.

    Worst: right on the clean image, now wrong, and most sure of it. Ordinary: the same few images under every
    condition, picked by a hash of their id.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], list[Kept]] = {}

    def offer(
        self, rows: pd.DataFrame, clean_predictions: list[int], clean: Tensor, changed: Tensor
    ) -> list[Kept]:
        """Look through one batch of one condition; those of it that are kept, for now at least."""
        condition = str(rows["condition"].iloc[0])
        chosen: list[Kept] = []
        for i, row in enumerate(rows.to_dict("records")):
            order = stable_hash(row["sample_id"])
            ranks: dict[Literal["worst", "ordinary"], tuple[float, int]] = {"ordinary": (0.0, order)}
            if clean_predictions[i] == row["label"] and not row["correct"]:
                ranks["worst"] = (-row["confidence"], order)
            for role, rank in ranks.items():
                if self._wants(condition, role, rank):
                    said = {column: row[column] for column in _COLUMNS}
                    pictures = to_pixels(clean[i]), to_pixels(changed[i])
                    chosen.append(Kept(condition, role, rank, said, clean_predictions[i], *pictures))
                    self.keep(chosen[-1:])
        left = {id(kept) for all_kept in self._kept.values() for kept in all_kept}
        return [kept for kept in chosen if id(kept) in left]

    def keep(self, found: Iterable[Kept]) -> None:
        """Add some that were kept before, and let go of what is no longer among the first."""
        for one in found:
            if self._wants(one.condition, one.role, one.rank):
                kept = self._kept.setdefault((one.condition, one.role), [])
                kept.append(one)
                kept.sort(key=lambda k: k.rank)
                del kept[_MOST[one.role] :]

    def _wants(self, condition: str, role: str, rank: tuple[float, int]) -> bool:
        kept = self._kept.get((condition, role), [])
        return len(kept) < _MOST[role] or rank < kept[-1].rank

    def examples(self) -> list[Example]:
        """What was kept, condition by condition, the worst first."""
        conditions = list(dict.fromkeys(condition for condition, _ in self._kept))
        return [
            Example(
                condition=condition,
                role=role,
                sample_id=kept.row["sample_id"],
                file=kept.row["file"],
                label=kept.row["label"],
                clean_prediction=kept.clean_prediction,
                prediction=kept.row["prediction"],
                confidence=kept.row["confidence"],
                clean=_clean_name(kept),
                changed=_changed_name(kept, condition),
            )
            for condition in conditions
            for role in ("worst", "ordinary")
            for kept in self._kept.get((condition, role), [])
        ]

    def images(self) -> dict[str, bytes]:
        """File name below the run folder → PNG."""
        files = {}
        for (condition, _), all_kept in self._kept.items():
            for kept in all_kept:
                files[_clean_name(kept)] = png(kept.clean)
                files[_changed_name(kept, condition)] = png(kept.changed)
        return files


def _clean_name(kept: Kept) -> str:
    return f"images/{kept.row['sample_id'][:16]}.png"


def _changed_name(kept: Kept, condition: str) -> str:
    # Named by hash: a condition or file name must not become part of a path.
    return f"images/{kept.row['sample_id'][:16]}-{stable_hash(condition):016x}.png"


def to_pixels(image: Tensor) -> Picture:
    """An image (C, H, W) in [0, 1] in 8 bits, (H, W) or (H, W, 3); of more than three channels the first three."""
    channels = 3 if len(image) >= 3 else 1
    pixels = (image[:channels].cpu().permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def png(pixels: Picture) -> bytes:
    """What ``to_pixels`` returns as a file."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
