"""The folder that ``rb outliers test`` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    from robustbench_lite.outliers.judging import Judged

DOCUMENT, TABLE = "test.json", "scores.csv"


def test_folder(out: Path | None, *, overwrite: bool) -> Path | None:
    """Where the files go, if they may go there; None: nowhere.

    Raises:
        InputError: a file, a folder of something else, or one that is not to be replaced.
    """
    if out is None or not out.exists():
        return out
    if not out.is_dir():
        raise InputError(f"{out} is a file.", "Choose another --out.")
    names = {file.name for file in out.iterdir()}
    if names and DOCUMENT not in names:
        raise InputError(f"{out} exists, and holds no test.", "Choose another --out.")
    if names and not overwrite:
        raise InputError(f"{out} exists already.", "Choose another --out, or give --overwrite.")
    if strange := sorted(names - {DOCUMENT, TABLE}):
        raise InputError(f"{out} holds {strange[0]} too, which would be lost.", "Choose another --out.")
    return out


def write_test(out: Path, result: dict[str, Any], images: Judged) -> None:
    """The document, and a row per image that was judged; both or none.

    Raises:
        InputError: the place cannot be written.
    """
    from robustbench_lite.outliers.store import whole_folder

    columns = [name for name in ("file", "class_name", "score", "alarm") if name in images.table]
    table = images.table[columns].assign(outlier=images.outlying)
    with whole_folder(out) as work:
        text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)
        (work / DOCUMENT).write_text(text + "\n", encoding="utf-8")
        table.to_csv(work / TABLE, index=False)
