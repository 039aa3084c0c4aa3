"""The images of a run as files, written batch by batch: memory does not grow with their number."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from robustbench_lite.data.dataset import Batch
from robustbench_lite.examples import png, to_pixels

FOLDER = "saved"  # below the run's
_CHUNK = 1 << 20


@dataclass
class _Pile:
    """The images of one condition so far: float32 after float32, in the order of its rows."""

    name: str
    raw: Path
    shape: tuple[int, ...]  # of one image


class ImageWriter:
    """Saves every image of every condition: a PNG each, and one .npz per condition with all that is known.

    Args:
        folder: the run's, where ``saved/`` will be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._piles: dict[str, _Pile] = {}

    def add(self, condition: str, batch: Batch, images: Tensor) -> None:
        """Write one batch of one condition; images are (N, C, H, W) in [0, 1]."""
        host = images.detach().cpu()
        if condition not in self._piles:
            name = f"{len(self._piles):02d}-{_slug(condition)}"
            (self._folder / name).mkdir(parents=True)
            self._piles[condition] = _Pile(name, self._folder / f"{name}.raw", tuple(host.shape[1:]))
        pile = self._piles[condition]
        with pile.raw.open("ab") as raw:
            raw.write(host.numpy().astype("<f4").tobytes())
        for index, sample_id, image in zip(batch.indices, batch.sample_ids, host, strict=True):
            (self._folder / pile.name / f"{index:06d}-{sample_id}.png").write_bytes(png(to_pixels(image)))

    def finish(self, samples: pd.DataFrame, class_names: Sequence[str]) -> dict[str, str]:
        """Make the .npz files of what has rows; the paths below the run's folder, by condition."""
        paths = {}
        for condition, pile in self._piles.items():
            rows = samples[samples["condition"] == condition]
            if len(rows):
                _write_npz(self._folder / f"{pile.name}.npz", pile, _columns(rows, condition, class_names))
                paths[condition] = f"{FOLDER}/{pile.name}.npz"
            pile.raw.unlink()
        return paths


def _columns(rows: pd.DataFrame, condition: str, class_names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    def texts(values: Sequence[Any]) -> npt.NDArray[Any]:
        return np.array([str(value) for value in values], dtype=np.str_)

    groups = {} if rows["group"].isna().any() else {"groups": texts(rows["group"].tolist())}
    return {
        "labels": rows["label"].to_numpy(np.int64),
        "indices": rows["index"].to_numpy(np.int64),
        "predictions": rows["prediction"].to_numpy(np.int64),
        "sample_ids": texts(rows["sample_id"].tolist()),
        "files": texts(rows["file"].tolist()),
        **groups,
        "class_names": texts(class_names),
        "spec": np.array(condition),
    }


def _write_npz(path: Path, pile: _Pile, columns: dict[str, npt.NDArray[Any]]) -> None:
    """What numpy.savez writes, the images copied from their file. Not compressed, so that it can be mapped."""
    shape = (len(columns["labels"]), *pile.shape)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as entry, pile.raw.open("rb") as raw:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(entry, header)
            _copy(raw, entry, 4 * int(np.prod(shape)))
        for name, array in columns.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _copy(source: IO[bytes], target: IO[bytes], count: int) -> None:
    """So many bytes: a batch whose rows are missing, because the run was stopped there, is left out."""
    while count > 0 and (chunk := source.read(min(_CHUNK, count))):
        target.write(chunk)
        count -= len(chunk)


def _slug(condition: str) -> str:
    """A condition as a file name: it must not become a path."""
    return re.sub(r"[^a-z0-9.=]+", "-", condition.lower()).strip("-.")[:60] or "condition"
