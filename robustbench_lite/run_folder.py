"""Writing a run: a folder that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import InputError
from robustbench_lite.records import RunRecord
from robustbench_lite.run_rows import write_rows

if TYPE_CHECKING:
    import pandas as pd


def new_id(command: str) -> str:
    """``<utc time>-<command>-<8 hex digits>``: sorts by time and never meets itself."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{command}-{uuid.uuid4().hex[:8]}"


class RunFolder:
    """A folder that comes into being whole: it is written beside its place and renamed at the end.

    Args:
        path: where the run will be. It must not exist, or be empty.

    Raises:
        InputError: the place is taken or cannot be written, said before anything is computed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
            if taken or path.resolve() == Path.cwd():  # the current folder cannot be replaced under our feet
                raise InputError(f"{path} exists already.", "Choose another --out, or remove it.")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        except OSError as error:
            raise InputError(
                f"cannot write to {path.parent}: {error.strerror}.", "Choose another folder with --out."
            ) from None

    @property
    def work(self) -> Path:
        """Where files of the run are put until it is committed."""
        return self._work

    def commit(self, record: RunRecord, samples: pd.DataFrame, images: Mapping[str, bytes]) -> Path:
        """Write everything and put the folder in its place."""
        for name, content in images.items():
            target = self._work / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        write_rows(samples, self._work)
        (self._work / "run.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        self._work.chmod(0o777 & ~_umask())
        os.replace(self._work, self.path)
        return self.path

    def discard(self) -> None:
        """Remove what was begun."""
        shutil.rmtree(self._work, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
