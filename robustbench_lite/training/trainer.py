"""Training of a classifier: deterministic, on clean, shifted and attacked images, with early stopping."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.training.baselines import baselines_in, told
from robustbench_lite.training.checking import check_splits
from robustbench_lite.training.diagnosis import verdicts
from robustbench_lite.training.dropout import dropping
from robustbench_lite.training.loop import Fitted, Hooks, fit, seeded
from robustbench_lite.training.objective import Objective
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.overfitting import Watch
from robustbench_lite.training.preparing import ready, recipe_for
from robustbench_lite.training.recipe import PARTS, Recipe
from robustbench_lite.training.resuming import StateFile, state_of_classifier
from robustbench_lite.training.robust_validation import about_attack, to_attack
from robustbench_lite.training.sampling import make_order
from robustbench_lite.training.starting import Start
from robustbench_lite.training.tensors import Tensors, tensors_of
from robustbench_lite.training.validating import right_answers, share, shares, shifted_images, validated
from robustbench_lite.weights import CheckpointInfo


class Epoch(NamedTuple):
    """What one epoch came to. Losses are cross-entropy in nats per image.

    ``train_loss`` and ``train_accuracy`` are of the images as the network was shown them, while it learned.
    ``robust_accuracy`` and ``shift_accuracy`` are None unless the recipe has attacks or shifts.
    ``seconds`` are of the clock, ``cpu_seconds`` of all threads of this process, both of training alone, together
    with that of the same epoch where one was taken back; ``validation_seconds`` came after, by the clock.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    robust_accuracy: float | None = None
    shift_accuracy: float | None = None
    cpu_seconds: float | None = None
    validation_seconds: float | None = None

    @property
    def rank(self) -> tuple[float, ...]:
        """Best is the largest robust accuracy, if there is one, then the smallest validation loss."""
        return (-(self.robust_accuracy or 0.0), self.val_loss)


class Trained(NamedTuple):
    """The network of the best epoch, and its description."""

    network: nn.Module
    info: CheckpointInfo


def train(
    architecture: str,
    train_set: Dataset,
    val_set: Dataset,
    options: TrainingOptions | None = None,
    *,
    recipe: Recipe | None = None,
    start: Start | None = None,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_history: Callable[[dict[str, Any]], None] = lambda history: None,
    baselines: bool = True,
    resume: Path | None = None,
) -> Trained:
    """Train a network and keep the best epoch.

    The same seed gives the same weights on the same machine with one thread; no global generator is touched.
    Images are kept in memory as float32 while they fit; those of a split that needs more than 8 GiB are decoded on
    demand, which changes no number but the last digits of mean and std.

    Args:
        architecture: a built-in network such as ``cnn(width=16)``, ``torchvision:resnet18``, ``file.py:factory``;
            or a checkpoint, to begin with its weights.
        train_set, val_set: labelled images of one shape.
        options: how to train.
        recipe: what on, beside clean images.
        start: weights to begin with, and what of them is trained.
        device: a torch device.
        on_epoch: called after every epoch.
        on_history: called after every epoch with the history so far.
        baselines: also say what simple methods reach on the same images.
        resume: a file for the state of the training. If it is there, the training goes on from it, to the same
            weights as if it had never been stopped. It stays, for whoever saves the network to remove.

    Raises:
        InputError: images, classes or labels that do not do, a state of another training, or a training that
            diverges in its first epoch.
    """
    options = options or TrainingOptions()
    recipe = recipe_for(train_set, options, recipe)
    train_data, val_data = tensors_of(train_set, device), tensors_of(val_set, device)
    check_splits(train_set, val_set, train_data, val_data, options)
    simple = baselines_in(train_data, val_data, options.seed) if baselines else ()
    about: dict[str, Any] = {
        "options": {**asdict(options), "augment": list(options.augment)},
        "data": train_set.spec,
        "train_images": len(train_data.labels),
        "train_labels": torch.bincount(train_data.labels, minlength=len(train_set.class_names)).tolist(),
        "train_manifest_sha256": train_set.manifest_hash,
        "val_images": len(val_data.labels),
        "torch": torch.__version__,
        "shifts": [shift.text for shift in recipe.shifts],
        "mix": dict(zip(PARTS, recipe.weights, strict=True)),
        "baselines": told(simple),
    }
    with seeded(options.seed, torch.device(device)):  # dropout draws while it trains
        begun, objective = ready(architecture, start, train_set, train_data, recipe, options, device)
        watch = Watch(objective, to_attack(recipe, val_data))
        about |= {"adversarial": about_attack(recipe, watch.data), "overfitting": watch.entries}
        state = None if resume is None else state_of_classifier(resume, architecture, objective, val_data)
        with dropping(options.dropout, objective.classifier, train_data.images[:1]):
            fitted = _fit(
                objective,
                watch,
                val_data,
                options,
                on_epoch,
                lambda epochs: on_history({**about, **_told(epochs)}),
                state,
            )
    network = objective.network
    network.load_state_dict(fitted.best)
    network.eval()
    right, best = right_answers(objective, val_data, options.batch_size), min(fitted.epochs, key=lambda e: e.rank)
    attacked = (about.get("adversarial") or {}).get("validation_images", len(right))
    history = {
        **about,
        **({"start": begun.told} if begun.told else {}),
        **_told(fitted.epochs),
        "interrupted": fitted.interrupted,
        "diverged": fitted.diverged,
        "validation": shares(right, val_data.groups),
        "validation_attacked": share(best.robust_accuracy, attacked),
        "validation_shifted": share(best.shift_accuracy, len(right)),
        "baselines": told(simple, right),
    }
    history["verdicts"] = verdicts(history)
    info = CheckpointInfo(
        architecture=begun.architecture,
        class_names=list(train_set.class_names),
        input_shape=train_set.image_shape,
        mean=objective.mean,
        std=objective.std,
        history=history,
    )
    return Trained(network, info)


def _fit(
    objective: Objective,
    watch: Watch,
    val_data: Tensors,
    options: TrainingOptions,
    on_epoch: Callable[[Epoch], None],
    so_far: Callable[[Sequence[Epoch]], None],
    state: StateFile | None,
) -> Fitted[Epoch]:
    shifted = shifted_images(objective.recipe, val_data, options.seed)
    began, spent = _now(), defaultdict[int, npt.NDArray[np.float64]](lambda: np.zeros(2))

    def started() -> None:
        nonlocal began
        began = _now()

    def finished(epoch: int, train_loss: float, lr: float) -> Epoch:
        spent[epoch] += _now() - began  # one that is taken back comes twice, and costs both times
        seconds, cpu_seconds = spent[epoch].tolist()
        after = time.perf_counter()
        found = validated(objective, val_data, options.batch_size, shifted, watch.data)
        return Epoch(
            epoch,
            train_loss,
            objective.take_accuracy(),
            found.loss,
            found.accuracy,
            lr,
            seconds,
            found.robust_accuracy,
            found.shift_accuracy,
            cpu_seconds,
            time.perf_counter() - after,
        )

    hooks = Hooks(
        finished,
        on_epoch,
        so_far,
        keep=None if state is None else state.keep,
        begin=None if state is None else state.begin,
        restored=lambda entry: Epoch(**entry),
        started=started,
        chance=math.log(objective.num_classes),
        undone=watch.undone if watch.needed else None,
        more=watch.state,
        more_restored=watch.restore,
        warmup=math.ceil(objective.recipe.warmup * options.epochs),
    )
    data = objective.data
    return fit(objective.network, len(data.labels), objective, options, hooks, make_order(data, options))


def _now() -> npt.NDArray[np.float64]:
    """Seconds of the clock, and of all threads of the process."""
    return np.array([time.perf_counter(), time.process_time()])


def _told(epochs: Sequence[Epoch]) -> dict[str, Any]:
    """What a history says of the epochs."""
    return {
        "epochs": [epoch._asdict() for epoch in epochs],
        "best_epoch": min(epochs, key=lambda e: e.rank).epoch,
    }
