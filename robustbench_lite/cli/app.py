"""The command ``rb``: argument parsing and printing, nothing else."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from robustbench_lite import __version__, console
from robustbench_lite.cli.attack import attack
from robustbench_lite.cli.compare import compare
from robustbench_lite.cli.config import group as config_group
from robustbench_lite.cli.eval import evaluate
from robustbench_lite.cli.gate import gate
from robustbench_lite.cli.init import init
from robustbench_lite.cli.merge import merge
from robustbench_lite.cli.options import UNREAD_LEARNING, Common, with_common
from robustbench_lite.cli.outliers import group as outliers_group
from robustbench_lite.cli.plot import plot
from robustbench_lite.cli.report import report, show
from robustbench_lite.cli.shift import shift
from robustbench_lite.cli.train import train
from robustbench_lite.errors import UnknownNameError


class _PlainGroup(TyperGroup):
    """The list of commands in plain text: for it alone, rich's part of typer would double the waiting."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "rich_markup_mode": None})


app = typer.Typer(
    name="rb",
    cls=_PlainGroup,
    help="What is left of an image classifier's accuracy when it is attacked, or when its world changes.\n\n"
    "Start with: rb attack --method pgd, or rb shift --lighting night; with a network of yours: rb init.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"robustbench_lite {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(attack)
app.command()(shift)
app.add_typer(outliers_group(_PlainGroup))


app.command(name="eval")(evaluate)
app.command()(merge)
app.command()(train)


@app.command()
@partial(with_common, unread=UNREAD_LEARNING)
@console.guarded
def generate(
    common: Common,
    n: Annotated[
        int | None,
        typer.Option("--n", help="Images in each block (32; 16 with --reconstruct), latents (10), or steps (9)."),
    ] = None,
    reconstruct: Annotated[
        bool, typer.Option("--reconstruct", help="Images, what comes back, and the difference.")
    ] = False,
    traverse: Annotated[
        bool, typer.Option("--traverse", help="The latents that matter most, moved one by one.")
    ] = False,
    interpolate: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="From one image to another, through the latents and through the pixels."),
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="Of --interpolate: linear or spherical. (default: suits the model)")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Show on a sheet what a model of images has learned: by default samples, beside those of a histogram.

    --model is a checkpoint of rb train, or a density model to be fitted first: pca (default), mixture, gaussian,
    histogram, or a spec; see rb ls generators. A checkpoint needs no --data for samples and traversals.
    --limit and --first hold for the training images.

    Examples:

      rb generate --model pca --data digits --out sheet.png

      rb generate --model vae.safetensors --data folder:parts --reconstruct

      rb generate --model "mixture(components=20)" --data folder:parts --input-size 32 --interpolate 0,7
    """
    from robustbench_lite.cli.generate import run_generation

    run_generation(
        common,
        n=n,
        reconstruct=reconstruct,
        traverse=traverse,
        interpolate=interpolate,
        path=path,
        data_given=common.origins["data"] != "default",
        overwrite=overwrite,
    )


app.command()(gate)
app.command()(init)
app.add_typer(config_group(_PlainGroup))
app.command()(report)
app.command()(show)
app.command()(compare)
app.command()(plot)


@app.command()
@console.guarded
def ls(
    what: Annotated[
        str, typer.Argument(help="attacks, shifts, models, data, generators, defences, scores, metrics or suites.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Whose suites are listed, too. (default: rb.toml here)"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List attacks, shifts, models, data sets, suites, and (named alone) metrics of gates.

    Example: rb ls shifts
    """
    from robustbench_lite.config.reading import load_config
    from robustbench_lite.reports.listing import LISTS, describe, print_listing

    if what and what not in LISTS:
        raise UnknownNameError("list", what, LISTS)
    own = load_config(config).config.suites if what in ("", "suites") else {}
    if json:
        found = describe(what, own)
        console.print_json({name: [d._asdict() for d in listed] for name, listed in found.items()})
    else:
        print_listing(what, own)


@app.command()
@with_common
@console.guarded
def doctor(common: Common) -> None:
    """Check the installation, and with --model the network: logits, inputs, determinism, accuracy.

    Examples:

      rb doctor

      rb doctor --model net.safetensors --data folder:parts
    """
    from robustbench_lite.cli.doctor import run_doctor

    run_doctor(common)
