"""What ``rb train`` does about trainings that were stopped: where their state is, and what is said of it."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from robustbench_lite import console
from robustbench_lite.errors import ExitCode, InputError


def check_place(out: Path, *, resume: bool, overwrite: bool) -> Path:
    """Where the state of a training is kept: beside its checkpoint.

    Raises:
        InputError: a training was stopped there, or is finished, and nothing was said of it.
    """
    from robustbench_lite.training.resuming import SUFFIX, read_saved

    state = out.with_suffix(SUFFIX)
    if state.exists() and not (resume or overwrite):
        saved = read_saved(state)
        assert saved is not None
        raise InputError(
            f"a training of {out} was stopped after epoch {saved.epochs} of {saved.identity['epochs']} ({state}).",
            "--resume goes on, --overwrite starts anew.",
        )
    if out.exists() and not (overwrite or (resume and state.exists())):
        finished = f", and there is no {state} to go on from" if resume else ""
        raise InputError(f"{out} exists already{finished}.", "Choose another --out, or give --overwrite.")
    return state


def begin(state: Path, *, resume: bool, quiet: bool) -> None:
    """Right before the training, which goes on from the state if it is there."""
    from robustbench_lite.training.resuming import remove

    if not resume:
        remove(state)
    elif not state.exists() and not quiet:
        console.note(f"note: there is no {state} to go on from; the training begins.")


def keep(out: Path, state: Path, history: dict[str, Any], save: Callable[[Path], None]) -> None:
    """Write the checkpoint, and remove the state of a training that is over. The network is never lost.

    Args:
        out: the checkpoint.
        state: of the training.
        history: of the training.
        save: writes the checkpoint to a place.

    Raises:
        InputError: it could not be written; says where it is instead.
    """
    from robustbench_lite.training.resuming import remove

    try:
        save(out)
    except InputError as error:
        ways = ["--resume writes it without training again"] if state.exists() else []
        try:
            elsewhere = Path(tempfile.mkdtemp(prefix="rb-train-")) / out.name
            save(elsewhere)
            ways.insert(0, f"it is in {elsewhere}: move it")
        except (InputError, OSError):
            pass
        raise InputError(
            f"{error.what.removesuffix('.')}, where the trained network should go.",
            f"Make room; {'; or '.join(ways)}." if ways else "It is lost: there is no other place either.",
        ) from None
    if not history["interrupted"]:
        remove(state)


def ended(history: dict[str, Any], out: Path, state: Path) -> None:
    """Say how to go on with a training that was stopped.

    Raises:
        typer.Exit: it was interrupted, or diverged.
    """
    if history["interrupted"]:
        number, epochs = len(history["epochs"]), history["options"]["epochs"]
        console.note(f"interrupted after epoch {number} of {epochs}; the best so far is in {out}")
        if state.exists():
            console.note(f"Go on: {_command()}")
        raise typer.Exit(ExitCode.INTERRUPTED)
    if history["diverged"]:
        raise typer.Exit(ExitCode.INCOMPLETE)


def stopped(state: Path) -> None:
    """Say how to go on with a training that left no checkpoint."""
    if state.exists():
        console.note(f"Go on: {_command()}")


def _command() -> str:
    words = [word for word in sys.argv[1:] if word != "--overwrite"]
    return shlex.join(["rb", *words, *["--resume"] * ("--resume" not in words)])
