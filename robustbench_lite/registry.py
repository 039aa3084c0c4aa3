"""Names of attacks, shifts, networks and data sets. Nothing is imported before it is asked for.

A name is registered here, by an entry point of another package, or given in place as ``file.py:Class`` or
``package.module:Class``. An entry point of the group ``robustbench_lite`` is named after its kind:

    [project.entry-points."robustbench_lite"]
    "attack.mine" = "my_package.attacks:Mine"

``make`` and ``spec`` are inverses: ``make(spec(condition)) == condition``.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import typing
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.names import BUILTIN, FAMILIES, PACKAGE, PUBLISHED, UNLISTED
from robustbench_lite.references import is_reference, load_reference
from robustbench_lite.specs import Call, format_call, format_value, parse, without
from robustbench_lite.types import Attack, Condition, Shift, is_shift

_ALSO = {"attack": {"auto": "adaptive"}}


def _plain(name: str) -> str:
    """Case, hyphens and underscores do not matter in a name."""
    return name.lower().replace("-", "").replace("_", "")


def names(kind: str) -> dict[str, str]:
    """All registered names of a kind (``attack``, ``shift``, ``model``, ``data``), and where each one is."""
    theirs = {
        name.removeprefix(f"{kind}."): where for name, where in _entry_points() if name.startswith(f"{kind}.")
    }
    return {**theirs, **BUILTIN[kind]}


def _known(kind: str) -> dict[str, str]:
    return {**names(kind), **UNLISTED.get(kind, {})}


@functools.cache
def _entry_points() -> list[tuple[str, str]]:
    return [(point.name, point.value) for point in entry_points(group=PACKAGE)]


def canonical_name(kind: str, name: str) -> str | None:
    """The registered spelling of a name, or None if nothing is registered under it."""
    wanted = _plain(name)
    wanted = _ALSO.get(kind, {}).get(wanted, wanted)
    return next((known for known in _known(kind) if _plain(known) == wanted), None)


def is_code(kind: str, name: str) -> bool:
    """Whether a name leads to a program that is not registered: ``file.py:Class``, ``package.module:Class``.

    Such names are followed where people give them. A file that was sent may name any program: none is followed.
    """
    return is_reference(name) and canonical_name(kind, name) is None


def family(shift: str) -> str:
    """The risk of a shift: ``lighting``, …; ``suite`` for a published set; for others' their module's name."""
    if shift in PUBLISHED:
        return "suite"
    ours = next((risk for risk, shifts in FAMILIES.items() if shift in shifts), None)
    return ours or names("shift")[shift].partition(":")[0].rpartition(".")[2]


def load(kind: str, name: str) -> Any:
    """The class or function behind a registered name or a ``file.py:Class``.

    Raises:
        UnknownNameError: nothing is registered under the name.
        InputError: the file, the module or the member does not exist.
    """
    library, _, member = name.partition(":")
    if kind == "attack" and member and canonical_name(kind, library) == "torchattacks":
        return load_reference(BUILTIN["attack"]["torchattacks"])(member)
    known = canonical_name(kind, name)
    if known is not None:
        return load_reference(_known(kind)[known])
    if is_reference(name):
        return load_reference(name)
    raise UnknownNameError(kind, name, names(kind))


def make(spec: str) -> Condition:
    """The condition that a spec string describes: ``clean``, an attack, a shift, or a chain joined by ``+``.

    Raises:
        UnknownNameError: a name or an argument that does not exist.
        InputError: a value of the wrong type or out of range.
    """
    calls = parse(spec)
    if calls == [Call("clean")]:
        return Condition()
    return Condition(tuple(_make_part(call) for call in calls))


def _make_part(call: Call) -> Attack | Shift:
    kinds = [kind for kind in ("attack", "shift") if canonical_name(kind, call.name)]
    if not kinds and not is_reference(call.name):
        raise UnknownNameError("attack or shift", call.name, [*names("attack"), *names("shift")])
    target = load(kinds[0] if kinds else "attack", call.name)
    if canonical_name("attack", call.name) == "torchattacks":
        raise InputError("torchattacks is a library: which attack of it?", "Write torchattacks:PGD.")
    # Looked at before it is called: os:system must not run.
    if not isinstance(target, type) or getattr(target, "kind", None) not in ("attack", "shift"):
        raise InputError(f"{call.name} is neither an attack nor a shift.", "Its class needs kind = 'attack'.")
    try:
        part: Attack | Shift = construct(target, call)
    except InputError as error:
        name = (kinds and canonical_name(kinds[0], call.name)) or call.name
        if name not in error.what:  # it is about what all share, an eps for example
            error.what = f"{name}: {error.what}"
        raise
    return part


def make_one(kind: str, text: str) -> Any:
    """The model of images, the defence or the score that a spec describes; ``spec`` is its inverse.

    Args:
        kind: ``generator``, ``defence`` or ``score``.
        text: a registered name, ``file.py:Class``, or either with arguments.

    Raises:
        UnknownNameError: a name or an argument that does not exist.
        InputError: a chain, a value that is refused, or something of another kind.
    """
    calls = parse(text)
    if len(calls) > 1:
        raise InputError(f"{text!r} is a chain.", f"Give one {kind}.")
    target = load(kind, calls[0].name)
    if not isinstance(target, type) or getattr(target, "kind", None) != kind:
        raise InputError(f"{calls[0].name} is no {kind}.", f"Its class needs kind = '{kind}'.")
    return construct(target, calls[0])


def construct(target: Callable[..., Any], call: Call, **extra: Any) -> Any:
    """Call a class or function with a spec's arguments, after checking their names and types.

    Args:
        target: a dataclass or a function with annotated parameters.
        call: what the spec says.
        extra: arguments that do not come from the spec.
    """
    from pydantic import TypeAdapter, ValidationError

    if inspect.isabstract(target):
        lacking = ", ".join(sorted(getattr(target, "__abstractmethods__", ())))
        raise InputError(f"{call.name} is not complete: it lacks {lacking}.", "Mend the class.")
    parameters = inspect.signature(target).parameters
    open_ended = {p.name for p in parameters.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    found_out = (
        {f.name for f in dataclasses.fields(target) if not f.compare}
        if dataclasses.is_dataclass(target)
        else set()
    )
    settable = [name for name in parameters if name not in {*extra, *open_ended, *found_out}]
    hints = typing.get_type_hints(target if inspect.isfunction(target) else target.__init__)
    arguments: dict[str, Any] = {}
    if call.parts:
        if "attacks" not in settable:
            raise InputError(
                f"cannot read {format_call(call.parts[0])!r} in {call.name}(…).",
                "Arguments are written name=value.",
            )
        arguments["attacks"] = tuple(_make_part(part) for part in call.parts)
    for key, value in call.arguments.items():
        if key == "eps" and key not in settable and getattr(target, "minimal", False):
            raise InputError(f"{call.name} has no eps: it looks for the smallest perturbation.", "Leave eps out.")
        if key not in settable:
            raise UnknownNameError(f"argument of {call.name}", key, settable)
        try:
            arguments[key] = TypeAdapter(hints.get(key, Any)).validate_python(value)
        except ValidationError as error:
            reason = " or ".join(dict.fromkeys(e["msg"].lower() for e in error.errors()))
            raise InputError(f"{call.name}: {key}={format_value(value)} is refused: {reason}.") from None
    missing = [
        name for name in settable if parameters[name].default is inspect.Parameter.empty and name not in arguments
    ]
    if missing:
        raise InputError(f"{call.name} needs {', '.join(missing)}.", f"Write {call.name}({missing[0]}=…).")
    return target(**arguments, **extra)


def severity_of(part: Attack | Shift) -> float | None:
    """Where a shift stands on its severity scale; None for attacks, and where every scaled argument is given.

    The fields whose default is None are those that the scale sets.
    """
    if not is_shift(part) or getattr(part, "switch", False):
        return None
    scaled = [getattr(part, f.name) for f in _fields(part) if f.default is None]
    off_scale = bool(scaled) and None not in scaled
    return None if off_scale else float(part.severity)


def spec(thing: Any) -> str:
    """The canonical spec: arguments in the order of the class, defaults left out, but severity always said."""
    if isinstance(thing, Condition):
        return " + ".join(spec(part) for part in thing.parts) or "clean"
    severity = severity_of(thing)
    arguments = {
        f.name: getattr(thing, f.name)
        for f in _fields(thing)
        if getattr(thing, f.name) != f.default or (f.name == "severity" and severity is not None)
    }
    members = arguments.pop("attacks", ())
    return format_call(Call(name_of(type(thing)), arguments, tuple(parse(spec(member))[0] for member in members)))


def without_severity(condition: Condition) -> str:
    """The canonical spec, less the severities of its shifts: what one shift has in common at all of them."""
    return without(spec(condition), "severity")


def _fields(part: Any) -> list[dataclasses.Field[Any]]:
    """The fields that are arguments of a spec; what is not compared was found out later, and is none."""
    if not dataclasses.is_dataclass(part):
        raise InputError(f"{type(part).__name__} is no dataclass.", "Attacks and shifts are frozen dataclasses.")
    return [f for f in dataclasses.fields(part) if f.compare]


def name_of(cls: type) -> str:
    """The name that ``load`` finds the class under."""
    here = f"{cls.__module__}:{cls.__qualname__}"
    for kind in ("attack", "shift", "generator", "defence", "score"):
        for name, where in _known(kind).items():
            if where == here:
                return name
    path = getattr(sys.modules.get(cls.__module__), "__rb_path__", None)
    return f"{path}:{cls.__qualname__}" if path else here
