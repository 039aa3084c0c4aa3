"""The command ``rb merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustbench_lite import console


@console.guarded
def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of all shards, in any order.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the whole run.")],
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Merge what is there; no gate passes that.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors only.")] = False,
) -> None:
    """Put the shards of a run together: the run that it would have been without --shard.

    Example:

      rb merge runs/part-1 runs/part-2 --out runs/whole
    """
    from robustbench_lite.cli.evaluate import print_run
    from robustbench_lite.merging import merge as merged

    run = merged(runs, out, allow_missing=allow_missing)
    if not quiet:
        for note in run.record.data.notes:
            console.note(f"note: {note}")
    print_run(run, as_json=json, quiet=quiet)
