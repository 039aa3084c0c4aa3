"""Finished work of an unfinished run: units that are on the disk, so that a run that was stopped goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from robustbench_lite.journal import Journal, Place
from robustbench_lite.locking import locked, release
from robustbench_lite.units import Unit, headers_of, pack, unpack

_log = logging.getLogger(__name__)

PREFIX = ".unfinished-"
DRAFT = "draft-"  # how folders begin in which a run is put together
_KEY, _UNITS, _LOCK = "key.json", "units", "lock"
_EVERY = 1.0  # seconds between two commits at the least,
_SHARE = 0.02  # and so many that committing takes no more than this share of the time
_MOST_SHOWN = 3


class _Found(NamedTuple):
    """Where a unit is: in which record, and the how manieth of it."""

    place: Place
    number: int


class Store:
    """The finished units of one run, in a folder beside its result that no other run uses at the same time.

    Units are collected for a second, then committed together: what a crash takes with it is a second of work, or
    the unit that was being computed. A disk that refuses is warned of once, and tried again later.

    Args:
        folder: made by ``opened``.
        identity: what the rows depend on, as texts by name.
        lock: held until the store is closed.
        resume: take up what is there; otherwise it is discarded.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str], lock: IO[bytes], *, resume: bool) -> None:
        self.folder, self.identity = folder, dict(identity)
        self._lock = lock
        self._journal = Journal(folder / _UNITS)
        self._found: dict[tuple[str, int], _Found] = {}
        self._read: tuple[Place, list[Unit]] | None = None
        self._pending: list[tuple[str, Unit]] = []
        self._free, self._warned = 0.0, False
        self.times = 0
        for draft in folder.glob(f"{DRAFT}*"):  # of a process that was killed
            shutil.rmtree(draft, ignore_errors=True)
        self._take_up()
        if self._found and not resume:
            _log.warning(
                "note: %d finished batches of an earlier, unfinished run of the same are discarded: "
                "--resume was not given.",
                self.taken,
            )
        if not resume:
            self._journal.path.unlink(missing_ok=True)
            self._journal, self._found, self.times = Journal(folder / _UNITS), {}, 0
        self.times += bool(self._found)
        try:
            (folder / _KEY).write_text(json.dumps({**self.identity, "times": str(self.times)}), encoding="utf-8")
        except OSError:
            if not self._found:  # else the disk is full, and what was finished can be read
                raise

    def _take_up(self) -> None:
        for place, content in self._journal.records():
            try:
                headers = headers_of(content)
            except (ValueError, struct.error):
                break
            for number, said in enumerate(headers):
                self._found.setdefault((said["mark"], said["batch"]), _Found(place, number))
        with contextlib.suppress(OSError, ValueError, KeyError):
            self.times = int(json.loads((self.folder / _KEY).read_text(encoding="utf-8"))["times"])

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.name

    @property
    def taken(self) -> int:
        """Units that were there when the store was opened: batches times conditions."""
        return len(self._found)

    @property
    def unwritten(self) -> int:
        """Units that were computed and are not on the disk."""
        return len(self._pending)

    def has(self, mark: str, batch: int) -> bool:
        """Whether a unit was there when the store was opened; ``mark`` is what its condition is called here."""
        return (mark, batch) in self._found

    def take(self, mark: str, batch: int) -> Unit:
        """A unit that was there when the store was opened.

        Raises:
            OSError: it cannot be read any more.
        """
        place, number = self._found[mark, batch]
        if self._read is None or self._read[0] != place:  # neighbours are asked for one after another
            self._read = place, list(unpack(self._journal.read(place)))
        return self._read[1][number]

    def add(self, mark: str, unit: Unit) -> None:
        """Keep a unit that was computed: at once, or together with those of the same second."""
        self._pending.append((mark, unit))
        if time.monotonic() >= self._free:
            self.flush()

    def flush(self) -> bool:
        """Commit what was added; whether all of it is on the disk."""
        if not self._pending:
            return True
        began = time.monotonic()
        try:
            self._journal.append(pack(self._pending))
            self._pending = []
        except OSError as error:
            if not self._warned:
                _log.warning(
                    "warning: cannot write %s: %s. The run goes on, and tries again later.",
                    self._journal.path,
                    error.strerror,
                )
            self._warned = True
        ended = time.monotonic()
        self._free = ended + max(_EVERY, (ended - began) / _SHARE)
        return not self._pending

    def close(self) -> None:
        """Commit what is left, and let others at the folder, which is removed if nothing was ever committed."""
        self.flush()
        if not self._journal.path.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        if not self._lock.closed:
            release(self._lock)

    def remove(self) -> None:
        """The run is written: nothing of this is needed any more."""
        self._pending = []
        with contextlib.suppress(OSError):
            self._journal.path.unlink(missing_ok=True)  # first: half a store must not look like work to go on with
            shutil.rmtree(self.folder, ignore_errors=True)
        if not self._lock.closed:
            release(self._lock)


def name_of(identity: Mapping[str, str]) -> str:
    """The folder of a store for work of this identity."""
    text = json.dumps(dict(sorted(identity.items())))
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]


def opened(parent: Path, identity: Mapping[str, str], *, resume: bool) -> Store | None:
    """The store of a run, and a note on what it holds; None, and a warning, if there can be none.

    Args:
        parent: the folder that it is in: that of the result.
        identity: what the rows depend on, as texts by name.
        resume: take up finished work of the same identity.
    """
    folder = parent / name_of(identity)
    try:
        lock = locked(folder / _LOCK)
        if lock is None:
            _log.warning(
                "warning: the same run is going on in another process: this one keeps no finished batches for "
                "--resume."
            )
            return None
        try:
            store = Store(folder, identity, lock, resume=resume)
        except BaseException:
            release(lock)
            raise
    except OSError as error:
        _log.warning(
            "warning: cannot keep finished batches in %s: %s. --resume could not take them up.",
            parent,
            error.strerror,
        )
        return None
    if resume:
        _log.warning("note: %s", _told(store, parent))
    return store


def _told(store: Store, parent: Path) -> str:
    if store.taken:
        return f"{store.taken} finished batches are taken up from {store.folder}, not computed again."
    others = [(_differing(store.identity, folder), folder) for folder in parent.glob(f"{PREFIX}*/{_UNITS}")]
    others = [(changed, units) for changed, units in others if changed]  # its own holds nothing that is whole
    if not others:
        return f"there is no finished work in {parent} to go on with: it starts from the beginning."
    changed, units = min(others, key=lambda other: len(other[0]))
    shown = ", ".join(changed[:_MOST_SHOWN]) + (", …" if len(changed) > _MOST_SHOWN else "")
    return f"it starts from the beginning: {units.parent} is of a run that differs in {shown}."


def _differing(identity: Mapping[str, str], units: Path) -> list[str]:
    """What another store has otherwise, with the values where they are short."""
    try:
        then = json.loads((units.parent / _KEY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ["everything: it cannot be read"]
    names = [name for name in identity if then.get(name) != identity[name]]
    values = {name: (str(then.get(name)), identity[name]) for name in names}
    return [
        f"{name} ({before}, now {now})" if len(before) + len(now) <= 40 else name
        for name, (before, now) in values.items()
    ]
