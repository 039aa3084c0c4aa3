"""The command ``rb eval``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import Common, with_common
from robustbench_lite.cli.running import Attacking
from robustbench_lite.errors import InputError
from robustbench_lite.suites import find_suite

if TYPE_CHECKING:
    from robustbench_lite.config.schema import Config


@with_common
@console.guarded
def evaluate(
    common: Common,
    running: Attacking,
    on: Annotated[
        list[str] | None, typer.Option("--on", help="A condition: attack, shift or chain; may be repeated.")
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", metavar="NAME", help="A named list of conditions: rb ls suites; may be repeated."),
    ] = None,
) -> None:
    """Accuracy under any list of conditions: a suite, specs, or both.

    Examples:

      rb eval --suite inspection --model net.safetensors --data folder:parts

      rb eval --on "pgd(eps=0.1)" --on "night(severity=3)" --on "night(severity=2) + pgd(eps=0.05)"

      rb eval --on "mine.py:Scratch(depth=0.2)" --model net.safetensors --data folder:parts
    """
    from robustbench_lite.cli.evaluate import run_evaluation

    suites, specs, optional = listed(common.configuration, suite or [], on or [])
    run_evaluation("eval", common, running, specs, optional=optional, suites=suites)


def listed(
    config: Config, names: Sequence[str], on: Sequence[str]
) -> tuple[dict[str, list[str]], list[str], set[str]]:
    """What is asked for: the suites, all conditions, and those of them that only a suite has named.

    Raises:
        InputError: nothing is asked for, or a suite that there is not.
    """
    if not (names or on or config.run.suite):
        raise InputError(
            "rb eval needs conditions.",
            "Give --suite NAME (rb ls suites), --on CONDITION, or run.suite in rb.toml.",
        )
    usual = [config.run.suite] if config.run.suite and not (names or on) else []
    found = [find_suite(name, config.suites) for name in [*names, *usual]]
    suites = {suite.name: list(suite.conditions) for suite in found}
    in_suites = [spec for specs in suites.values() for spec in specs]
    return suites, [*in_suites, *on], set(in_suites) - set(on)
