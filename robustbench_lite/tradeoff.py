"""What robustness costs: networks of several recipes, trained alike and judged on the same images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from robustbench_lite.classifiers.loading import load_trained
from robustbench_lite.comparing import STANDARD, Comparison, comparison
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import RbError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.tradeoff_rows import Judged, Row, empty_row
from robustbench_lite.training.diagnosis import WARNINGS
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.resuming import SUFFIX, remove
from robustbench_lite.training.starting import Start
from robustbench_lite.training.trainer import Epoch, train
from robustbench_lite.types import Condition
from robustbench_lite.weights import check_writable, save_checkpoint

DIVERGED = "the training diverged: the best epoch before that was kept."


class Progress(NamedTuple):
    """How far it is: ``done`` of ``total`` epochs, or images times conditions, of one recipe."""

    recipe: str
    what: Literal["training", "judging"]
    done: int
    total: int


@dataclass(frozen=True)
class TradeOff:
    """What came out.

    Args:
        rows: an entry per recipe, ``standard`` first; docs/training.md says what is in it.
        about: what was compared, and on what.
        status: ``interrupted`` after Ctrl-C: the rows are of the recipes that were finished.
    """

    rows: list[Row]
    about: dict[str, Any]
    status: Literal["done", "interrupted"]

    @property
    def table(self) -> pd.DataFrame:
        """A row per recipe: numbers and short texts, and the accuracy under every shift in a column of its own."""
        flat = [
            {k: v for k, v in row.items() if not isinstance(v, list)}
            | {shift["condition"]: shift["accuracy"] for shift in row["shifts"]}
            for row in self.rows
        ]
        return pd.DataFrame(flat)

    def document(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {**self.about, "status": self.status, "recipes": self.rows}


def trade_off(
    train_set: Dataset,
    val_set: Dataset,
    recipes: Mapping[str, Recipe],
    folder: Path | str,
    *,
    test_set: Dataset | None = None,
    architecture: str = "cnn",
    options: TrainingOptions | None = None,
    start: Start | None = None,
    on: Sequence[Condition | str] = (),
    resume: bool = False,
    device: str = "cpu",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> TradeOff:
    """Train a network by each recipe, and say what each gains and costs beside standard training.

    All have the same architecture, options, seed and images. The networks are written to the folder as
    ``NAME.safetensors``; the numbers are those of ``evaluate`` on these files. Intervals are of 95 %.

    Args:
        train_set, val_set: what every network learns from, and what chooses its epoch.
        recipes: what the networks are trained on, by name; ``standard``, on clean images, is added.
        folder: where the networks go.
        test_set: the images that the numbers are of; by default those of ``val_set``, for a choice that is made by
            the numbers uses up the images.
        architecture, options, start, device: as for ``train``.
        on: the attack that robust accuracy is measured under, and the shifts; by default ``adaptive`` with the
            usual budget of the data, and ``comparing.SHIFTS``.
        resume: take what the folder holds of these very trainings: finished ones as they are, the stopped one to
            go on.
        on_progress: called after every epoch and every batch.

    Raises:
        InputError: parts that do not fit, a folder that cannot be written, or no recipe that could be trained.
    """
    asked = comparison(
        *(train_set, val_set, recipes, folder),
        test_set=test_set,
        architecture=architecture,
        options=options,
        start=start,
        on=on,
        device=device,
    )
    return compared(asked, resume=resume, on_progress=on_progress)


def compared(
    asked: Comparison, *, resume: bool, on_progress: Callable[[Progress], None] = lambda progress: None
) -> TradeOff:
    """As ``trade_off``, of a comparison that was found to fit."""
    check_writable(asked.file(STANDARD))
    rows: list[Row] = []
    yardstick: Judged | None = None
    failures: list[Exception] = []
    status: Literal["done", "interrupted"] = "done"
    for name in asked.recipes:
        row: Row = empty_row(name, asked.recipes[name])
        try:
            row |= _trained(asked, name, resume=resume, on_progress=on_progress)
            judged = _judge(asked, name, on_progress)
            yardstick = judged if name == STANDARD else yardstick
            of_training = row["doubts"]
            row |= judged.row(yardstick) | {"status": "done"}
            row["doubts"] = [*of_training, *row["doubts"]]
        except KeyboardInterrupt:
            if not rows:
                raise
            status = "interrupted"
            break
        except Exception as error:  # one recipe's failure is a row; the others go on
            failures.append(error)
            row |= {"status": "failed", "reason": str(error) if isinstance(error, RbError) else repr(error)}
        for kind in ("", "cpu_"):
            mine, its = row[f"{kind}seconds"], (rows[0] if rows else row)[f"{kind}seconds"]
            row[f"{kind}times"] = mine / its if mine and its else None
        rows.append(row)
    if rows and len(failures) == len(rows):
        raise failures[0]
    return TradeOff(rows, asked.about(), status)


def _trained(asked: Comparison, name: str, *, resume: bool, on_progress: Callable[[Progress], None]) -> Row:
    """Train one network and write it, unless it is there; what that took."""
    info = asked.finished(name) if resume else None
    if info is None:
        state = asked.file(name).with_suffix(SUFFIX)
        if not resume:
            remove(state)

        def on_epoch(epoch: Epoch) -> None:
            on_progress(Progress(name, "training", epoch.epoch, asked.options.epochs))

        on_progress(Progress(name, "training", 0, asked.options.epochs))
        network, info = train(
            *(asked.architecture, asked.train_set, asked.val_set, asked.options),
            recipe=asked.recipes[name],
            device=asked.device,
            start=asked.start,
            resume=state,
            on_epoch=on_epoch,
            baselines=False,
        )
        if info.history["interrupted"]:
            raise KeyboardInterrupt
        info = info.model_copy(update={"history": {**info.history, "comparison": asked.key(name)}})
        save_checkpoint(asked.file(name), network, info)
        remove(state)
    epochs = info.history["epochs"]
    return {
        "file": asked.file(name).name,
        "reason": DIVERGED if info.history["diverged"] else "",
        "epochs": len(epochs),
        "best_epoch": info.history["best_epoch"],
        "seconds": sum(epoch["seconds"] for epoch in epochs),
        "cpu_seconds": sum(epoch["cpu_seconds"] for epoch in epochs),
        "doubts": [
            f"{verdict['text']} {verdict['remedy']}"
            for verdict in info.history["verdicts"]
            if verdict["kind"] in WARNINGS
        ],
    }


def _judge(asked: Comparison, name: str, on_progress: Callable[[Progress], None]) -> Judged:
    classifier = load_trained(asked.file(name), asked.architecture, device=asked.device)
    result = evaluate(
        classifier,
        asked.judged,
        asked.conditions,
        seed=asked.options.seed,
        on_progress=lambda p: on_progress(Progress(name, "judging", p.done, p.total)),
    )
    if result.error is not None:
        raise result.error
    if result.status == "interrupted":
        raise KeyboardInterrupt
    return Judged(result)
