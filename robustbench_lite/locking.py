"""A place that one process at a time writes to, by a lock on a file: it goes with the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from robustbench_lite.errors import InputError

try:
    import fcntl
except ImportError:  # not there on Windows: two processes at one place are then the user's care
    fcntl = None  # type: ignore[assignment]


def locked(file: Path) -> IO[bytes] | None:
    """The lock on a file, which is made with its folder if need be; None if another process holds it.

    Raises:
        OSError: the file cannot be written.
    """
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = file.open("ab")
        except FileNotFoundError:  # its folder was removed in between by the one who has just finished
            continue
        try:
            if fcntl is not None:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may be a file that the one who has just finished has removed.
            if os.path.samestat(os.fstat(held.fileno()), file.stat()):
                return held
        except BlockingIOError:
            held.close()
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            held.close()
            raise
        held.close()


def release(held: IO[bytes]) -> None:
    """Let go of a lock, also if a process that was forked meanwhile still has the file open."""
    if fcntl is not None:
        fcntl.flock(held, fcntl.LOCK_UN)
    held.close()


class Claim:
    """The right to write to a place, until it is given up or the process ends.

    Args:
        path: a file or a folder; ``.NAME.lock`` beside it is the lock.

    Raises:
        InputError: another process has it.
    """

    def __init__(self, path: Path) -> None:
        self._file, self._held = path.parent / f".{path.name}.lock", None
        self._made = [folder for folder in self._file.parents if not folder.exists()]
        # Where no lock can be made the place itself will be refused, or the file system has none.
        with contextlib.suppress(OSError):
            self._held = locked(self._file)
            if self._held is None:
                raise InputError(
                    f"another process is writing {path}.", "Wait for its end, or choose another --out."
                )

    def give_up(self) -> None:
        """Let others at the place, and leave no folder that was made for this and stayed empty."""
        if self._held is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()  # while it is held: nobody else's
                for folder in self._made:
                    folder.rmdir()
            release(self._held)
            self._held = None


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Around writing to a place that no other process writes to.

    Raises:
        InputError: another process does.
    """
    claim = Claim(path)
    try:
        yield
    finally:
        claim.give_up()
