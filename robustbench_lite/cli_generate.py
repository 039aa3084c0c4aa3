"""What ``rb generate`` does and prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console, registry
from robustbench_lite.cli_files import result_file, write_file
from robustbench_lite.cli_options import Common
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.generative.density import Density
    from robustbench_lite.sheets import Block

DEFAULT_MODEL, BASELINE = "pca", "histogram"
MOST_TILES = 1000
MOST_VALUES = 2**27
"""Values of a split that is loaded: 1 GiB as float64, of which fitting makes a few copies."""


def run_generation(common: Common, *, n: int, overwrite: bool) -> None:
    """Fit to the train split, say how likely both splits are, and write a sheet of samples."""
    out = _checked(common, n, overwrite)
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading", quiet=common.quiet):
        model: Any = registry.make_one("generator", DEFAULT_MODEL if common.model == "demo" else common.model)
        if not hasattr(model, "fit"):
            name = registry.spec(model)
            raise InputError(f"{name} must be trained first.", f"rb train --model {name!r} --out net.safetensors.")
        from robustbench_lite.runner import load_data
        from robustbench_lite.sheets import contact_sheet
        from robustbench_lite.weights import check_writable

        inputs = common.inputs()
        train_set = load_data(replace(inputs, split="train"))
        test_set = load_data(replace(inputs, split="test", limit=None, first=None))
        model.check(len(train_set), train_set.image_shape)
    plan = {
        "model": registry.spec(model),
        "data": inputs.data,
        "n_train": len(train_set),
        "n_test": len(test_set),
        "sheet": str(out),
    }
    if common.dry_run:
        _print(plan, [], as_json=common.json)
        return
    check_writable(out)
    with console.busy(f"fitting {plan['model']}", quiet=common.quiet):
        train, test = _images(train_set), _images(test_set)
        baseline = registry.make_one("generator", BASELINE)
        wanted: list[Any] = [model] if model == baseline else [model, baseline]
        fitted = {registry.spec(m): m.fit(train, common.seed) for m in wanted}
        figures = {name: _figures(density, train, test) for name, density in fitted.items()}
        write_file(out, contact_sheet(_blocks(inputs.data, test, fitted, figures, n, common.seed)))
    sheet = plan.pop("sheet")
    _print({**plan, **figures[str(plan["model"])], "sheet": sheet}, list(figures.items()), as_json=common.json)


def _checked(common: Common, n: int, overwrite: bool) -> Path:
    """Refuse what means nothing here; where the sheet goes."""
    unused = {"weights": None, "mean": None, "std": None, "batch_size": None, "device": "auto", "split": "test"}
    for field, default in unused.items():
        if getattr(common, field) != default:
            remedy = "It learns from train and reports on both train and test." if field == "split" else ""
            flag = f"--{field.replace('_', '-')}"
            raise InputError(f"{flag} means nothing to a density model.", remedy or "Leave it out.")
    if not 1 <= n <= MOST_TILES:
        raise InputError(f"--n {n} is refused.", f"Give 1 to {MOST_TILES}.")
    return result_file(common.out, "sheet.png", overwrite=overwrite)


def _images(dataset: Dataset) -> npt.NDArray[np.float32]:
    """All images of a split (N, C, H, W) that can be read."""
    import math

    import numpy as np

    values = len(dataset) * math.prod(dataset.image_shape)
    if values > MOST_VALUES:
        raise InputError(
            f"the {dataset.split} split of {dataset.spec} is {values:,} values; {MOST_VALUES:,} fit.",
            "Give --input-size, or fewer images with --limit (for training).",
        )
    batches = list(dataset.batches(128))
    skipped = [*dataset.skipped, *(s for batch in batches for s in batch.skipped)]
    if skipped:
        console.note(f"warning: {len(skipped)} images could not be read (first: {skipped[0].file}).")
    found = [batch.images.numpy() for batch in batches if len(batch.labels)]
    if not found:
        raise InputError(f"{dataset.spec} holds no image that can be read.", "Check the files.")
    if len({images.shape[1:] for images in found}) > 1:
        raise InputError(f"the images of {dataset.spec} differ in shape.", "Give --input-size (and --channels).")
    return np.concatenate(found)


def _figures(
    density: Density, train: npt.NDArray[np.float32], test: npt.NDArray[np.float32]
) -> dict[str, float | int]:
    from robustbench_lite.generative.pixels import bits_per_dim

    dimensions = train[0].size
    nats = {name: float(density.log_likelihood(images).mean()) for name, images in _splits(train, test)}
    return {
        **{f"n_{name}": len(images) for name, images in _splits(train, test)},
        **{f"nats_{name}": value for name, value in nats.items()},
        **{f"bits_per_dim_{name}": bits_per_dim(value, dimensions) for name, value in nats.items()},
    }


def _splits(
    train: npt.NDArray[np.float32], test: npt.NDArray[np.float32]
) -> tuple[tuple[str, npt.NDArray[np.float32]], ...]:
    return (("train", train), ("test", test))


def _blocks(
    data: str,
    test: npt.NDArray[np.float32],
    fitted: dict[str, Density],
    figures: dict[str, dict[str, float | int]],
    n: int,
    seed: int,
) -> list[Block]:
    """Real images, spread over the test split; then samples, the model's own last."""
    import numpy as np

    from robustbench_lite.sheets import Block

    spread = np.linspace(0, len(test) - 1, min(n, len(test))).round().astype(int)
    samples = [
        Block(
            f"samples of {name}: {figures[name]['bits_per_dim_test']:.2f} bits/dim on test",
            density.sample(n, seed),
        )
        for name, density in reversed(fitted.items())
    ]
    return [Block(f"real images: {data}, test", test[spread]), *samples]


def _print(result: dict[str, Any], figures: list[tuple[str, dict[str, float | int]]], *, as_json: bool) -> None:
    if as_json:
        console.print_json(result)
        return
    from rich.table import Table
    from rich.text import Text

    out = console.stdout()
    if not figures:
        for key, value in result.items():
            out.print(f"{key.replace('_', ' ')}: {value}", markup=False)
        return
    table = Table(title=f"density models on {result['data']}", title_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("split")
    for heading in ("n", "nats per image", "bits per dimension"):
        table.add_column(heading, justify="right")
    for name, found in figures:
        for split in ("train", "test"):
            nats, bits = found[f"nats_{split}"], found[f"bits_per_dim_{split}"]
            table.add_row(Text(name), split, str(found[f"n_{split}"]), f"{nats:.2f}", f"{bits:.3f}")
    out.print(table)
    out.print(f"sheet: {result['sheet']}", markup=False, soft_wrap=True)
