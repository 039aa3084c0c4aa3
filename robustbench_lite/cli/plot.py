"""The command ``rb plot``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from robustbench_lite import console
from robustbench_lite.cli.conditions import ConditionOption, wanted
from robustbench_lite.errors import InputError, UnknownNameError


@console.guarded
def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders: drawn together.")],
    kind: Annotated[
        str | None,
        typer.Option(help="severity, eps, tradeoff or risk-coverage. (default: all that the runs can give)"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A file, with --kind, or a folder. (default: plots in the first run)"),
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="svg, png or pdf. (default: svg, or as --out ends)")
    ] = None,
    condition: ConditionOption = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="In inches: 6.5x4. (default: suits what is drawn)")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Light lines on a dark ground, for slides.")] = False,
) -> None:
    """Draw runs for papers and slides: curves over severity and eps, trade-off, risk against coverage.

    Examples:

      rb plot runs/a runs/b

      rb plot runs/a runs/b --kind severity --condition "night*" --out night.pdf
    """
    from robustbench_lite.files import write_file
    from robustbench_lite.reports.plot_data import KINDS, NothingToPlotError
    from robustbench_lite.reports.plots import plot as drawn
    from robustbench_lite.reports.plots import rendered
    from robustbench_lite.runs import read_run

    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of plot", kind, KINDS)
    inches = None if size is None else _inches(size)
    folder, file, format_ = _place(runs[0], out, format_, kind)
    opened = [read_run(run) for run in runs]
    chosen = wanted(condition, opened) if condition else None
    missing = []
    for one in KINDS if kind is None else (kind,):
        try:
            figure = drawn(opened, one, chosen, size=inches, dark=dark)
        except NothingToPlotError as error:
            if kind is not None:
                raise
            missing.append(f"no {one} plot: {error}")
            continue
        target = file or folder / f"{one}.{format_}"
        write_file(target, rendered(figure, format_))
        sys.stdout.write(f"{target}\n")
    if len(missing) == len(KINDS):
        raise InputError("the runs have nothing to plot.", " ".join(missing))
    for line in missing:
        console.note(f"note: {line}")


def _inches(size: str) -> tuple[float, float]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)[x×](\d+(?:\.\d+)?)", size.strip())
    wide, high = (float(part) for part in found.groups()) if found else (0.0, 0.0)
    if not (1 <= wide <= 60 and 1 <= high <= 60):
        raise InputError(f"--size {size!r} is no size.", "Give inches, 1 to 60 each: 6.5x4.")
    return wide, high


def _place(first: Path, out: Path | None, format_: str | None, kind: str | None) -> tuple[Path, Path | None, str]:
    """A folder, or a file in its place, and the format."""
    from robustbench_lite.reports.plots import FORMATS

    if format_ is not None and format_ not in FORMATS:
        raise UnknownNameError("format", format_, FORMATS)
    if out is None:
        return (first.parent if first.name == "run.json" else first) / "plots", None, format_ or "svg"
    ending = out.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        if ending and not out.is_dir() and kind is not None:
            raise InputError(f"--out {out} does not say which format.", f"End it in .{', .'.join(FORMATS)}.")
        return out, None, format_ or "svg"
    if kind is None:
        raise InputError(f"--out {out} is one file for several plots.", "Give --kind, or a folder.")
    if format_ not in (None, ending):
        raise InputError(f"--out {out} and --format {format_} are two formats.", "Leave one out.")
    if out.is_dir():
        raise InputError(f"{out} is a folder.", "Choose another --out.")
    return out.parent, out, ending
