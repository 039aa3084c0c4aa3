"""What the options of ``rb train`` stand for: the same for one network, a comparison and a protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.cli.options import Common
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    from robustbench_lite.cli.train_run import Asked
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.training.recipe import Recipe
    from robustbench_lite.training.starting import Start

DEFAULT_ARCHITECTURE = "cnn"
DEFAULT_ATTACKED = "strided"


def architecture_of(common: Common, *, attacked: bool) -> str:
    """What --model says, or the network that suits what is learnt."""
    if common.model != "demo":
        return common.model
    return DEFAULT_ATTACKED if attacked and common.weights is None else DEFAULT_ARCHITECTURE


def splits(common: Common) -> tuple[Dataset, Dataset]:
    """The images to learn from, which --limit and --first hold for, and those that choose the epoch."""
    from robustbench_lite.runner import load_data

    inputs = common.inputs()
    train_set = load_data(replace(inputs, split="train"))
    return train_set, load_data(replace(inputs, split="val", limit=None, first=None))


def start_of(common: Common, asked: Asked) -> Start:
    """What a training begins from."""
    from robustbench_lite.inputs import normalisation
    from robustbench_lite.training.starting import Start

    return Start(common.weights, asked.tune, *normalisation(common.mean, common.std))


def recipe_of(asked: Asked) -> Recipe:
    """What one network learns from."""
    from robustbench_lite.training.recipe import make_recipe

    _check_mix(asked)
    return make_recipe(
        adversarial=asked.adversarial,
        arguments=asked.attack,
        shift=asked.shift,
        mix=asked.mix,
        warmup=asked.warmup,
    )


def _check_mix(asked: Asked) -> None:
    """Refuse what was asked for and would never be learnt from."""
    if asked.mix is None:
        return
    from robustbench_lite.training.recipe import parse_mix

    _, *weights = parse_mix(asked.mix)
    for flag, weight in zip(("shift", "adversarial"), weights, strict=True):
        if getattr(asked, flag) is not None and not weight:
            raise InputError(
                f"--mix {asked.mix!r} gives --{flag} no weight: nothing would be learnt from it.",
                f"Leave --{flag} out, or name it in --mix.",
            )


def check_folder(folder: Path, asked: Asked, *, what: str) -> None:
    """Refuse a folder that holds something, unless --resume or --overwrite says what becomes of it.

    Args:
        folder: --out.
        asked: with --resume or --overwrite, or not.
        what: ``a comparison``, that needs a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: {what} is a folder.", "Choose another --out.")
    if folder.is_dir() and any(folder.iterdir()) and not (asked.resume or asked.overwrite):
        raise InputError(
            f"{folder} exists already.",
            "Choose another --out; or --resume keeps what was trained there, --overwrite starts anew.",
        )
