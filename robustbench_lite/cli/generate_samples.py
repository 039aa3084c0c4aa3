"""The sheet of ``rb generate`` with samples, and what there is to say of them beside the plain histogram's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from robustbench_lite import registry
from robustbench_lite.cli.generate_views import Made, spread
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.table import Table

    from robustbench_lite.cli.generate import Opened
    from robustbench_lite.generative.bounds import Assessment
    from robustbench_lite.generative.two_sample import TwoSample

BASELINE = "histogram"
MOST_WEIGHTED = 10**7
"""Values drawn for the importance-weighted bound: 255 images of 28×28 with k = 50, spread evenly."""
_Images = dict[str, "npt.NDArray[np.float32]"]
_Figures = dict[str, dict[str, float]]


def with_samples(
    opened: Opened,
    model: Any,
    images: _Images,
    groups: Sequence[str] | None,
    data: str,
    n: int,
    seed: int,
) -> Made:
    """Real images, spread over the test split; then samples, the model's own last.

    Args:
        opened: what the model is.
        model: the fitted model.
        images: of the train and the test split; without them there is nothing to compare with.
        groups: one per test image, or None.
        data: what the images were asked for as.
        n: images in each block.
        seed: of everything random.
    """
    from robustbench_lite.generative.latent_space import draw_samples
    from robustbench_lite.sheets import Block

    if not images:
        return Made([Block(f"samples of {opened.spec}", draw_samples(model, n, seed))], {"n": n})
    models = {opened.spec: model}
    if opened.spec != BASELINE:
        models[BASELINE] = registry.make_one("generator", BASELINE).fit(images["train"], seed)
    figures = {name: _figures(m, images) for name, m in models.items() if hasattr(m, "sample")}
    blocks = [Block(f"real images: {data}, test", images["test"][spread(images["test"], n)])]
    for name, found in reversed(models.items()):
        bits = f": {figures[name]['bits_per_dim_test']:.2f} bits/dim on test" if name in figures else ""
        blocks.append(Block(f"samples of {name}{bits}", draw_samples(found, n, seed)))
    compared, notes = _compared(models, images, groups, seed)
    result = {**figures.get(opened.spec, {}), "two_sample": _document(compared, opened.spec)}
    tables: list[Any] = [_likelihoods(data, figures, images)] * bool(figures)
    if (bounds := _bounds(model, images["test"], seed)) is not None:
        result["bounds"] = asdict(bounds)
        tables.append(_bounded(opened.spec, bounds, images["test"][0].size))
    if compared is not None:
        tables.append(_told_apart(compared))
    return Made(blocks, result, tables, notes)


def _figures(density: Any, images: _Images) -> dict[str, float]:
    """Mean log likelihood of both splits, in both units."""
    from robustbench_lite.generative.pixels import bits_per_dim

    nats = {split: float(density.log_likelihood(found).mean()) for split, found in images.items()}
    dimensions = images["train"][0].size
    return {
        **{f"nats_{split}": value for split, value in nats.items()},
        **{f"bits_per_dim_{split}": bits_per_dim(value, dimensions) for split, value in nats.items()},
    }


def _bounds(model: Any, images: npt.NDArray[np.float32], seed: int) -> Assessment | None:
    """What a variational autoencoder says of the test images; None of any other model."""
    import torch

    from robustbench_lite.generative.bounds import assess
    from robustbench_lite.generative.latent import VariationalModel

    if not isinstance(model, VariationalModel):
        return None
    parameter = next(model.parameters()) if isinstance(model, torch.nn.Module) else torch.empty(0)
    return assess(model, torch.from_numpy(images).to(parameter.device), seed=seed, most_values=MOST_WEIGHTED)


def _bounded(spec: str, found: Assessment, dimensions: int) -> Table:
    """Apart from the densities' table, because the numbers are of something else."""
    from rich.table import Table
    from rich.text import Text

    from robustbench_lite.generative.pixels import bits_per_dim

    title = (
        f"{spec}, likelihood {found.likelihood}: bounds on minus the log likelihood, test\n"
        f"nats are {found.nats_of}; they compare with those of no other family or table"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("bound")
    for heading in ("n", "nats per image", "bits per dimension"):
        table.add_column(heading, justify="right")
    for name, n, nats in (
        ("-ELBO", found.n, found.elbo),
        (f"importance-weighted, k={found.k}", found.importance_images, found.importance),
    ):
        table.add_row(Text(name), str(n), f"{-nats:.2f}", f"{bits_per_dim(nats, dimensions):.3f}")
    return table


def _compared(
    models: dict[str, Any], images: _Images, groups: Sequence[str] | None, seed: int
) -> tuple[TwoSample | None, list[str]]:
    """The two-sample test; where it cannot be had, why."""
    from robustbench_lite.generative.latent_space import draw_samples
    from robustbench_lite.generative.two_sample import compare_samples

    samplers = {name: partial(draw_samples, model, seed=seed) for name, model in models.items()}
    if groups is not None and len(groups) != len(images["test"]):  # damaged images were left out
        groups = None
    try:
        return compare_samples(images["train"], images["test"], samplers, groups=groups, seed=seed), []
    except InputError as error:
        return None, [f"note: samples are not compared with real images: {error.what}"]


def _document(compared: TwoSample | None, spec: str) -> dict[str, Any] | None:
    if compared is None:
        return None
    models = {"model" if name == spec else name: asdict(told) for name, told in compared.models.items()}
    return {"n": compared.n, "features": compared.features, "real": asdict(compared.floor), **models}


def _likelihoods(data: str, figures: _Figures, images: _Images) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"density models on {data}", title_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("split")
    for heading in ("n", "nats per image", "bits per dimension"):
        table.add_column(heading, justify="right")
    for name, found in figures.items():
        for split in images:
            nats, bits = found[f"nats_{split}"], found[f"bits_per_dim_{split}"]
            table.add_row(Text(name), split, str(len(images[split])), f"{nats:.2f}", f"{bits:.3f}")
    return table


def _told_apart(compared: TwoSample) -> Table:
    from rich.table import Table
    from rich.text import Text

    title = f"told from {compared.n} real images (50 %: not at all)\nby {compared.features}"
    table = Table(title=title, title_justify="left")
    table.add_column("images", overflow="fold")
    for heading in ("accuracy", "95 % interval", "KID"):
        table.add_column(heading, justify="right")
    for name, told in {"other real images": compared.floor, **compared.models}.items():
        interval = f"{told.ci_low:.1%} to {told.ci_high:.1%}"
        table.add_row(Text(name), f"{told.accuracy:.1%}", interval, f"{told.kid:.4f}")
    return table
