"""What ``rb train`` does and prints with a model of images."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console, registry
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.train_density import fit_density
from robustbench_lite.cli.train_inputs import splits
from robustbench_lite.cli.train_stopping import begin, ended, keep

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_lite.training.generators import TrainedGenerator
    from robustbench_lite.training.options import TrainingOptions


def generator_of(text: str) -> Any | None:
    """The model of images that ``--model`` describes, or None if it describes a classifier."""
    from robustbench_lite.classifiers.loading import model_call
    from robustbench_lite.references import is_reference

    call = model_call(text)
    known = registry.canonical_name("generator", call.name) is not None
    own = is_reference(call.name) and registry.canonical_name("model", call.name) is None
    if known or (own and getattr(registry.load("generator", call.name), "kind", None) == "generator"):
        return registry.make_one("generator", text)
    return None


def run_generator_training(
    common: Common, maker: Any, options: TrainingOptions, out: Path, state: Path, *, resume: bool
) -> None:
    """Train on the images of the train split, choose on the val split, write the file."""
    if not hasattr(maker, "network"):
        print_record(fit_density(common, maker, options, out), as_json=common.json)
        return
    with console.busy("loading", quiet=common.quiet):
        from robustbench_lite.classifiers.loading import resolve_device
        from robustbench_lite.generative.bounds import assess
        from robustbench_lite.generative.latent import VariationalModel
        from robustbench_lite.generative.loading import save_generator
        from robustbench_lite.training.tensors import images_in_memory
        from robustbench_lite.weights import check_writable

        inputs = common.inputs()
        device = resolve_device(common.device)
        train_set, val_set = splits(common)
        maker.check(len(train_set), train_set.image_shape)
    spec = registry.spec(maker)
    plan = {
        "model": spec,
        "data": inputs.data,
        "train_images": len(train_set),
        "val_images": len(val_set),
        "epochs": options.epochs,
        "checkpoint": str(out),
    }
    if common.dry_run:
        print_record(plan, as_json=common.json)
        return
    check_writable(out)
    train, val = images_in_memory(train_set), images_in_memory(val_set)
    begin(state, resume=resume, quiet=common.quiet)
    trained = _trained(common, spec, train, val, options, device, state)
    about = {"data": train_set.spec, "train_manifest_sha256": train_set.manifest_hash}
    history = {**trained.history, **about}
    keep(out, state, history, lambda path: save_generator(path, trained.spec, trained.network, history))
    epochs = trained.history["epochs"]
    figures = {
        "epochs": len(epochs),
        "best_epoch": trained.history["best_epoch"],
        "val_loss": epochs[trained.history["best_epoch"] - 1]["val_loss"],
    }
    if isinstance(trained.network, VariationalModel):
        with console.busy("assessing", quiet=common.quiet):
            figures |= asdict(assess(trained.network, val.to(device), seed=common.seed))
    print_record({**plan, **figures}, as_json=common.json)
    _warn(figures)
    ended(history, out, state)


def _trained(
    common: Common, spec: str, train: Tensor, val: Tensor, options: TrainingOptions, device: str, state: Path
) -> TrainedGenerator:
    """Train, and tell how it goes."""
    from robustbench_lite.training.generators import GeneratorEpoch, train_generator

    with console.progress_bar(quiet=common.quiet) as update:

        def on_epoch(epoch: GeneratorEpoch) -> None:
            update(epoch.epoch, options.epochs, f"validation loss {epoch.val_loss:.4g}")
            if common.verbose:
                console.note(
                    f"epoch {epoch.epoch}: train loss {epoch.train_loss:.6g}, validation loss {epoch.val_loss:.6g}"
                )

        return train_generator(spec, train, val, options, device=device, on_epoch=on_epoch, resume=state)


def _warn(figures: dict[str, Any]) -> None:
    if figures.get("posterior_collapse"):
        console.note(
            f"warning: posterior collapse: {figures['active_units']} of {figures['latents']} latents are used. "
            "Give more --epochs, a smaller beta, or another likelihood."
        )
    if "no likelihoods" in figures.get("nats_of", ""):
        console.note(
            "warning: these images are grey, and bernoulli is no likelihood of grey values. "
            "Give binarise=stochastic, or likelihood=logistic or continuous_bernoulli."
        )


def print_record(result: dict[str, Any], *, as_json: bool) -> None:
    """A line per entry, or one JSON document."""
    if as_json:
        console.print_json(result)
        return
    for key, value in result.items():
        sys.stdout.write(f"{key.replace('_', ' ')}: {_text(key, value)}\n")


def _text(key: str, value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_text(key, one) for one in value)
    if isinstance(value, float):
        return f"{value:.1%}" if key == "val_accuracy" else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
    return str(value)
