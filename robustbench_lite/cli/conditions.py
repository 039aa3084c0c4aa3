"""The option ``--condition``: which conditions of runs are meant, by the names that gates take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from robustbench_lite.runs import Run

ConditionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        metavar="CONDITION",
        help="Only these: 'night*', or a spec, defaults written or not. May be repeated.",
    ),
]


def wanted(patterns: Sequence[str] | None, runs: Sequence[Run]) -> Callable[[str], bool]:
    """Whether the condition of a spec is named, as a rule's ``where.condition`` would name it; no pattern: all.

    A condition that one of the runs knows by the pattern is meant in all of them.
    """
    if not patterns:
        return lambda spec: True
    from robustbench_lite.gates.matching import names

    found = {
        condition.spec
        for run in runs
        for condition in run.record.conditions
        if any(names(pattern.strip(), condition, run.record) for pattern in patterns)
    }
    return found.__contains__
