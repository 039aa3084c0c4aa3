"""How far a run is: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from robustbench_lite import console

if TYPE_CHECKING:
    from robustbench_lite.working import Progress

EVERY = 10.0  # seconds between two lines, at least


@contextmanager
def watched(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """What a run reports to; nothing is told with ``quiet``, or of a run that takes less than ten seconds."""
    if quiet or sys.stderr.isatty():
        with console.progress_bar(quiet=quiet) as update:
            yield lambda progress: update(progress.done, progress.total, progress.condition)
    else:
        yield Lines().tell


class Lines:
    """For a log, where a bar cannot be drawn: how far it is, and what the conditions that are done came to."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told = clock()

    def tell(self, progress: Progress) -> None:
        """Write a line, unless the last is too near."""
        now = self._clock()
        if now - self._told < EVERY:
            return
        self._told = now
        done = f"{progress.done / progress.total:.0%} done" if progress.total else "begun"
        if progress.accuracy is None:
            console.note(f"{done}, at {progress.condition}")
        else:
            console.note(f"{done}: {progress.condition}: {progress.accuracy:.1%} right, {progress.seconds:.1f} s")
