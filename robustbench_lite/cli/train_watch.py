"""How a training goes, while it goes: curves in the terminal, a table of epochs, and a picture beside the file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console
from robustbench_lite.errors import InputError
from robustbench_lite.files import write_file

if TYPE_CHECKING:
    from rich.table import Table

History = dict[str, Any]

WIDTH = 40  # characters of a curve
PAUSE = 5.0  # seconds between two pictures at least,
SHARE = 20  # and so many times what drawing one takes
_BLOCKS = "▁▂▃▄▅▆▇█"
_LOSSES = (("train_loss", "training"), ("val_loss", "validation"))
_ACCURACIES = (
    ("train_accuracy", "training"),
    ("val_accuracy", "validation"),
    ("robust_accuracy", "attacked"),
    ("shift_accuracy", "shifted"),
)


@contextmanager
def watching(picture: Path, epochs: int, *, verbose: bool, quiet: bool) -> Iterator[Callable[[History], None]]:
    """What is to be called after every epoch with the history so far.

    Args:
        picture: the curves as a picture, written anew every few seconds.
        epochs: how many there will be at the most.
        verbose: also a line per epoch.
        quiet: nothing in the terminal.
    """
    curves, heads = Curves(picture), [True]

    def follow(history: History, say: Callable[[str], None]) -> None:
        if verbose and not quiet:
            for line in epoch_lines(history)[0 if heads.pop() else 1 :]:
                say(line)
            heads.append(False)
        curves.follow(history)

    if quiet or not sys.stderr.isatty():
        yield lambda history: follow(history, console.note)
        return
    from rich.live import Live

    with Live("the first epoch …", console=console.stderr(), transient=True, refresh_per_second=4) as live:

        def shown(history: History) -> None:
            live.update(panel(history, epochs))
            follow(history, lambda line: live.console.print(line, markup=False))

        yield shown


class Curves:
    """The picture of the curves: a training is not stopped by it, and not slowed down by more than a twentieth.

    Args:
        path: of the PNG.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = time.monotonic() + PAUSE

    def follow(self, history: History) -> None:
        """Draw it anew, if it is time to."""
        began = time.monotonic()
        if began >= self._next:
            done = self.draw(history)
            self._next = time.monotonic() + max(PAUSE, SHARE * (time.monotonic() - began)) if done else math.inf

    def draw(self, history: History) -> bool:
        """Draw it; False if it cannot be written, which is said."""
        from robustbench_lite.reports.training_curves import training_curves

        try:
            write_file(self.path, training_curves(history))
        except InputError as error:
            console.note(f"warning: no picture of the curves: {error.what}")
            return False
        return True


def panel(history: History, epochs: int) -> Table:
    """The curves so far, for the terminal."""
    from rich.table import Table

    done = history["epochs"]
    left = sum(epoch["seconds"] + epoch["validation_seconds"] for epoch in done) / len(done) * (epochs - len(done))
    table = Table.grid(padding=(0, 1))
    minutes, seconds = divmod(round(left), 60)
    table.add_row(
        "epoch", f"{len(done)} of {epochs}", _bar(len(done) / epochs), f"{minutes}:{seconds:02d} left at most"
    )
    for what, series in (("loss", _LOSSES), ("accuracy", _ACCURACIES)):
        known = {label: [e[name] for e in done] for name, label in series if done[-1][name] is not None}
        last = {k: f"{v[-1]:.4f}" if what == "loss" else f"{100 * v[-1]:.1f} %" for k, v in known.items()}
        if what == "loss":
            known = {label: [math.log(max(value, 1e-6)) for value in values] for label, values in known.items()}
        low, high = min(map(min, known.values())), max(map(max, known.values()))
        for i, (label, values) in enumerate(known.items()):
            table.add_row("" if i else what, label, sparkline(values, low, high), last[label])
    return table


def _bar(share: float) -> str:
    full = round(WIDTH * share)
    return "━" * full + "╌" * (WIDTH - full)


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Values as blocks between low and high: at most ``WIDTH``, evenly chosen, the last always among them."""
    count = min(len(values), WIDTH)
    chosen = [values[math.ceil(len(values) * (i + 1) / count) - 1] for i in range(count)]
    span = high - low or 1.0
    return "".join(_BLOCKS[min(7, int(8 * (value - low) / span))] for value in chosen)


def epoch_lines(history: History) -> list[str]:
    """The names of the columns, and the line of the last epoch."""
    last = history["epochs"][-1]
    columns = [
        ("epoch", f"{last['epoch']}"),
        *((f"{label} loss", f"{last[name]:.4f}") for name, label in _LOSSES),
        *((label, f"{100 * last[name]:.1f} %") for name, label in _ACCURACIES if last[name] is not None),
        ("lr", f"{last['lr']:.2e}"),
        ("seconds", f"{last['seconds']:.1f}"),
    ]
    widths = [max(8, len(name)) for name, _ in columns]
    return ["  ".join(f"{row[i]:>{width}}" for row, width in zip(columns, widths, strict=True)) for i in (0, 1)]
