"""What a comparison of recipes is of: found to fit before anything is computed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from robustbench_lite.applying import check_fits, plan
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.registry import make, spec
from robustbench_lite.rng import stable_hash
from robustbench_lite.training.defences import told
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.preparing import recipe_for
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.starting import Start
from robustbench_lite.types import Condition
from robustbench_lite.weights import CheckpointInfo, read_info

STANDARD = "standard"
ATTACK = "adaptive"
SHIFTS = ("night", "gaussian_blur", "gaussian_noise", "fog", "jpeg")
"""One of each risk that leaves the object where it is; none needs colour."""
SEVERITY = 3

CHOSEN_BY_TEST = (
    "these numbers are of the test split: who chooses by them makes it a part of training, and other images will "
    "not keep what they promise. Keep some back that choose nothing."
)


@dataclass(frozen=True)
class Comparison:
    """What is compared, found to fit before anything is computed.

    Args:
        train_set, val_set: what every network learns from, and what chooses its epoch.
        judged: the images that the table is of.
        recipes: what the networks are trained on, by name; ``standard`` is the first.
        architecture, options, start, device: of every training.
        conditions: clean, shifts, and the attack that is the last.
        folder: where ``NAME.safetensors`` go.
    """

    train_set: Dataset
    val_set: Dataset
    judged: Dataset
    recipes: dict[str, Recipe]
    architecture: str
    options: TrainingOptions
    conditions: tuple[Condition, ...]
    folder: Path
    device: str = "cpu"
    start: Start | None = None

    def file(self, name: str) -> Path:
        """Where the network of a recipe goes."""
        plain = re.sub(r"[^\w.=-]+", "-", name).strip("-")
        return self.folder / f"{plain}.safetensors"

    def key(self, name: str) -> str:
        """The same for trainings that end in the same network."""
        data = [(d.manifest_hash, d.image_shape) for d in (self.train_set, self.val_set)]
        begun = [
            Path(self.architecture),
            *([Path(self.start.weights)] if self.start and self.start.weights else []),
        ]
        weights = [hashlib.sha256(file.read_bytes()).hexdigest() for file in begun if file.is_file()]
        how = (self.architecture, self.options, self.start, weights, self.recipes[name])
        return f"{stable_hash(*how, data, torch.__version__):016x}"

    def finished(self, name: str) -> CheckpointInfo | None:
        """What the file of a recipe says, if it is of this very training."""
        if not self.file(name).is_file():
            return None
        info = read_info(self.file(name))
        return info if info and info.history.get("comparison") == self.key(name) else None

    def about(self) -> dict[str, Any]:
        """What is compared, and on what."""
        judged = self.judged
        attack = self.conditions[-1].attacks[-1]
        return {
            "architecture": self.architecture,
            "data": judged.spec,
            "split": judged.split,
            "manifest_sha256": judged.manifest_hash,
            "train_images": len(self.train_set),
            "val_images": len(self.val_set),
            "conditions": [spec(condition) for condition in self.conditions],
            "attack": spec(self.conditions[-1]),
            "norm": attack.norm,
            "eps": getattr(attack, "eps", None),
            "options": {**asdict(self.options), "augment": list(self.options.augment)},
            "torch": torch.__version__,
            "device": self.device,
            "warning": CHOSEN_BY_TEST if judged.split in ("test", "all") else "",
        }


def comparison(
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
    device: str = "cpu",
) -> Comparison:
    """As ``trade_off``, but nothing is computed yet.

    Raises:
        InputError: what ``trade_off`` would refuse before the first training.
    """
    judged = test_set or val_set
    filled = {STANDARD: Recipe(), **recipes}
    options = options or TrainingOptions()
    filled = {name: recipe_for(train_set, options, recipe) for name, recipe in filled.items()}
    _, *wanted = plan(on, judged.eps)
    attacks = [condition for condition in wanted if condition.attacks]
    shifts = [condition for condition in wanted if not condition.attacks]
    if len(attacks) > 1:
        raise InputError(
            f"robust accuracy is that under one attack, and {', '.join(map(spec, attacks))} are several.",
            "Give one, or worst(…) of them.",
        )
    if any(attack.minimal for condition in attacks for attack in condition.attacks):
        raise InputError(
            f"{spec(attacks[0])} has no budget: it looks for the smallest change.",
            "Give an attack that has an eps.",
        )
    usual = [make(f"{name}(severity={SEVERITY})") for name in SHIFTS]
    conditions = plan([*(shifts or usual), *(attacks or [make(ATTACK)])], judged.eps)
    check_fits(conditions, judged.spec, judged.labels, len(judged.class_names), judged.image_shape)
    made = Comparison(
        *(train_set, val_set, judged, filled, architecture),
        options,
        tuple(conditions),
        Path(folder),
        device,
        start,
    )
    names: dict[Path, str] = {}
    for name in filled:
        other = names.setdefault(made.file(name), name)
        if other != name:
            raise InputError(f"the recipes {other!r} and {name!r} have one file name.", "Name one differently.")
    return made


def planned(asked: Comparison, *, resume: bool) -> dict[str, Any]:
    """What ``compared`` would do: trainings, and what judging the networks takes at the most."""
    states = {name: resume and asked.finished(name) is not None for name in asked.recipes}
    images = len(asked.judged) * len(asked.recipes)
    conditions = []
    for condition in asked.conditions:
        costs = [attack.max_cost() for attack in condition.attacks]
        forwards, gradients = 1 + sum(cost.forwards for cost in costs), sum(cost.gradients for cost in costs)
        conditions.append(
            {"condition": spec(condition), "forwards": forwards * images, "gradients": gradients * images}
        )
    return {
        **asked.about(),
        "n": len(asked.judged),
        "folder": str(asked.folder),
        "epochs": asked.options.epochs,
        "to_train": sum(not there for there in states.values()),
        "recipes": [
            {
                "recipe": name,
                "learns_from": learns_from(asked.recipes[name]),
                "file": asked.file(name).name,
                "state": "there" if there else "train",
            }
            for name, there in states.items()
        ],
        "judging": conditions,
    }


def learns_from(recipe: Recipe) -> str:
    """A recipe in a few words, with the shares of its parts."""
    parts = {
        "clean": "clean",
        "shift": ", ".join(shift.text for shift in recipe.shifts),
        "attack": "" if recipe.adversarial is None else told(recipe.adversarial),
    }
    shares = {part: weight / sum(recipe.weights) for part, weight in zip(parts, recipe.weights, strict=True)}
    return "; ".join(f"{share:.0%} {parts[part]}" for part, share in shares.items() if share)
