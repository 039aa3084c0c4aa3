"""Which conditions of a run a rule is about."""

from __future__ import annotations

import re
from typing import Any

from robustbench_lite.errors import InputError
from robustbench_lite.gates.rule import Where
from robustbench_lite.records import ConditionRecord, RunRecord
from robustbench_lite.specs import Call, format_call, parse

USUAL_SEVERITY = 3.0  # of every shift that says none; a run writes it down, as it does an attack's budget


def has_wildcard(text: str | None) -> bool:
    """Whether a text stands for several."""
    return text is not None and ("*" in text or "?" in text)


def fits(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern says: ``*`` is any text, ``?`` one character, everything else itself."""
    parts = ("".join({"*": ".*", "?": "."}.get(c, re.escape(c))) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def matching(where: Where, record: RunRecord) -> list[ConditionRecord]:
    """The conditions of a run that a filter lets through, in the order of the run."""
    found = [c for c in record.conditions if where.kind is None or c.kind == where.kind]
    if where.severity is not None:
        found = [c for c in found if c.severity is not None and abs(c.severity - where.severity) < 1e-9]
    if where.condition is None:
        return found
    texts = {where.condition, _with_asked(where.condition, where.severity)}
    return [c for c in found if any(names(text, c, record) for text in texts)]


def names(text: str, condition: ConditionRecord, record: RunRecord) -> bool:
    """Whether a text names a condition: as a pattern, or as a spec that means the same.

    The same are specs with arguments in another order, with defaults written or left out, ``night`` at severity 3,
    and ``pgd`` where the data's usual budget was filled in.
    """
    if has_wildcard(text):
        return fits(text, condition.spec) or fits(text, _with_severity(condition))
    if text == condition.spec:
        return True
    try:
        asked, told = parse(text), parse(condition.spec)
    except InputError:
        return False
    if len(asked) != len(told):
        return False
    known = condition.parameters if len(condition.parameters) == len(told) else [{}] * len(told)
    return all(_same(a, t, _whole(t, k, condition), record) for a, t, k in zip(asked, told, known, strict=True))


def canonical_name(text: str) -> str:
    """The name of a call as the registry writes it."""
    return text.strip().lower().replace("-", "_")


def _same(asked: Call, told: Call, values: dict[str, Any], record: RunRecord) -> bool:
    """Whether what was asked is what the run has: nothing but defaults is left out, and nothing differs."""
    if canonical_name(asked.name) != canonical_name(told.name) or asked.parts != told.parts:
        return False
    usual = {"eps": record.data.eps.get(str(values.get("norm", "linf"))), "severity": USUAL_SEVERITY}
    left_out = {name: value for name, value in told.arguments.items() if name not in asked.arguments}
    if any(name not in usual or value != usual[name] for name, value in left_out.items()):
        return False
    return all(name in values and _equal(value, values[name]) for name, value in asked.arguments.items())


def _whole(told: Call, parameters: dict[str, Any], condition: ConditionRecord) -> dict[str, Any]:
    severity = {} if condition.severity is None else {"severity": condition.severity}
    return {**severity, **parameters, **told.arguments}


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return abs(float(one) - float(other)) <= 1e-9 * max(1.0, abs(float(other)))
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _with_asked(text: str, severity: float | None) -> str:
    """``night`` with the severity 3 that a filter has beside it: ``night(severity=3)``."""
    if severity is None or has_wildcard(text):
        return text
    try:
        (call,) = parse(text)
    except (InputError, ValueError):
        return text
    return format_call(Call(call.name, {"severity": severity, **call.arguments}, call.parts))


def _with_severity(condition: ConditionRecord) -> str:
    """The spec of a shift with its severity, also where that is the default and left out."""
    try:
        (call,) = parse(condition.spec)
    except (InputError, ValueError):
        return condition.spec
    if condition.severity is None or "severity" in call.arguments:
        return condition.spec
    return format_call(Call(call.name, {**call.arguments, "severity": condition.severity}, call.parts))
