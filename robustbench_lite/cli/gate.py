"""The command ``rb gate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustbench_lite import console

_LIMIT = "LIMIT"
_RULE = r"A rule without a file, METRIC\[@CONDITION]=NUMBER; may be repeated. Metrics: rb ls metrics."


@console.guarded
def gate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help=r"The rules. (default: rb.toml, or \[tool.rb] in pyproject.toml)"),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="RUN", help="For rules that name no baseline themselves."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", metavar="ID", help="This rule alone; may be repeated.")
    ] = None,
    minimum: Annotated[list[str] | None, typer.Option("--min", metavar=_LIMIT, help=_RULE)] = None,
    maximum: Annotated[list[str] | None, typer.Option("--max", metavar=_LIMIT, help="As --min.")] = None,
    max_drop: Annotated[
        list[str] | None, typer.Option("--max-drop", metavar=_LIMIT, help="As --min, against the --baseline.")
    ] = None,
    allow_demo: Annotated[bool, typer.Option("--allow-demo", help="Judge runs of the demo network, too.")] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="It as JUnit XML.")] = None,
    summary: Annotated[Path | None, typer.Option("--summary", metavar="FILE", help="It as Markdown.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="How many images each rule needs, instead of a verdict.")
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(help="Of --plan: how far the truth is from the limit. (default: as observed, or no change)"),
    ] = None,
    update_baseline: Annotated[
        bool,
        typer.Option("--update-baseline", help="If all pass, put the run in the baseline's place."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Of --update-baseline: whatever the verdict.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The verdict. (default: gate.json in the first run, of all rules)"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The verdict as one JSON document on stdout.")] = False,
) -> None:
    """Judge runs by rules: PASS (exit code 0), FAIL (3), INCONCLUSIVE (4) or ERROR (3).

    Examples:

      rb gate runs/new

      rb gate runs/new --baseline runs/old --max-drop "accuracy@night(severity=3)=0.01"

      rb gate runs/new --min accuracy=0.95 --min "accuracy@night(*)=0.8"

      rb gate runs/new --plan
    """
    from robustbench_lite.cli.gate_run import Asked, Targets, Update, print_plan, run_gate
    from robustbench_lite.errors import InputError

    asked = Asked(config, baseline, rule or [], minimum or [], maximum or [], max_drop or [], allow_demo)
    if plan and update_baseline:
        raise InputError("--plan and --update-baseline are two things.", "Give one of them.")
    if (force and not update_baseline) or (margin is not None and not plan):
        flag, of = ("--force", "--update-baseline") if force else ("--margin", "--plan")
        raise InputError(f"{flag} says nothing without {of}.", f"Give {of}, too.")
    if plan:
        print_plan(runs, asked, margin, as_json=json)
    else:
        update: Update = ("always" if force else "passed") if update_baseline else "no"
        run_gate(runs, asked, Targets(out, junit, summary, json), update=update)
