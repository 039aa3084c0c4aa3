"""The command ``rb``: argument parsing and printing, nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from robustbench_lite import __version__, console
from robustbench_lite.cli_options import Common, with_common
from robustbench_lite.errors import ExitCode, InputError, UnknownNameError

if TYPE_CHECKING:
    from robustbench_lite.types import Condition


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
_OWN = (
    "Your own network and images: rb {} --model net.safetensors --data folder:PATH (train one: rb train --help)."
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


@app.command()
@with_common
@console.guarded
def attack(
    common: Common,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-a", help="fgsm, pgd, cw, or a spec; may be repeated. (default: pgd)"),
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Budget: 0.03 or 8/255. (default: suits the data)")] = None,
    norm: Annotated[str | None, typer.Option(help="linf, l2 or l1.")] = None,
    steps: Annotated[int | None, typer.Option(help="Gradient steps.")] = None,
    step_size: Annotated[str | None, typer.Option(help="Length of a step: 0.01 or 2/255.")] = None,
    restarts: Annotated[int | None, typer.Option(help="Tries, each from a random start.")] = None,
    loss: Annotated[str | None, typer.Option(help="ce or margin.")] = None,
    target: Annotated[str | None, typer.Option(help="Class index to reach, or least-likely.")] = None,
) -> None:
    """Accuracy under adversarial attack, beside the clean accuracy.

    Examples:

      rb attack --method pgd

      rb attack --method pgd --eps 4/255 --steps 20 --model net.safetensors --data folder:parts

      rb attack --method cw --first 100 --json
    """
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
    _evaluate("attack", common, [_with_arguments("attack", name, extra) for name in method or ["pgd"]])


@app.command()
@with_common
@console.guarded
def shift(
    common: Common,
    lighting: Annotated[list[str] | None, typer.Option(help="night.")] = None,
    optics: Annotated[list[str] | None, typer.Option(help="gaussian_blur.")] = None,
    sensor: Annotated[list[str] | None, typer.Option(help="gaussian_noise.")] = None,
    digital: Annotated[list[str] | None, typer.Option(help="brightness, contrast, jpeg.")] = None,
    geometry: Annotated[list[str] | None, typer.Option(help="rotation.")] = None,
    severity: Annotated[
        str, typer.Option("--severity", "-s", help="1-5, 3, 0.5,1,2: from 0 (nothing) to 5.")
    ] = "1-5",
) -> None:
    """Accuracy under synthetic distribution shift, severity by severity.

    Every option takes a name or a spec, and may be repeated.

    Examples:

      rb shift --lighting night

      rb shift --sensor gaussian_noise --digital jpeg --severity 1,3,5 --data folder:parts --model net.safetensors

      rb shift --lighting "night(exposure_ev=-3, auto_exposure=0)"
    """
    asked = {
        "lighting": lighting,
        "optics": optics,
        "sensor": sensor,
        "digital": digital,
        "geometry": geometry,
    }
    specs = [
        spec
        for family, wanted in asked.items()
        for name in wanted or []
        for spec in _severities(_of_family(family, name), severity)
    ]
    if not specs:
        raise InputError(
            "no shift was named.", "For example: rb shift --lighting night. All of them: rb ls shifts."
        )
    _evaluate("shift", common, specs)


@app.command(name="eval")
@with_common
@console.guarded
def evaluate(
    common: Common,
    on: Annotated[list[str], typer.Option("--on", help="A condition: attack, shift or chain; may be repeated.")],
) -> None:
    """Accuracy under any list of conditions, written as specs.

    Examples:

      rb eval --on "pgd(eps=0.1)" --on "night(severity=3)" --on "night(severity=2) + pgd(eps=0.05)"

      rb eval --on "mine.py:Scratch(depth=0.2)" --model net.safetensors --data folder:parts
    """
    _evaluate("eval", common, on)


@app.command()
@with_common
@console.guarded
def train(
    common: Common,
    epochs: Annotated[int, typer.Option(help="At the most.")] = 30,
    lr: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 3e-3,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.01,
    patience: Annotated[int, typer.Option(help="Epochs without a better validation loss.")] = 10,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Train a small classifier; the checkpoint says all that --model needs to know.

    --model names the architecture: cnn (default), resnet, mlp, linear, torchvision:NAME, file.py:factory.
    --limit and --first hold for the training images.

    Examples:

      rb train --data digits --out net.safetensors

      rb train --data folder:parts --input-size 96 --channels 1 --model "cnn(width=16)" --out parts.safetensors
    """
    from robustbench_lite.cli_train import run_training

    run_training(common, epochs=epochs, lr=lr, weight_decay=weight_decay, patience=patience, overwrite=overwrite)


@app.command()
@console.guarded
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page. (default: report.html in the run)")
    ] = None,
) -> None:
    """Make the HTML report of a run: one file that opens from disk.

    Example: rb report runs/20260131T120000Z-attack-0a1b2c3d
    """
    from robustbench_lite.reports.html import write_report
    from robustbench_lite.runs import read_run

    target = out or run / "report.html"
    write_report(read_run(run), target)
    sys.stdout.write(f"{target}\n")


@app.command()
@console.guarded
def show(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the table of a run again.

    Example: rb show runs/20260131T120000Z-attack-0a1b2c3d
    """
    from robustbench_lite.runs import read_run

    _print_run(read_run(run), as_json=json, quiet=False)


@app.command()
@console.guarded
def ls(
    what: Annotated[str, typer.Argument(help="attacks, shifts, models, data; nothing for all.")] = "",
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


def _with_arguments(kind: str, text: str, extra: str) -> str:
    """A spec with more arguments; what the spec says itself goes first, and twice is refused by the parser."""
    from robustbench_lite.registry import is_reference, names

    head, bracket, rest = text.partition("(")
    known = names(kind)
    if not is_reference(head):
        from robustbench_lite.registry import canonical_name

        if canonical_name(kind, head.strip()) is None:
            raise UnknownNameError("attack", head.strip(), known)
    if not extra:
        return text
    if not bracket:
        return f"{head}({extra})"
    inside = rest.rstrip().removesuffix(")").strip()
    return f"{head}({inside}, {extra})" if inside else f"{head}({extra})"


def _of_family(family: str, text: str) -> str:
    """The spec, if its shift belongs to the family that the option names."""
    from robustbench_lite import registry

    name = text.partition("(")[0].strip()
    own = [shift for shift in registry.names("shift") if registry.family(shift) == family]
    known = registry.canonical_name("shift", name)
    if known is None:
        raise UnknownNameError(f"{family} shift", name, own)
    if known not in own:
        raise InputError(f"{known} is no {family} shift.", f"Write --{registry.family(known)} {known}.")
    return text


def _severities(text: str, severities: str) -> list[str]:
    """One spec per severity; a spec that says its severity stays as it is."""
    from robustbench_lite.registry import make, severity_of
    from robustbench_lite.specs import format_value, parse

    (part,) = make(text).parts
    if severity_of(part) is None or "severity" in parse(text)[0].arguments:
        return [text]
    return [_with_arguments("shift", text, f"severity={format_value(level)}") for level in _levels(severities)]


def _levels(text: str) -> list[float]:
    """``1-5`` as 1, 2, 3, 4, 5; ``0.5,1,2`` as it is."""
    from robustbench_lite.specs import parse_number

    low, dash, high = text.partition("-")
    if dash and low.strip().isdecimal() and high.strip().isdecimal() and int(low) <= int(high):
        return [float(level) for level in range(int(low), int(high) + 1)]
    return [parse_number(level) for level in text.split(",")]


def _evaluate(command: str, common: Common, conditions: list[str]) -> None:
    """Prepare, run and print."""
    from robustbench_lite.registry import make

    made: list[Condition] = [make(text) for text in conditions]  # a wrong name is told before torch is loaded
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading the network and the images", quiet=common.quiet):
        from robustbench_lite import session

        prepared = session.prepare(common.inputs(), made)
    if common.verbose:
        for line in prepared.classifier.notes:
            console.note(line)
    if common.dry_run:
        _print_plan(prepared, as_json=common.json)
        return
    with console.progress_bar(quiet=common.quiet) as update:
        run = session.run(prepared, command=command, out=common.out, on_progress=lambda p: update(*p))
    _print_run(run, as_json=common.json, quiet=common.quiet)
    if prepared.inputs.demo and not common.quiet:
        console.note(_OWN.format(command))
    if run.record.status == "interrupted":
        console.note(f"interrupted; what was finished is in {run.path}")
        raise typer.Exit(ExitCode.INTERRUPTED)


def _print_run(run: Any, *, as_json: bool, quiet: bool) -> None:
    from robustbench_lite.reports.document import document
    from robustbench_lite.reports.table import comparison_table

    if as_json:
        console.print_json(document(run))
        return
    console.stdout().print(comparison_table(run))
    for warning in run.record.warnings:
        console.note(f"warning: {warning}")
    for condition in run.record.conditions:
        for warning in condition.warnings:
            console.note(f"warning: {condition.spec}: {warning}")
    if run.record.data.n_skipped:
        first = run.record.data.skipped[0]["file"]
        console.note(f"warning: {run.record.data.n_skipped} images could not be read (first: {first}).")
    sys.stdout.write(f"run: {run.path}\n")
    if not quiet:
        console.note(f"As a page: rb report {run.path}")


def _print_plan(prepared: Any, *, as_json: bool) -> None:
    from robustbench_lite.reports.listing import plan_table
    from robustbench_lite.session import cost

    plan = {
        "model": prepared.classifier.spec,
        "data": prepared.dataset.spec,
        "n": len(prepared.dataset),
        "conditions": cost(prepared),
    }
    if as_json:
        console.print_json(plan)
    else:
        console.stdout().print(plan_table(plan))
