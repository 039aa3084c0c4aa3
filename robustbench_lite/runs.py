"""The record of a run: a folder with ``run.json``, ``samples.parquet`` and ``images/``.

Tables, gates and reports are made from it again without the network and without torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from robustbench_lite.errors import InputError
from robustbench_lite.records import SCHEMA_VERSION, RunRecord
from robustbench_lite.run_rows import COLUMNS, SAMPLES, read_rows, stored_columns

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run that was read back, or made in memory. Its rows are read when they are first asked for.

    Args:
        path: the folder.
        record: what ``run.json`` says.
        samples: all rows, with the columns of ``COLUMNS``; None: those in the folder.
    """

    def __init__(self, path: Path, record: RunRecord, samples: pd.DataFrame | None = None) -> None:
        self.path = path
        self.record = record
        self._samples = samples

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def samples(self) -> pd.DataFrame:
        """All rows, one per image and condition.

        Raises:
            InputError: the file is damaged.
        """
        if self._samples is None:
            self._samples = read_rows(self.path, None, None, self.record.rows_sha256)
        return self._samples

    def rows(self, columns: Sequence[str], conditions: Sequence[str] | None = None) -> pd.DataFrame:
        """Some columns of the rows of some conditions, or of all, in the order of the run.

        Of a run of a million rows only what is asked for is read.

        Raises:
            InputError: the file is damaged.
        """
        if self._samples is None:
            return read_rows(self.path, list(columns), conditions, self.record.rows_sha256)
        wanted = self._samples
        if conditions is not None:
            wanted = wanted[wanted["condition"].isin(list(conditions))]
        return wanted[list(columns)].reset_index(drop=True)

    def replace(self, *, record: RunRecord | None = None, samples: pd.DataFrame | None = None) -> Run:
        """The same with another record or other rows."""
        return Run(self.path, record or self.record, self._samples if samples is None else samples)


def read_run(path: Path | str) -> Run:
    """Open a run folder. Its rows are checked to be there, and read when they are asked for.

    Raises:
        InputError: no such run, a damaged one, or one written by another version.
    """
    record = read_record(path)
    folder = _folder(path)
    stored = stored_columns(folder)
    missing = [column for column in COLUMNS if column not in stored]
    if missing:
        raise InputError(f"{folder / SAMPLES} lacks {', '.join(missing)}.", "Run it again.")
    return Run(folder, record)


def read_record(path: Path | str) -> RunRecord:
    """Read ``run.json`` of a run folder alone.

    Raises:
        InputError: as ``read_run``.
    """
    folder = _folder(path)
    file = folder / "run.json"
    if not folder.exists():
        raise InputError(f"{folder} is no run: there is no such folder.", _near(folder))
    if not file.is_file():
        inside = sorted(found.parent.name for found in folder.glob("*/run.json"))
        remedy = f"Give one of the runs in it, such as {folder / inside[-1]}." if inside else ""
        raise InputError(
            f"{folder} is no run: it holds no run.json.", remedy or "Give the folder that a run printed."
        )
    try:
        text = file.read_text(encoding="utf-8")
        found = _Versioned.model_validate_json(text).schema_version
        if found != SCHEMA_VERSION:
            raise InputError(
                f"{file} has schema version {found}; this release reads {SCHEMA_VERSION}.",
                "Upgrade robustbench_lite." if found > SCHEMA_VERSION else "It is too old: run it again.",
            )
        record = RunRecord.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        reason = _first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{file} is damaged: {reason}.", "Run it again.") from None
    return record


def _folder(path: Path | str) -> Path:
    folder = Path(path)
    return folder.parent if folder.name == "run.json" else folder


def _near(folder: Path) -> str:
    """The run beside a folder that is not there that was probably meant."""
    beside = {run.parent.name: run.parent for run in folder.parent.glob("*/run.json")}
    near = difflib.get_close_matches(folder.name, sorted(beside), n=1, cutoff=0.5)
    return f"Did you mean {beside[near[0]]}?" if near else "Give the folder that a run printed."


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg']}" if where else fault["msg"]


class _Versioned(BaseModel):
    schema_version: int
