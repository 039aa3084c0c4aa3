"""A file of records, one after another, each whole or not there: what a crash tore is noticed and cut off."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MARK = b"rbJ1"
_HEAD = struct.Struct("<4sQ32s")  # mark, bytes that follow, their SHA-256


class Place(NamedTuple):
    """Where in the file the content of a record is."""

    start: int
    length: int


class Journal:
    """Records in a file that only grows. A record counts when all of it is there, which its hash tells.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = 0

    def records(self) -> Iterator[tuple[Place, bytes]]:
        """Every record, up to the first that is torn or damaged; what follows it is as good as not there.

        Raises:
            OSError: the file is there, and cannot be read.
        """
        self._end = 0
        if not self.path.exists():
            return
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            while head := file.read(_HEAD.size):
                if len(head) < _HEAD.size:
                    return
                mark, length, digest = _HEAD.unpack(head)
                start = file.tell()
                if mark != _MARK or length > size - start:
                    return
                content = file.read(length)
                if len(content) < length or hashlib.sha256(content).digest() != digest:
                    return
                self._end = start + length
                yield Place(start, length), content

    def read(self, place: Place) -> bytes:
        """The content of a record that ``records`` has named.

        Raises:
            OSError: the file cannot be read, or is shorter by now.
        """
        with self.path.open("rb") as file:
            file.seek(place.start)
            content = file.read(place.length)
        if len(content) < place.length:
            raise OSError(0, "the file has become shorter", str(self.path))
        return content

    def append(self, content: bytes) -> None:
        """Write a record behind the last whole one, and wait until the disk has it.

        Raises:
            OSError: it could not be written. What was there is there, and the same may be tried again.
        """
        # Opened every time: a disk that went and came back leaves an old handle dead.
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        with open(handle, "r+b") as file:
            if os.fstat(handle).st_size < self._end:  # somebody has cut it
                for _ in self.records():
                    pass
            file.truncate(self._end)
            file.seek(self._end)
            file.write(_HEAD.pack(_MARK, len(content), hashlib.sha256(content).digest()))
            file.write(content)
            file.flush()
            os.fsync(handle)
            self._end = file.tell()
