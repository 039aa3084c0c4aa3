"""The options that the commands have in common that make a run: ``rb attack``, ``rb eval`` and ``rb shift``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class Running:
    """How a run is made, whatever is done to the images."""

    detector: Annotated[
        Path | None,
        typer.Option(
            "--detector",
            metavar="FOLDER",
            help="An outlier detector beside the network: which errors does it flag? Runs evade, too.",
        ),
    ] = None
    save_images: Annotated[
        bool, typer.Option("--save-images", help="Write every image of every condition: PNG, and one .npz each.")
    ] = False
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with an unfinished run of the same: finished batches are not computed again."
        ),
    ] = False
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Part I of N of the images; rb merge joins the parts."),
    ] = None


@dataclass(frozen=True)
class Attacking(Running):
    """The same where images may be attacked."""

    as_8bit: Annotated[
        bool,
        typer.Option("--as-8bit", help="Round adversarial images to 8 bits, within the budget, and score those."),
    ] = False
    no_checks: Annotated[
        bool, typer.Option("--no-checks", help="Leave out the trust checks that attack some images again.")
    ] = False
