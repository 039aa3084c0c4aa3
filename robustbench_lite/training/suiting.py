"""Defaults that depend on what is learnt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from robustbench_lite.training.defences import told
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import Recipe

MANY = 20_000
"""Training images from which 10 epochs are enough for adversarial training, each of which costs that of many."""
_WITH_MANY = {"epochs": 10, "batch_size": 128}
_SHIFTED = {"epochs": 60}  # half of the images that it sees are clean ones


def suited(options: TrainingOptions, given: Collection[str], recipe: Recipe, images: int) -> TrainingOptions:
    """The options with what suits adversarial training or shifts on so many images, where nothing was asked for.

    Args:
        options: with the defaults of standard training.
        given: names of the options that were asked for.
        recipe: what is learnt from.
        images: of the training split.
    """
    suits: dict[str, Any] = {}
    if images >= MANY:
        suits = _WITH_MANY if recipe.adversarial is not None else {}
    elif recipe.shifts:
        suits = _SHIFTED
    return replace(options, **{name: value for name, value in suits.items() if name not in given})


def plan_of_attack(recipe: Recipe, options: TrainingOptions) -> dict[str, Any]:
    """What a plan says of adversarial training."""
    if recipe.adversarial is None:
        return {}
    return {"batch_size": options.batch_size, "adversarial": told(recipe.adversarial), "warmup": recipe.warmup}
