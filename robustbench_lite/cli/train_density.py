"""What ``rb train`` does with a density model: it is fitted at once, and kept as a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console, registry
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.train_inputs import splits
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    from robustbench_lite.training.options import TrainingOptions

LIKELIHOOD = "continuous density"
"""What its nats are: of the values as they are, not of grey levels. They compare with no other family's."""


def fit_density(common: Common, maker: Any, options: TrainingOptions, out: Path) -> dict[str, Any]:
    """Fit to the train split and write the file.

    Returns:
        What there is to print; with --dry-run what would be done.

    Raises:
        InputError: a model that cannot be kept, options that mean nothing to it, or images that do not do.
    """
    from robustbench_lite.generative.loading import save_generator
    from robustbench_lite.generative.pixels import bits_per_dim
    from robustbench_lite.training.tensors import images_in_memory
    from robustbench_lite.weights import check_writable

    spec = registry.spec(maker)
    _check(common, spec, maker, options)
    inputs = common.inputs()
    train_set, val_set = splits(common)
    maker.check(len(train_set), train_set.image_shape)
    plan = {
        "model": spec,
        "data": inputs.data,
        "train_images": len(train_set),
        "val_images": len(val_set),
        "checkpoint": str(out),
    }
    if common.dry_run:
        return plan
    check_writable(out)
    with console.busy(f"fitting {spec}", quiet=common.quiet):
        train, val = (images_in_memory(images).numpy() for images in (train_set, val_set))
        model = maker.fit(train, common.seed)
        nats = float(model.log_likelihood(val).mean())
    figures = {
        "likelihood": LIKELIHOOD,
        "val_nats": nats,
        "val_bits_per_dim": bits_per_dim(nats, val[0].size),
    }
    counts = {"train_images": len(train), "val_images": len(val), "seed": common.seed}
    about = {"data": train_set.spec, "train_manifest_sha256": train_set.manifest_hash}
    save_generator(out, spec, model, {**counts, **about, **figures})
    return {**plan, **counts, **figures}


def _check(common: Common, spec: str, maker: Any, options: TrainingOptions) -> None:
    if not hasattr(maker, "restore"):
        raise InputError(f"{spec} cannot be kept in a file: its class has no restore().", "Write one.")
    usual = type(options)()
    changed = [
        name
        for name in ("epochs", "lr", "weight_decay", "patience")
        if getattr(options, name) != getattr(usual, name)
    ]
    changed += ["batch_size"] * (common.batch_size is not None) + ["device"] * (common.device != "auto")
    if changed:
        flag = f"--{changed[0].replace('_', '-')}"
        raise InputError(
            f"{flag} means nothing to {spec}: it is fitted, not trained step by step.", "Leave it out."
        )
