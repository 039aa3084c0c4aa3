"""Has a suite what a rule is about? Nothing is evaluated, so what only a run knows counts as fitting."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

from robustbench_lite import registry
from robustbench_lite.config.patterns import check_spec
from robustbench_lite.descriptions import describe
from robustbench_lite.errors import InputError
from robustbench_lite.gates.matching import canonical_name, matching
from robustbench_lite.gates.rule import Where
from robustbench_lite.records import ConditionRecord, DataRecord, RunRecord
from robustbench_lite.specs import Call, format_call, parse


def covers(specs: Iterable[str], where: Where) -> bool:
    """Whether a run of these conditions can have one that a filter lets through. All have clean images."""
    return any(_may_fit(spec, where) for spec in ("clean", *specs))


def _may_fit(spec: str, where: Where) -> bool:
    try:
        kind, calls = check_spec(spec), parse(spec)
    except InputError:  # told where the suite is checked
        return True
    if spec != "clean" and not all(registry.canonical_name("shift", call.name) for call in calls):
        return _attack_may_fit(kind, calls, where)
    parameters = [] if spec == "clean" else [_parameters(call) for call in calls]
    condition = ConditionRecord.model_construct(
        spec=" + ".join(map(format_call, calls)),
        kind=kind,
        severity=parameters[0].get("severity") if len(parameters) == 1 else None,
        parameters=parameters,
    )
    data = DataRecord.model_construct(eps={})
    return bool(matching(where, RunRecord.model_construct(conditions=[condition], data=data)))


def _attack_may_fit(kind: str, calls: list[Call], where: Where) -> bool:
    """Of an attack, or of what a program brings, only the name is compared: a run writes its budget beside it."""
    if (where.kind and kind and kind != where.kind) or (where.severity is not None and kind == "attack"):
        return False
    if where.condition is None:
        return True
    begins = re.split(r"[(*?]", where.condition)[0]
    sign = where.condition[len(begins) :][:1]
    begins, name = canonical_name(begins.partition(" + ")[0]), canonical_name(calls[0].name)
    return name.startswith(begins) if sign in ("*", "?") else name == begins


def _parameters(call: Call) -> dict[str, Any]:
    """The arguments of a shift with its defaults, as a run writes them down."""
    name = registry.canonical_name("shift", call.name)
    found = next(entry.parameters for entry in describe("shift") if entry.name == name)
    return {**{key: _value(text) for key, text in found.items()}, **call.arguments}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
