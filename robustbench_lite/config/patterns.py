"""Can a text that names conditions name any? Nothing is imported for it, so values are not looked at."""

from __future__ import annotations

import functools
import re

from robustbench_lite import descriptions, registry
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.references import is_reference
from robustbench_lite.specs import Call, parse, split_outside_brackets

_KINDS = ("attack", "shift")


@functools.cache
def arguments(kind: str) -> dict[str, tuple[str, ...]]:
    """Arguments of every attack or shift; none known where another's source could not be read."""
    return {entry.name: tuple(entry.parameters) for entry in descriptions.describe(kind)}


def check_spec(text: str) -> str:
    """Refuse a condition whose names do not exist, and say its kind: clean, attack, shift, chain, or empty.

    Raises:
        UnknownNameError: a name or an argument that does not exist.
        InputError: the text is no spec.
    """
    calls = parse(text)
    if calls == [Call("clean")]:
        return "clean"
    kinds = [_check_call(call) for call in calls]
    return "chain" if len(kinds) > 1 else kinds[0]


def _check_call(call: Call) -> str:
    kind = next((kind for kind in _KINDS if registry.canonical_name(kind, call.name)), "")
    if not kind:
        if is_reference(call.name) or ":" in call.name:  # a program, or torchattacks:NAME
            return ""
        raise UnknownNameError("attack or shift", call.name, [*registry.names("attack"), *registry.names("shift")])
    name = registry.canonical_name(kind, call.name) or call.name
    known = arguments(kind).get(name, ())
    strange = [key for key in call.arguments if known and key not in known]
    if strange:
        raise UnknownNameError(f"argument of {name}", strange[0], known)
    for part in call.parts:
        _check_call(part)
    return kind


def never(condition: str | None, kind: str | None, severity: float | None) -> str | None:
    """Why no condition can be what these three ask for together, or None if one can."""
    if severity is not None and kind in ("clean", "attack"):
        return f"kind {kind} has no severity"
    if condition is None:
        return None
    if "*" in condition or "?" in condition:
        return _never_matched(condition) or _never_of_kind(condition, kind)
    try:
        found = check_spec(condition)
        calls = parse(condition)
    except InputError as error:
        return str(error)
    if kind is not None and found and kind != found:
        return f"{condition} is of the kind {found}, not {kind}"
    said = [call.arguments["severity"] for call in calls if "severity" in call.arguments]
    if severity is not None and said and severity not in said:
        return f"{condition} does not have the severity {severity:g}"
    if severity is not None and found in ("clean", "attack"):
        return f"{condition} has no severity"
    return None


def _never_of_kind(pattern: str, kind: str | None) -> str | None:
    """A pattern that begins with a whole name is about its kind, or about chains that begin with it."""
    name, bracket, _ = pattern.partition("(")
    of = next((kind for kind in _KINDS if name.strip() in arguments(kind)), None)
    if not bracket or of is None or kind in (None, of, "chain"):
        return None
    return f"{pattern} is of the kind {of}, not {kind}"


def _never_matched(pattern: str) -> str | None:
    """A word of a pattern that no condition has. Words next to a wildcard may be parts of longer ones."""
    if ":" in pattern:
        return None
    names = ["clean", *(name for kind in _KINDS for name in arguments(kind))]
    words = [*names, *(word for kind in _KINDS for known in arguments(kind).values() for word in known)]
    try:
        heads = [part.partition("(")[0].strip() for part in split_outside_brackets(pattern, "+")]
    except InputError as error:  # a bracket that is not closed may be so by what a wildcard stands for
        heads = [] if pattern.endswith("*") else [str(error)]
    for head in heads:
        if re.fullmatch(r"\w+", head) and head not in names:
            return str(UnknownNameError("attack or shift", head, names))
    for word in re.findall(r"(?<![\w=.])[A-Za-z_]\w*", re.sub(r"=\s*[^,()*?]*", "=", pattern)):
        if not any(word in known for known in words):
            return str(UnknownNameError("name or argument", word, sorted({*words})))
    return None
