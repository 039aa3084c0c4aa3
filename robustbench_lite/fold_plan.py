"""What is trained and judged per fold: found to fit before anything is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robustbench_lite.comparing import learns_from
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.data.folds import Fold, Indices, Protocol, gaps, make_folds, parse_protocol
from robustbench_lite.errors import InputError
from robustbench_lite.fold_rows import attack_of
from robustbench_lite.registry import spec
from robustbench_lite.rng import stable_hash
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.preparing import recipe_for
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.starting import Start

NO_IMAGE_LEFT = (
    "--split all takes the test images as well, so that no untouched image is left: once a network is chosen by "
    "these numbers, no image here can say how good it is."
)


@dataclass(frozen=True)
class Plan:
    """What is trained and judged, found to fit before anything is computed."""

    protocol: Protocol
    folds: tuple[Fold, ...]
    dataset: Dataset = field(repr=False)
    architecture: str
    options: TrainingOptions
    recipe: Recipe
    start: Start | None
    device: str
    folder: Path | None
    notes: tuple[str, ...]

    def options_of(self, fold: Fold) -> TrainingOptions:
        """With a seed of its own, so that the spread has that of the initial weights in it."""
        return replace(self.options, seed=self.options.seed + fold.number - 1)

    def file(self, fold: Fold, suffix: str = ".safetensors") -> Path | None:
        """Where its network goes."""
        return self.folder and self.folder / f"fold-{fold.number}{suffix}"

    def key(self, fold: Fold) -> str:
        """The same for trainings that end in the same network."""
        begun = [self.architecture, *([self.start.weights] if self.start and self.start.weights else [])]
        weights = [hashlib.sha256(Path(f).read_bytes()).hexdigest() for f in begun if Path(f).is_file()]
        images = [[(self.dataset.sample_ids[i], int(self.dataset.labels[i])) for i in side] for side in fold[1:4]]
        how = (self.architecture, self.options_of(fold), self.start, weights, self.recipe, torch.__version__)
        return f"{stable_hash(*how, self.dataset.image_shape, self.dataset.class_names, images):016x}"

    def about(self) -> dict[str, Any]:
        """What is done, for JSON."""
        attack, data = attack_of(self.recipe), self.dataset
        return {
            "protocol": str(self.protocol),
            "architecture": self.architecture,
            "data": data.spec,
            "split": data.split,
            "n": len(data),
            "manifest_sha256": data.manifest_hash,
            "groups": None if data.groups is None else len(set(data.groups)),
            "learns_from": learns_from(self.recipe),
            "attack": None if attack is None else spec(attack),
            "norm": None if attack is None else attack.norm,
            "eps": None if attack is None else attack.eps,
            "options": {**asdict(self.options), "augment": list(self.options.augment)},
            "torch": torch.__version__,
            "notes": list(self.notes),
        }

    def document(self) -> dict[str, Any]:
        """The same with the images per side and class of every fold."""
        labels, names = self.dataset.labels, self.dataset.class_names
        sides = [(f, side, getattr(f, side)) for f in self.folds for side in ("train", "val", "held_out")]

        def per_class(places: Indices) -> dict[str, int]:
            return dict(zip(names, np.bincount(labels[places], minlength=len(names)).tolist(), strict=True))

        counts = [
            {
                "fold": fold.number,
                "repeat": fold.repeat,
                "side": side,
                "n": len(places),
                "classes": per_class(places),
            }
            for fold, side, places in sides
        ]
        return {**self.about(), "epochs": self.options.epochs, "trainings": len(self.folds), "sides": counts}


def planned(
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
) -> Plan:
    """As ``cross_validate``, but nothing is computed yet.

    Raises:
        InputError: images that cannot be divided so, or parts that do not fit.
    """
    asked, options, data = parse_protocol(protocol), options or TrainingOptions(), dataset
    recipe = recipe_for(data, options, recipe)
    if folds is None:
        if asked.kind == "holdout":
            raise InputError("holdout takes three sides as they come.", "Give folds=[Fold(1, train, val, test)].")
        if asked.kind == "time" and moments is None:
            moments = [file.rpartition("/")[2] for file in data.files]
        folds = make_folds(asked, data.labels, data.sample_ids, data.groups, moments, options.seed)
    notes = gaps(folds, data.labels, data.class_names)
    if asked.kind == "kfold" and data.groups is not None:
        notes.insert(0, f"the data have groups: they are kept whole, as by group:{asked.folds}")
    if start is not None and start.weights is not None:
        notes.insert(0, "weights that have seen held-out images make all these numbers too good")
    return Plan(
        *(asked, tuple(folds), data, architecture, options, recipe, start, device, folder, tuple(notes)),
    )
