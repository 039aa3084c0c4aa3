"""What ``rb train`` does and prints with a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.train_compare import strongest
from robustbench_lite.cli.train_generator import print_record
from robustbench_lite.cli.train_inputs import recipe_of, splits, start_of
from robustbench_lite.cli.train_lr import print_learning_rates
from robustbench_lite.cli.train_stopping import begin, ended, keep
from robustbench_lite.cli.train_watch import Curves, watching

SAID = (
    *("validation", "validation_attacked", "validation_shifted", "baselines", "verdicts"),
    *("interrupted", "diverged"),
)
"""Entries of the history that --json has as well."""

if TYPE_CHECKING:
    from robustbench_lite.cli.train_run import Asked
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.training.options import TrainingOptions
    from robustbench_lite.training.recipe import Recipe
    from robustbench_lite.training.starting import Begun, Start


def train_classifier(
    common: Common, architecture: str, options: TrainingOptions, asked: Asked, out: Path, state: Path
) -> None:
    """Train one network, and say how it went."""
    with console.busy("loading", quiet=common.quiet):
        from robustbench_lite.classifiers.loading import resolve_device
        from robustbench_lite.training.preparing import recipe_for
        from robustbench_lite.training.suiting import plan_of_attack, suited
        from robustbench_lite.training.trainer import train
        from robustbench_lite.weights import check_writable, save_checkpoint

        inputs = common.inputs()
        start, device = start_of(common, asked), resolve_device(common.device)
        train_set, val_set = splits(common)
        recipe = recipe_of(asked)
        options = suited(options, asked.learning, recipe, len(train_set))
        recipe = recipe_for(train_set, options, recipe)
    begun = _begun(common, architecture, start, train_set)
    plan = {
        "architecture": begun.architecture,
        "data": inputs.data,
        "train_images": len(train_set),
        "val_images": len(val_set),
        "classes": len(train_set.class_names),
        "epochs": options.epochs,
        **plan_of_attack(recipe, options),
        "checkpoint": str(out),
    }
    if common.dry_run:
        print_record(plan, as_json=common.json)
        return
    check_writable(out)
    if asked.find_lr:
        curve = out.with_suffix(".lr.png")
        print_learning_rates(common, architecture, train_set, options, recipe, start, device, curve)
        return
    begin(state, resume=asked.resume, quiet=common.quiet)
    picture = out.with_suffix(".curves.png")
    with watching(picture, options.epochs, verbose=common.verbose, quiet=common.quiet) as follow:
        trained = train(
            architecture,
            train_set,
            val_set,
            options,
            recipe=recipe,
            start=start,
            device=device,
            on_history=follow,
            resume=state,
        )
    history = trained.info.history
    keep(out, state, history, lambda path: save_checkpoint(path, trained.network, trained.info))
    drawn = Curves(picture).draw(history)
    result = {
        **plan,
        "epochs": len(history["epochs"]),
        "best_epoch": history["best_epoch"],
        "val_accuracy": history["epochs"][history["best_epoch"] - 1]["val_accuracy"],
        "curves": str(picture) if drawn else None,
    }
    if common.json:
        console.print_json(result | {key: history[key] for key in SAID})
    else:
        print_record(result, as_json=False)
        print_training(history)
    ended(history, out, state)
    if not common.quiet:
        console.note(f"Next: rb {_judged_by(recipe)} --model {out} --data {inputs.data}")


def _judged_by(recipe: Recipe) -> str:
    """The command that shows what was learnt: against an attack, or against the first few of the shifts."""
    if not recipe.shifts:
        return "attack --method pgd"
    from robustbench_lite.registry import spec

    shifts = strongest(recipe.shifts)[:4]
    return " ".join(["eval", *(f'--on "{spec(shift)}"' for shift in shifts)])


def _begun(common: Common, architecture: str, start: Start, train_set: Dataset) -> Begun:
    """The network as the training will begin with it; what was done to the weights is said."""
    import torch

    from robustbench_lite.training.loop import seeded
    from robustbench_lite.training.starting import begin

    with seeded(common.seed, torch.device("cpu")):
        begun = begin(
            architecture, start, num_classes=len(train_set.class_names), input_shape=train_set.image_shape
        )
    for text in () if common.quiet else begun.notes:
        console.note(f"note: {text}")
    return begun


def print_training(history: dict[str, Any]) -> None:
    """The network beside simple methods, and what is said of the training."""
    from robustbench_lite.reports.training_table import training_table

    terminal = console.stdout()
    terminal.print(training_table(history))
    for verdict in history["verdicts"]:
        terminal.print(f"{verdict['text']} {verdict['remedy']}".rstrip(), markup=False, soft_wrap=True)
