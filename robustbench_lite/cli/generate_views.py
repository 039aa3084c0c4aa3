"""The sheets of ``rb generate`` that look inside a model: reconstructions, traversals, ways between two images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from robustbench_lite.sheets import Block

PATHS = ("linear", "spherical")
STOPS = 7
"""Of a traversal: -3, -2, … 3 standard deviations."""


@dataclass(frozen=True)
class Made:
    """What is shown.

    Args:
        blocks: of the sheet.
        result: for the JSON document.
        tables: for the terminal, renderable.
        notes: for stderr.
    """

    blocks: list[Block]
    result: dict[str, Any]
    tables: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def spread(images: npt.NDArray[np.floating], n: int) -> list[int]:
    """Places of at most n images, evenly over all."""
    import numpy as np

    return [int(i) for i in np.linspace(0, len(images) - 1, min(n, len(images))).round()]


def with_reconstructions(spec: str, model: Any, images: npt.NDArray[np.floating], title: str, n: int) -> Made:
    """Images under a title, what came back, and the difference."""
    from rich.text import Text

    from robustbench_lite.generative.latent_space import latent_space
    from robustbench_lite.generative.views import reconstruct
    from robustbench_lite.sheets import Block

    chosen = spread(images, n)
    space = latent_space(model, images)
    found = reconstruct(space, images[chosen])
    error = ((found.images - found.reconstructions) ** 2).reshape(len(chosen), -1).mean(axis=1)
    blocks = [
        Block(title, found.images),
        Block(f"reconstructions by {spec}, from {space.latents} numbers each", found.reconstructions),
        Block(f"difference x {found.gain}: grey is none, bright what the image has more", found.differences),
    ]
    result = {"images": chosen, "latents": space.latents, "gain": found.gain, "mse": [float(e) for e in error]}
    text = f"mean squared error of {len(chosen)} images: {error.mean():.5f}, from {space.latents} numbers each"
    return Made(blocks, result, [Text(text)])


def with_traversals(spec: str, model: Any, images: npt.NDArray[np.floating] | None, n: int) -> Made:
    """A row per latent, the most important first."""
    from rich.table import Table

    from robustbench_lite.generative.latent_space import latent_space
    from robustbench_lite.generative.views import traverse
    from robustbench_lite.sheets import Block

    space = latent_space(model, images)
    found = traverse(space, rows=n, columns=STOPS)
    words = {
        "variance": "variance of the images along it",
        "KL": "mean KL from the prior, in nats",
        "change": "mean squared change of a pixel from -1 to 1 deviations",
    }[space.measure]
    block = Block(
        f"{spec}: one of {space.latents} latents moved, the others in the middle",
        found.images.reshape(-1, *space.shape),
        STOPS,
        headings=[("deviations", [f"{value:+g}" if value else "0" for value in found.values])],
        rows=[
            f"{latent}: {space.measure} {weight:.3g}"
            for latent, weight in zip(found.latents, found.importance, strict=True)
        ],
    )
    table = Table(title=f"the latents of {spec} that matter most", title_justify="left")
    table.add_column("latent", justify="right")
    table.add_column(words, justify="right")
    for latent, weight in zip(found.latents, found.importance, strict=True):
        table.add_row(str(latent), f"{weight:.4g}")
    result = {
        "latents": found.latents,
        "measure": space.measure,
        "importance": [float(weight) for weight in found.importance],
        "deviations": [float(value) for value in found.values],
    }
    return Made([block], result, [table])


def with_interpolation(
    spec: str,
    model: Any,
    images: npt.NDArray[np.floating],
    pair: tuple[int, int],
    path: str | None,
    steps: int,
) -> Made:
    """From one image to the other, through the latents and through the pixels."""
    from rich.text import Text

    from robustbench_lite.generative.latent_space import latent_space
    from robustbench_lite.generative.views import interpolate
    from robustbench_lite.sheets import Block

    if max(pair) >= len(images):
        raise InputError(
            f"--interpolate {pair[0]},{pair[1]}: there is no image {max(pair)}.",
            f"The split has {len(images)}; they are counted from 0.",
        )
    space = latent_space(model, images)
    found = interpolate(space, images[pair[0]], images[pair[1]], steps, path)
    shares = [f"{share:.2g}" for share in found.shares]
    blocks = [
        Block(
            f"through the latents of {spec}, {found.path}; reconstructions at both ends",
            found.latent,
            steps,
            headings=[("share", shares)],
        ),
        Block(f"through the pixels, from image {pair[0]} to {pair[1]}", found.pixels, steps),
    ]
    result = {"images": list(pair), "path": found.path, "shares": [float(share) for share in found.shares]}
    return Made(blocks, result, [Text(f"way through the latents: {found.path}, in {steps} steps")])
