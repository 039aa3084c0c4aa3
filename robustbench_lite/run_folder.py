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
from robustbench_lite.files import file_above
from robustbench_lite.locking import Claim
from robustbench_lite.records import RunRecord
from robustbench_lite.run_rows import write_rows
from robustbench_lite.runs import read_record
from robustbench_lite.unfinished import DRAFT

if TYPE_CHECKING:
    import pandas as pd


def new_id(command: str) -> str:
    """``<utc time>-<command>-<8 hex digits>``: sorts by time and never meets itself."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{command}-{uuid.uuid4().hex[:8]}"


def check_place(path: Path, goes_on: str = "") -> bool:
    """Whether a run may be written there; True if it would replace the unfinished one that it goes on with.

    Args:
        path: it must not exist, or be empty, or be an unfinished run, without saved images, of ``goes_on``.
        goes_on: the name of the folder with the finished batches of that; empty: none.

    Raises:
        InputError: the place is taken, or cannot be looked at.
    """
    if above := file_above(path):
        raise InputError(f"cannot write {path}: {above} is a file, not a folder.", "Choose another --out.")
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
        if not taken and path.resolve() != Path.cwd():  # the current folder cannot be replaced under our feet
            return False
    except OSError as error:
        raise _refused(path, error) from None
    unfinished = _unfinished(path)
    if goes_on and unfinished == goes_on:
        return True
    remedy = " --resume goes on with it." if unfinished and not goes_on else ""
    raise InputError(f"{path} exists already.", f"Choose another --out, or remove it.{remedy}")


def check_asked(path: Path | None, *, resume: bool, save_images: bool) -> None:
    """What can be said before the network and the images are known; ``check_place`` looks again when they are.

    Raises:
        InputError: saved images that ``resume`` cannot write, a finished run, or a place that is taken.
    """
    if resume and save_images:
        raise InputError(
            "--resume has the rows of finished batches, not their images, which --save-images is to write.",
            "Leave one out.",
        )
    if path is None:
        return
    if resume and _is_finished(path):
        raise InputError(f"{path} is finished: there is nothing to resume.", f"Look at it: rb show {path}.")
    check_place(path, _unfinished(path) if resume else "")


def _is_finished(path: Path) -> bool:
    try:
        return read_record(path).status == "done"
    except InputError:
        return False


def _unfinished(path: Path) -> str:
    """Where the finished batches of an unfinished run are; empty if it is none, or has saved images."""
    try:
        record = read_record(path)
    except InputError:
        return ""
    saved = any(condition.saved for condition in record.conditions)
    return "" if record.status == "done" or saved else record.unfinished


class RunFolder:
    """A folder that comes into being whole: it is written beside its place and renamed at the end.

    Args:
        path: where the run will be.
        goes_on: as for ``check_place``.
        drafts: a folder beside it for the draft; None: its parent.
        claim: to the path, given up in the end; None: it is made here.

    Raises:
        InputError: the place is taken, another process is about to write there, or it cannot be written; said
            before anything is computed.
    """

    def __init__(
        self, path: Path, goes_on: str = "", drafts: Path | None = None, claim: Claim | None = None
    ) -> None:
        self.path = path
        self._claim = claim or Claim(path)
        try:
            self._begin(path, goes_on, drafts)
        except BaseException:
            self._claim.give_up()
            raise

    def _begin(self, path: Path, goes_on: str, drafts: Path | None) -> None:
        self._replaces = check_place(path, goes_on)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            prefix = DRAFT if drafts else f".{path.name}."
            self._work = Path(tempfile.mkdtemp(prefix=prefix, dir=drafts or path.parent))
        except OSError as error:
            raise _refused(path, error) from None

    @property
    def work(self) -> Path:
        """Where files of the run are put until it is committed."""
        return self._work

    def commit(self, record: RunRecord, samples: pd.DataFrame, images: Mapping[str, bytes]) -> Path:
        """Write everything and put the folder in its place.

        Raises:
            OSError: it cannot be written; nothing is there then, or what was there before.
        """
        for name, content in images.items():
            target = self._work / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        record = record.model_copy(update={"rows_sha256": write_rows(samples, self._work)})
        (self._work / "run.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        self._work.chmod(0o777 & ~_umask())
        self._put()
        self._claim.give_up()
        return self.path

    def _put(self) -> None:
        """The draft into its place; killed in between, --resume makes it again."""
        if not self._replaces:
            os.replace(self._work, self.path)
            return
        before = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self._work.parent))
        os.replace(self.path, before)
        try:
            os.replace(self._work, self.path)
        except BaseException:
            os.replace(before, self.path)
            raise
        shutil.rmtree(before, ignore_errors=True)

    def discard(self) -> None:
        """Remove what was begun."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._claim.give_up()


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write to {path.parent}: {error.strerror}.", "Choose another folder with --out.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
