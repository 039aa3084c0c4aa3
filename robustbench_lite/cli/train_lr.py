"""``rb train --find-lr``: what it does and prints."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.train_generator import print_record
from robustbench_lite.errors import InputError
from robustbench_lite.files import write_file

if TYPE_CHECKING:
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.training.options import TrainingOptions
    from robustbench_lite.training.recipe import Recipe
    from robustbench_lite.training.starting import Start


def print_learning_rates(
    common: Common,
    architecture: str,
    train_set: Dataset,
    options: TrainingOptions,
    recipe: Recipe,
    start: Start,
    device: str,
    picture: Path,
) -> None:
    """Look for a learning rate, draw the curve, and say what to run next.

    Raises:
        InputError: the loss never fell; the picture shows it.
    """
    from robustbench_lite.reports.lr_curve import lr_curve
    from robustbench_lite.training.lr_range import find_lr

    with console.busy("looking for a learning rate", quiet=common.quiet):
        found = find_lr(architecture, train_set, options, recipe=recipe, start=start, device=device)
    write_file(picture, lr_curve(found.rates, found.losses, found.smoothed, found.suggestion))
    if found.suggestion is None:
        raise InputError(
            f"the loss did not fall at any learning rate: {picture} shows it.",
            "Check the labels, give another --model or a larger --batch-size, or choose --lr yourself.",
        )
    command = next_command(sys.argv[1:], found.suggestion)
    record: dict[str, Any] = {
        "suggestion": float(f"{found.suggestion:.2g}"),
        "steepest": found.steepest,
        "minimum": found.minimum,
        "exploded": found.exploded,
        "optimizer": options.optimizer,
        "steps": len(found.rates),
        "picture": str(picture),
        "command": command,
    }
    if common.json:
        console.print_json({**asdict(found), **record})
        return
    print_record({name: value for name, value in record.items() if name != "command"}, as_json=False)
    if not common.quiet:
        console.note(f"Next: {command}")


def next_command(words: Sequence[str], lr: float) -> str:
    """The words of a command with --find-lr, as a training with that rate."""
    kept = list[str]()
    for word, before in zip(words, ("", *words), strict=False):
        if word in ("--find-lr", "--json", "--lr") or word.startswith("--lr=") or before == "--lr":
            continue
        kept.append(word)
    return shlex.join(["rb", *kept, "--lr", f"{lr:.2g}"])
