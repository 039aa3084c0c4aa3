"""The commands ``rb report`` and ``rb show``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import Baseline

if TYPE_CHECKING:
    from robustbench_lite.config.reading import Loaded
    from robustbench_lite.gates.verdict import GateReport
    from robustbench_lite.runs import Run


@console.guarded
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page. (default: report.html in the first run)")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="RUN", help="What every run is compared with, image by image."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Judge the runs now by the rules of this file, which also has product, use and who signs.",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="The heading of the page.")] = None,
) -> None:
    """Make the HTML report of a run, or of several side by side: one file that opens from disk.

    Examples:

      rb report runs/20260131T120000Z-attack-0a1b2c3d

      rb report runs/new runs/old --out page.html
    """
    from robustbench_lite.config.reading import load_config
    from robustbench_lite.reports.html import write_report
    from robustbench_lite.runs import read_run

    loaded = load_config(config)
    about = loaded.config.report
    if title is not None:
        about = about.model_copy(update={"title": title})
    opened = [read_run(run) for run in runs]
    reference = None if baseline is None else read_run(baseline)
    gates = None if config is None or not loaded.config.gate else judged(opened, loaded, reference)
    target = out or opened[0].path / "report.html"
    write_report(opened, target, reference, gates=gates, about=about)
    sys.stdout.write(f"{target}\n")


def judged(runs: list[Run], loaded: Loaded, baseline: Run | None) -> list[GateReport]:
    """What comes of a file's rules: runs of one network are judged together, other networks each for itself."""
    from robustbench_lite.gates.gate import gate

    by_network: dict[str, list[Run]] = {}
    for run in runs:
        by_network.setdefault(run.record.model.weights_sha256, []).append(run)
    folder = None if loaded.path is None else loaded.path.parent
    config = loaded.config
    return [gate(same, config.gate, config.gates, baseline, folder=folder) for same in by_network.values()]


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
