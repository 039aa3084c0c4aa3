"""The published sets of corruptions that a run has, and what it lacks of them."""

from __future__ import annotations

from robustbench_lite.names import PUBLISHED
from robustbench_lite.runs import Run
from robustbench_lite.shifts.published_tables import MAIN
from robustbench_lite.specs import Call, format_call, parse

_LEVELS = 5

Corruptions = dict[str, list[str]]
"""Corruption -> the specs of its five severities."""


def suites_of(run: Run) -> dict[str, list[str]]:
    """The specs of every published set of the run, by its own spec without corruption and severity."""
    return {
        suite: [spec for levels in corruptions.values() for spec in levels]
        for suite, corruptions in sets_of(run).items()
    }


def missing_from(run: Run) -> dict[str, str]:
    """What every published set of the run lacks of the 15 corruptions at five severities; empty: nothing."""
    found = {}
    for suite, levels in _levels(run).items():
        part = {name: sorted(set(range(1, _LEVELS + 1)) - set(levels.get(name, ()))) for name in MAIN}
        words = [
            name if len(lacks) == _LEVELS else f"{name} at severity {', '.join(map(str, lacks))}"
            for name, lacks in part.items()
            if lacks
        ]
        found[suite] = ", ".join(words)
    return found


def sets_of(run: Run) -> dict[str, Corruptions]:
    """The sets of a run, by their spec without corruption and severity, less corruptions that lack a level."""
    whole = {}
    for suite, found in _levels(run).items():
        whole[suite] = {name: [*levels.values()] for name, levels in found.items() if len(levels) == _LEVELS}
    return {suite: found for suite, found in whole.items() if any(name in MAIN for name in found)}


def _levels(run: Run) -> dict[str, dict[str, dict[float, str]]]:
    """The spec of every severity of every corruption of every set."""
    sets: dict[str, dict[str, dict[float, str]]] = {}
    for condition in run.record.conditions:
        if condition.kind != "shift" or condition.n == 0 or condition.spec.partition("(")[0] not in PUBLISHED:
            continue
        (call,) = parse(condition.spec)
        given = {key: value for key, value in call.arguments.items() if key not in ("corruption", "severity")}
        levels = sets.setdefault(format_call(Call(call.name, given)), {})
        corruption, severity = call.arguments["corruption"], float(call.arguments.get("severity", 0))
        if severity > 0:
            levels.setdefault(str(corruption), {})[severity] = condition.spec
    return sets
