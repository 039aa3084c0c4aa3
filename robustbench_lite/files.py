"""Files that commands write: where they go, and that they are whole or not there."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from robustbench_lite.errors import InputError


def result_file(out: Path | None, default: str, *, overwrite: bool) -> Path:
    """Where the file goes, if it may go there.

    Raises:
        InputError: another ending than that of ``default``, a folder, or a file that is not to be replaced.
    """
    path, ending = out or Path(default), Path(default).suffix
    if path.suffix.lower() != ending:
        stem = path.stem or Path(default).stem
        raise InputError(f"--out {path} must end in {ending}.", f"For example --out {stem}{ending}.")
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "Choose another --out.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already.", "Choose another --out, or give --overwrite.")
    return path


def file_above(path: Path) -> Path | None:
    """The file that stands where ``path`` needs a folder."""
    return next((above for above in path.parents if os.path.isfile(above)), None)


def why_unwritable(path: Path, error: OSError) -> str:
    """The reason in words: that of the system, unless there is a file above, which it calls many things."""
    above = file_above(path)
    return f"{above} is a file, not a folder" if above else str(error.strerror)


def write_file(path: Path, content: bytes, option: str = "--out") -> None:
    """Write the file, in one piece or not at all.

    Args:
        path: where.
        content: what.
        option: chooses another place; empty: there is none.

    Raises:
        InputError: the place cannot be written.
    """
    draft = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        remedy = f"Choose another place with {option}." if option else ""
        raise InputError(f"cannot write {path}: {why_unwritable(path, error)}.", remedy) from None
    finally:
        if draft.exists():
            draft.unlink()
