"""Images that a run saved, as a data set: so another network can be tried on them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.data.source import RawPixels, Source
from robustbench_lite.errors import InputError
from robustbench_lite.records import ConditionRecord, RunRecord
from robustbench_lite.runs import read_record


def run(path: str, *, split: str) -> Source:
    """The images that a run saved under one condition, with their ids, labels, files and groups.

    They stay in the file, and are read one by one. They are not split again: ``split`` is the run's, or ``all``.

    Args:
        path: the run's folder, and after ``#`` a condition's spec or name; without it, the only one but clean.
        split: what was asked for.

    Raises:
        InputError: no such run or condition, nothing saved, several conditions to choose from, or another split.
    """
    folder, record, wanted = _find(path)
    condition = _choose(folder, record, wanted)
    if split not in (record.data.split, "all"):
        raise InputError(
            f"{folder} holds images of the split {record.data.split!r}, not {split!r}.",
            f"Give --split {record.data.split}.",
        )
    file = folder / str(condition.saved)
    images, columns = _open(file)
    ids = _texts(columns["sample_ids"])

    def read(i: int) -> RawPixels:
        image: RawPixels = np.array(images[i]).transpose(1, 2, 0)
        return image

    notes = [f"images of {condition.spec}, saved by the run {record.id}"]
    if record.status != "done":
        notes.append(f"that run was {record.status}: it saved {len(ids)} of {record.data.n_asked} images")
    return Source(
        labels=columns["labels"].astype(np.int64),
        class_names=tuple(record.data.class_names),
        files=_texts(columns["files"]),
        read=read,
        groups=_texts(columns["groups"]) if "groups" in columns else None,
        names=_texts(columns["files"]),
        header=lambda i: (images.shape[2], images.shape[3], images.shape[1]),
        digest=lambda i: ids[i].encode(),
        eps=record.data.eps or None,
        sample_ids=ids,
        notes=tuple(notes),
    )


def of_demo(data: str, demo_data: str) -> bool:
    """Whether ``data`` names images that a run of the demo's data saved."""
    kind, _, path = data.partition(":")
    if kind.lower() != "run":
        return False
    _, record, _ = _find(path)
    return record.demo or record.data.spec == demo_data


def _find(path: str) -> tuple[Path, RunRecord, str]:
    """The folder, its record, and the condition that is asked for; a folder's own name may hold a #."""
    whole = Path(path).expanduser()
    if (whole / "run.json").is_file() or "#" not in path:
        return whole, read_record(whole), ""
    folder, _, wanted = path.rpartition("#")
    place = Path(folder).expanduser()
    return place, read_record(place), wanted.strip()


def _choose(folder: Path, record: RunRecord, wanted: str) -> ConditionRecord:
    saved = [c for c in record.conditions if c.saved]
    if not saved:
        raise InputError(f"{folder} saved no images.", "Run it again with --save-images.")
    if wanted:
        found = [c for c in saved if c.spec == wanted] or [c for c in saved if c.spec.partition("(")[0] == wanted]
        problem = f"{folder} has no one condition {wanted!r}"
    else:
        found = [c for c in saved if c.kind != "clean"] or saved
        problem = f"{folder} has {len(found)} conditions"
    if len(found) != 1:
        listed = ", ".join(f"'run:{folder}#{c.spec}'" for c in saved)
        raise InputError(f"{problem}.", f"Say which, in quotes: --data {listed}.")
    return found[0]


def _open(file: Path) -> tuple[npt.NDArray[np.float32], dict[str, npt.NDArray[Any]]]:
    """The images (N, C, H, W), mapped from the file, and the other arrays.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive, file.open("rb") as raw:
            entry = archive.getinfo("images.npy")
            raw.seek(entry.header_offset)
            local = raw.read(30)
            raw.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), 1)
            np.lib.format.read_magic(raw)
            shape, _, dtype = np.lib.format.read_array_header_1_0(raw)
            images: npt.NDArray[np.float32] = np.memmap(file, dtype, "r", raw.tell(), shape)
        # Without pickle: loading data must not run code.
        with np.load(file, allow_pickle=False) as loaded:
            columns = {name: loaded[name] for name in loaded.files if name != "images"}
        if not all(len(columns[name]) == len(images) for name in ("labels", "files", "sample_ids")):
            raise ValueError("its arrays differ in length")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file} cannot be read: {error}.", "Run it again with --save-images.") from None
    return images, columns


def _texts(array: npt.NDArray[Any]) -> tuple[str, ...]:
    return tuple(map(str, array.tolist()))
