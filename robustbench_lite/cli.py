"""The command ``rb``: argument parsing and printing, nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from robustbench_lite import __version__, console
from robustbench_lite.cli_options import Baseline, Common, DetectorFolder, SaveImages, with_common
from robustbench_lite.cli_outliers import group as outliers_group
from robustbench_lite.cli_shift import shift
from robustbench_lite.cli_train import train
from robustbench_lite.errors import UnknownNameError


class _PlainGroup(TyperGroup):
    """The list of commands in plain text: for it alone, rich's part of typer would double the waiting."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "rich_markup_mode": None})


app = typer.Typer(
    name="rb",
    cls=_PlainGroup,
    help="What is left of an image classifier's accuracy when it is attacked, or when its world changes.\n\n"
    "Start with: rb attack --method pgd, or rb shift --lighting night.",
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


_As8Bit = Annotated[
    bool, typer.Option("--as-8bit", help="Round adversarial images to 8 bits, within the budget, and score those.")
]
_NoChecks = Annotated[
    bool, typer.Option("--no-checks", help="Leave out the trust checks that attack some images again.")
]


@app.command()
@with_common
@console.guarded
def attack(
    common: Common,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-a", help="A name (rb ls attacks) or a spec; may be repeated. (default: pgd)"),
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Budget: 0.03 or 8/255. (default: suits the data)")] = None,
    norm: Annotated[str | None, typer.Option(help="linf, l2 or l1.")] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps.")] = None,
    step_size: Annotated[str | None, typer.Option(help="Length of a step: 0.01 or 2/255.")] = None,
    restarts: Annotated[int | None, typer.Option(help="Tries, each from a random start.")] = None,
    loss: Annotated[str | None, typer.Option(help="ce, margin or dlr.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="To reach: a class index, least-likely, or (0.5, 0.5, 0), a share each."),
    ] = None,
    detector: DetectorFolder = None,
    as_8bit: _As8Bit = False,
    no_checks: _NoChecks = False,
    save_images: SaveImages = False,
) -> None:
    """Accuracy under adversarial attack, beside the clean accuracy.

    Examples:

      rb attack --method pgd

      rb attack --method pgd --eps 4/255 --steps 20 --model net.safetensors --data folder:parts

      rb attack --method cw --first 100 --json
    """
    from robustbench_lite.cli_evaluate import run_evaluation, with_arguments
    from robustbench_lite.specs import format_value, parse_value

    flags = {
        "eps": eps,
        "norm": norm,
        "steps": steps,
        "step_size": step_size,
        "restarts": restarts,
        "loss": loss,
        "target": target,
    }
    given = {k: parse_value(v) if isinstance(v, str) else v for k, v in flags.items() if v is not None}
    extra = ", ".join(f"{key}={format_value(value)}" for key, value in given.items())
    specs = [with_arguments("attack", name, extra) for name in method or ["pgd"]]
    run_evaluation(
        "attack",
        common,
        specs,
        detector=detector,
        as_8bit=as_8bit,
        save_images=save_images,
        probes=not no_checks,
    )


app.command()(shift)
app.add_typer(outliers_group(_PlainGroup))


@app.command(name="eval")
@with_common
@console.guarded
def evaluate(
    common: Common,
    on: Annotated[list[str], typer.Option("--on", help="A condition: attack, shift or chain; may be repeated.")],
    detector: DetectorFolder = None,
    as_8bit: _As8Bit = False,
    no_checks: _NoChecks = False,
    save_images: SaveImages = False,
) -> None:
    """Accuracy under any list of conditions, written as specs.

    Examples:

      rb eval --on "pgd(eps=0.1)" --on "night(severity=3)" --on "night(severity=2) + pgd(eps=0.05)"

      rb eval --on "mine.py:Scratch(depth=0.2)" --model net.safetensors --data folder:parts
    """
    from robustbench_lite.cli_evaluate import run_evaluation

    run_evaluation(
        "eval",
        common,
        on,
        detector=detector,
        as_8bit=as_8bit,
        save_images=save_images,
        probes=not no_checks,
    )


app.command()(train)


@app.command()
@with_common
@console.guarded
def generate(
    context: typer.Context,
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
    from robustbench_lite.cli_generate import run_generation

    run_generation(
        common,
        n=n,
        reconstruct=reconstruct,
        traverse=traverse,
        interpolate=interpolate,
        path=path,
        data_given=str(context.get_parameter_source("data")).endswith("COMMANDLINE"),
        overwrite=overwrite,
    )


@app.command()
@console.guarded
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page. (default: report.html in the run)")
    ] = None,
    baseline: Baseline = None,
) -> None:
    """Make the HTML report of a run: one file that opens from disk.

    Example: rb report runs/20260131T120000Z-attack-0a1b2c3d
    """
    from robustbench_lite.reports.html import write_report
    from robustbench_lite.runs import read_run

    target = out or run / "report.html"
    write_report(read_run(run), target, None if baseline is None else read_run(baseline))
    sys.stdout.write(f"{target}\n")


@app.command()
@console.guarded
def show(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    baseline: Baseline = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the table of a run again.

    Example: rb show runs/20260131T120000Z-attack-0a1b2c3d
    """
    from robustbench_lite.cli_evaluate import print_run
    from robustbench_lite.runs import read_run

    reference = None if baseline is None else read_run(baseline)
    print_run(read_run(run), as_json=json, quiet=False, baseline=reference)


@app.command()
@console.guarded
def ls(
    what: Annotated[
        str, typer.Argument(help="attacks, shifts, models, data, generators, defences or scores.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List attacks, shifts, models and data sets with their parameters.

    Example: rb ls shifts
    """
    from robustbench_lite.reports.listing import KINDS, describe, print_listing

    if what and what not in KINDS:
        raise UnknownNameError("list", what, KINDS)
    if json:
        found = describe(what)
        console.print_json({name: [d._asdict() for d in listed] for name, listed in found.items()})
    else:
        print_listing(what)


@app.command()
@with_common
@console.guarded
def doctor(common: Common) -> None:
    """Check the installation, and with --model the network: logits, inputs, determinism, accuracy.

    Examples:

      rb doctor

      rb doctor --model net.safetensors --data folder:parts
    """
    from robustbench_lite.cli_doctor import run_doctor

    run_doctor(common)
