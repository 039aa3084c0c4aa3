"""What ``rb train`` does and prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console
from robustbench_lite.cli_options import Common
from robustbench_lite.cli_train_generator import generator_of, print_record, run_generator_training
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    from robustbench_lite.training.loop import TrainingOptions

DEFAULT_ARCHITECTURE = "cnn"


def run_training(
    common: Common, *, epochs: int, lr: float, weight_decay: float, patience: int, overwrite: bool
) -> None:
    """Train on the train split, choose on the val split, say how it does on the test split, write the file."""
    for flag in ("weights", "mean", "std"):
        if getattr(common, flag) is not None:
            raise InputError(f"--{flag} means nothing to training.", "Leave it out: mean and std are measured.")
    if common.split != "test":
        raise InputError(
            f"--split {common.split} means nothing to training.",
            "It learns from train, chooses on val, and reports on test.",
        )
    out = common.out or Path("net.safetensors")
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out} must end in .safetensors.", f"For example --out {out.stem}.safetensors.")
    if out.is_dir():
        raise InputError(f"{out} is a folder.", "Choose another --out.")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists already.", "Choose another --out, or give --overwrite.")
    architecture = DEFAULT_ARCHITECTURE if common.model == "demo" else common.model
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading", quiet=common.quiet):
        from robustbench_lite.training.loop import TrainingOptions

        options = TrainingOptions(
            epochs=epochs,
            lr=lr,
            weight_decay=weight_decay,
            batch_size=64 if common.batch_size is None else common.batch_size,
            patience=patience,
            seed=common.seed,
        )
        maker = generator_of(architecture)
    if maker is not None:
        run_generator_training(common, maker, options, out)
    else:
        _train_classifier(common, architecture, options, out)


def _train_classifier(common: Common, architecture: str, options: TrainingOptions, out: Path) -> None:
    with console.busy("loading", quiet=common.quiet):
        from robustbench_lite.classifiers.loading import resolve_device
        from robustbench_lite.runner import load_data
        from robustbench_lite.training.trainer import Epoch, train
        from robustbench_lite.weights import check_writable, save_checkpoint

        inputs, epochs = common.inputs(), options.epochs
        device = resolve_device(common.device)
        train_set = load_data(replace(inputs, split="train"))
        val_set = load_data(replace(inputs, split="val", limit=None, first=None))
    plan = {
        "architecture": architecture,
        "data": inputs.data,
        "train_images": len(train_set),
        "val_images": len(val_set),
        "classes": len(train_set.class_names),
        "epochs": epochs,
        "checkpoint": str(out),
    }
    if common.dry_run:
        print_record(plan, as_json=common.json)
        return
    check_writable(out)
    with console.progress_bar(quiet=common.quiet) as update:

        def on_epoch(epoch: Epoch) -> None:
            update(
                epoch.epoch,
                epochs,
                f"validation accuracy {epoch.val_accuracy:.1%}, loss {epoch.val_loss:.3f}",
            )
            if common.verbose:
                console.note(
                    f"epoch {epoch.epoch}: train loss {epoch.train_loss:.4f}, "
                    f"validation loss {epoch.val_loss:.4f}, accuracy {epoch.val_accuracy:.4f}"
                )

        trained = train(architecture, train_set, val_set, options, device=device, on_epoch=on_epoch)
    save_checkpoint(out, trained.network, trained.info)
    history = trained.info.history
    best = history["epochs"][history["best_epoch"] - 1]
    result = {
        **plan,
        "epochs": len(history["epochs"]),
        "best_epoch": history["best_epoch"],
        "val_accuracy": best["val_accuracy"],
        "val_majority": _majority(val_set.labels),
    }
    print_record(result, as_json=common.json)
    if best["val_accuracy"] <= result["val_majority"]:
        console.note("warning: it does no better than always naming the most frequent class.")
    if not common.quiet:
        console.note(f"Next: rb attack --method pgd --model {out} --data {inputs.data}")


def _majority(labels: Any) -> float:
    import numpy as np

    return float(np.bincount(labels).max() / len(labels))
