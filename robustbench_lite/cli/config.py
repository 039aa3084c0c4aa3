"""The commands ``rb config …``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import ConfigFile, Settings
from robustbench_lite.errors import ExitCode

if TYPE_CHECKING:
    from robustbench_lite.config.settling import Settled


@console.guarded
def check(
    file: Annotated[
        Path | None, typer.Argument(help="(default: rb.toml or pyproject.toml of the current folder)")
    ] = None,
) -> None:
    """Is everything in the file known, and can every gate match something? Exit code 2 if not.

    Files and folders that are not there are warned of: they may come.

    Examples:

      rb config check

      rb config check ci/rb.toml
    """
    from robustbench_lite.config.checking import check as find
    from robustbench_lite.config.reading import find_config
    from robustbench_lite.errors import InputError
    from robustbench_lite.reports.safe import terminal

    file = file or find_config()
    if file is None:
        raise InputError("there is no rb.toml here, and no [tool.rb] in pyproject.toml.", "Make one: rb init.")
    loaded, findings = find(file)
    for finding in findings:
        place = f"{finding.place}: " if finding.place else ""
        line = f"{'error' if finding.is_error else 'warning'}: {file}: {place}{finding.words}"
        sys.stdout.write(terminal(line) + "\n")
    errors = sum(finding.is_error for finding in findings)
    if errors or loaded is None:
        sys.stdout.write(f"{file}: {errors} error{'s' * (errors > 1)}\n")
        raise typer.Exit(ExitCode.REFUSED)
    for line in loaded.notes:
        console.note(f"note: {line}")
    config = loaded.config
    gates, suites = (
        f"{n} {name}{'s' * (n != 1)}" for n, name in ((len(config.gate), "gate"), (len(config.suites), "suite"))
    )
    sys.stdout.write(f"{file} is sound: {gates}, {suites} of its own\n")


@console.guarded
def show(
    config: ConfigFile = None,
    sets: Settings = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What holds here, and where it comes from: --set, a variable RB_…, the file, or the default.

    Examples:

      rb config show

      rb config show --set data.limit=100 --json
    """
    from robustbench_lite.config.faults import printable
    from robustbench_lite.config.settling import settle

    settled = settle(config, sets or (), os.environ)
    for line in settled.warnings:
        console.note(f"warning: {line}")
    for line in settled.loaded.notes:
        console.note(f"note: {line}")
    rows = list(_rows(settled))
    if json:
        file = settled.loaded.path
        values = {key: {"value": value, "origin": origin} for key, value, origin in rows}
        console.print_json({"file": None if file is None else str(file), "values": values})
        return
    shown = [(printable(key), _shown(value), printable(origin)) for key, value, origin in rows]
    widths = [max(len(row[i]) for row in shown) for i in (0, 1)]
    for key, value, origin in shown:
        sys.stdout.write(f"{key:{widths[0]}}  {value:{widths[1]}}  {origin}\n")


def _rows(settled: Settled) -> Iterator[tuple[str, Any, str]]:
    """Key, value and origin; a gate and a suite are one row each."""
    document = settled.config.model_dump(mode="json", by_alias=True)
    for table, values in document.items():
        if table == "gate":
            for rule in values:
                said = {name: value for name, value in rule.items() if value not in (None, "") and name != "id"}
                said["where"] = {name: value for name, value in rule["where"].items() if value is not None}
                yield f"gate[{rule['id']}]", said, settled.origins.get("gate", "default")
            continue
        for key, value in values.items():
            name = f"{table}.{key}"
            told = [origin for place, origin in settled.origins.items() if f"{place}.".startswith(f"{name}.")]
            yield name, value, ", ".join(dict.fromkeys(told)) or "default"


def _shown(value: Any) -> str:
    from robustbench_lite.config.faults import printable

    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}={_shown(inner)}" for key, inner in value.items() if inner not in ({}, [], ""))
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return printable(value)


@console.guarded
def schema() -> None:
    """The JSON schema of the file, for editors that know such schemas.

    Example: rb config schema > rb.schema.json
    """
    from robustbench_lite.config.schema import Config

    document = Config.model_json_schema(by_alias=True)
    console.print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **document, "title": "rb.toml"})


def group(cls: Any) -> typer.Typer:
    """The group of commands, listed by ``cls``."""
    app = typer.Typer(
        name="config",
        cls=cls,
        help="Check and show rb.toml.\n\nStart with: rb init, then rb config check.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for command in (check, show, schema):
        app.command()(command)
    return app
