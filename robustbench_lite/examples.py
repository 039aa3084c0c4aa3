"""Which images of a run are kept as pictures, and how they are written."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor

from robustbench_lite.records import Example
from robustbench_lite.rng import stable_hash

WORST, ORDINARY = 4, 2


class _Kept(NamedTuple):
    rank: tuple[float, int]
    row: dict[str, Any]
    clean_prediction: int
    clean: Tensor
    changed: Tensor


class ExampleKeeper:
    """Keeps, per condition, the worst images and some ordinary ones, whatever order they come in.

    Worst: right on the clean image, now wrong, and most sure of it. Ordinary: the same few images under every
    condition, picked by a hash of their id.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], list[_Kept]] = {}

    def offer(self, rows: pd.DataFrame, clean_predictions: list[int], clean: Tensor, changed: Tensor) -> None:
        """Look through one batch of one condition."""
        condition = str(rows["condition"].iloc[0])
        for i, row in enumerate(rows.to_dict("records")):
            order = stable_hash(row["sample_id"])
            was_right = clean_predictions[i] == row["label"]
            if was_right and not row["correct"]:
                rank = (-row["confidence"], order)
                self._keep(condition, "worst", WORST, rank, row, clean_predictions[i], clean[i], changed[i])
            self._keep(
                condition, "ordinary", ORDINARY, (0.0, order), row, clean_predictions[i], clean[i], changed[i]
            )

    def _keep(
        self,
        condition: str,
        role: str,
        most: int,
        rank: tuple[float, int],
        row: dict[Any, Any],
        clean_prediction: int,
        clean: Tensor,
        changed: Tensor,
    ) -> None:
        kept = self._kept.setdefault((condition, role), [])
        if len(kept) == most and kept[-1].rank <= rank:
            return
        # Copies: a view would keep its whole batch.
        kept.append(_Kept(rank, row, clean_prediction, clean.cpu().clone(), changed.cpu().clone()))
        kept.sort(key=lambda k: k.rank)
        del kept[most:]

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
                files[_clean_name(kept)] = to_png(kept.clean)
                files[_changed_name(kept, condition)] = to_png(kept.changed)
        return files


def _clean_name(kept: _Kept) -> str:
    return f"images/{kept.row['sample_id'][:16]}.png"


def _changed_name(kept: _Kept, condition: str) -> str:
    # Named by hash: a condition or file name must not become part of a path.
    return f"images/{kept.row['sample_id'][:16]}-{stable_hash(condition):016x}.png"


def to_png(image: Tensor) -> bytes:
    """An image (C, H, W) in [0, 1] as 8-bit PNG; of more than three channels the first three are shown."""
    channels = 3 if len(image) >= 3 else 1
    pixels = (image[:channels].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(out, "PNG")
    return out.getvalue()
