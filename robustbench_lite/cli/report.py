"""The commands ``rb report`` and ``rb show``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import Baseline


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


@console.guarded
def show(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    baseline: Baseline = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the table of a run again.

    Example: rb show runs/20260131T120000Z-attack-0a1b2c3d
    """
    from robustbench_lite.cli.evaluate import print_run
    from robustbench_lite.runs import read_run

    reference = None if baseline is None else read_run(baseline)
    print_run(read_run(run), as_json=json, quiet=False, baseline=reference)
