"""How well a network does that is trained in this way on such images: trained and judged once per fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import load_trained
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.data.folds import Fold
from robustbench_lite.fold_plan import Plan, planned
from robustbench_lite.fold_rows import judged, pooled, summary
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.resuming import SUFFIX, remove
from robustbench_lite.training.starting import Start
from robustbench_lite.training.tensors import MEMORY_BUDGET
from robustbench_lite.training.trainer import Epoch, train
from robustbench_lite.weights import check_writable, read_info, save_checkpoint


class Progress(NamedTuple):
    """How far it is: ``done`` of ``total`` epochs of a fold, counted from 1."""

    fold: int
    done: int
    total: int


@dataclass(frozen=True)
class CrossValidated:
    """What came out.

    Args:
        about: what was done, on what.
        folds: an entry per fold; docs/training.md says what is in it.
        summary: an entry per measure: its mean over the folds, spread and interval.
        pooled: the accuracy over all predictions together.
        predictions: one row per image held out: file, label, prediction, confidence, correct and fold.
        status: ``interrupted`` after Ctrl-C: all is of the folds that were finished.
    """

    about: dict[str, Any]
    folds: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    pooled: dict[str, Any]
    predictions: pd.DataFrame = field(repr=False)
    status: Literal["done", "interrupted"] = "done"

    @property
    def table(self) -> pd.DataFrame:
        """A row per fold: all its numbers and short texts."""
        return pd.DataFrame([{k: v for k, v in row.items() if not isinstance(v, list)} for row in self.folds])

    def document(self) -> dict[str, Any]:
        """All but the predictions, for JSON."""
        return {
            **self.about,
            "status": self.status,
            "folds": self.folds,
            "summary": self.summary,
            "pooled": self.pooled,
        }


def cross_validate(
    architecture: str,
    dataset: Dataset,
    protocol: str = "kfold:5",
    options: TrainingOptions | None = None,
    *,
    recipe: Recipe | None = None,
    folds: Sequence[Fold] | None = None,
    moments: Sequence[str] | None = None,
    start: Start | None = None,
    device: str = "cpu",
    folder: Path | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> CrossValidated:
    """Train a network per fold, and judge each on the images that it has never seen.

    Fold k is trained with ``options.seed`` + k - 1, as ``train`` does it, and its held-out images are used once.

    Args:
        architecture: as for ``train``.
        dataset: the images that may be learnt from: keep some back that these are not.
        protocol: ``kfold:5``, ``kfold:5x3`` (three times anew), ``group:5`` or ``time:5``.
        options: how to train; the seed divides the images, too.
        recipe: what on. With attacks robust accuracy is measured, with shifts that on shifted images.
        folds: of one's own, in place of those that ``protocol`` makes; also for ``holdout``.
        moments: one per image, for ``time``; by default the names of the files.
        start: weights to begin with, which must never have seen the images.
        device: a torch device.
        folder: where ``fold-1.safetensors`` and so on go.
        resume: take networks of these very trainings that the folder holds, and go on with one that was stopped.
        on_progress: called after every epoch.

    Raises:
        InputError: what ``train`` would refuse, or images that cannot be divided so.
    """
    plan = planned(
        *(architecture, dataset, protocol, options),
        recipe=recipe,
        folds=folds,
        moments=moments,
        start=start,
        device=device,
        folder=folder,
    )
    return carried_out(plan, resume=resume, on_progress=on_progress)


def carried_out(
    plan: Plan, *, resume: bool = False, on_progress: Callable[[Progress], None] = lambda progress: None
) -> CrossValidated:
    """As ``cross_validate``, of what was found to fit."""
    first = plan.file(plan.folds[0])
    if first is not None:
        check_writable(first)
    data = plan.dataset.remembered(MEMORY_BUDGET // 4)  # every image is used in most folds
    rows: list[dict[str, Any]] = []
    predictions: list[pd.DataFrame] = []
    status: Literal["done", "interrupted"] = "done"
    for fold in plan.folds:
        sides = [data.select(places.tolist()) for places in (fold.train, fold.val, fold.held_out)]
        try:
            network = _trained(plan, fold, sides[0], sides[1], resume=resume, on_progress=on_progress)
            row, found = judged(network, sides[0], sides[2], plan.recipe, plan.options_of(fold).seed)
        except KeyboardInterrupt:
            if not rows:
                raise
            status = "interrupted"
            break
        images = {name: len(getattr(fold, name)) for name in ("train", "val", "held_out")}
        seed = plan.options_of(fold).seed
        rows.append({"fold": fold.number, "repeat": fold.repeat, "seed": seed, **images, **row})
        predictions.append(found.assign(fold=fold.number))
    everything = pd.concat(predictions, ignore_index=True)
    return CrossValidated(
        plan.about(),
        rows,
        summary(rows, with_interval=plan.protocol.kind != "time"),
        pooled(everything, grouped=data.groups is not None),
        everything,
        status,
    )


def _trained(
    plan: Plan,
    fold: Fold,
    train_set: Dataset,
    val_set: Dataset,
    *,
    resume: bool,
    on_progress: Callable[[Progress], None],
) -> Classifier:
    """Train the network of a fold and write it, unless it is there."""
    file, state = plan.file(fold), plan.file(fold, SUFFIX)
    options = plan.options_of(fold)
    on_progress(Progress(fold.number, 0, options.epochs))
    there = _finished(plan, fold, file) if resume and file is not None else None
    if there is not None:
        return there
    if state is not None and not resume:
        remove(state)

    def on_epoch(epoch: Epoch) -> None:
        on_progress(Progress(fold.number, epoch.epoch, options.epochs))

    network, info = train(
        *(plan.architecture, train_set, val_set, options),
        recipe=plan.recipe,
        start=plan.start,
        device=plan.device,
        on_epoch=on_epoch,
        baselines=False,  # they are judged on what is held out
        resume=state,
    )
    if info.history["interrupted"]:
        raise KeyboardInterrupt
    info = info.model_copy(update={"history": {**info.history, "fold": plan.key(fold)}})
    if file is not None and state is not None:
        save_checkpoint(file, network, info)
        remove(state)
    return Classifier(network, mean=info.mean, std=info.std, device=plan.device, history=info.history)


def _finished(plan: Plan, fold: Fold, file: Path) -> Classifier | None:
    """The network in a file, if it is of this very training."""
    info = read_info(file) if file.is_file() else None
    if info is None or info.history.get("fold") != plan.key(fold):
        return None
    return load_trained(file, plan.architecture, device=plan.device)
