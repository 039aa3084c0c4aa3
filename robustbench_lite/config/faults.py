"""What is wrong with a configuration, in words: where, what, and what was probably meant."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError

from robustbench_lite.errors import InputError

_LONGEST = 80
_MUST_BE = {
    "string": "a text in quotes",
    "path": "a path in quotes",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "tuple": "a list, in [ ]",
    "list": "a list, in [ ]",
    "dict": "a table",
    "model": "a table",
}


class ConfigError(InputError):
    """A configuration that cannot be used. ``faults`` has all that is wrong, each with its dotted place."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        more = len(faults) - 1
        told = f" And {more} more fault{'s' * (more > 1)}: rb config check lists all." if more else ""
        first = f"{source}: {faults[0]}"
        super().__init__(first if first.endswith("?") else f"{first}.", told.strip() or "See rb config schema.")


def printable(value: Any) -> str:
    """Text from a file without line breaks, escapes and marks of direction, and not endless."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def faults(error: ValidationError, schema: type[BaseModel], given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every fault as its dotted place, and what is wrong there."""
    found = []
    for fault in error.errors(include_url=False):
        loc = fault["loc"]
        words = unknown(schema, loc) if fault["type"] == "extra_forbidden" else _words(dict(fault))
        found.append((place(loc, given), words))
    return found


def place(loc: Sequence[str | int], given: Mapping[str, Any]) -> str:
    """``data.split``; a gate by its id, ``gate[night].max_drop``, and else by its number from 1."""
    text, here = "", typing.cast(Any, given)
    for step in loc:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(step, int):
            name = here.get("id") if isinstance(here, Mapping) else None
            text += f"[{printable(name) if isinstance(name, str) and name else f'number {step + 1}'}]"
        else:
            text += f".{printable(step)}" if text else printable(step)
    return text


def _words(fault: dict[str, Any]) -> str:
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return printable(context["error"])
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "literal_error":
        return f"is {_shown(value)}, and must be {context['expected']}"
    limits = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for name, words in limits.items():
        if name in context:
            return f"is {_shown(value)}, and must be {words} {context[name]:g}"
    must = _MUST_BE.get(kind.partition("_")[0])
    return f"is {_shown(value)}, and must be {must}" if must else printable(fault["msg"])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    return repr(printable(value)) if isinstance(value, str) else printable(value)


def unknown(schema: type[BaseModel], loc: Sequence[str | int]) -> str:
    """An unknown key, and the nearest that is known: in its table, or of its very name in another."""
    *above, key = loc
    here = table_at(schema, above)
    known = [] if here is None else keys(here)
    near = nearest(str(key), known)
    if near is None:
        near = next((path for path in elsewhere(schema, str(key)) if path != str(key)), None)
    if near is None and known:
        return f"unknown key; known: {', '.join(known)}"
    return f"unknown key; did you mean {near!r}?" if near else "unknown key"


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that was probably meant."""
    plain = name.lower().replace("-", "_")
    if plain in known:
        return plain
    return next(iter(difflib.get_close_matches(plain, known, n=1, cutoff=0.6)), None)


def keys(table: type[BaseModel]) -> list[str]:
    """Keys of a table, as they are written."""
    return [field.alias or name for name, field in table.model_fields.items()]


def table_at(schema: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    """The table at a place, or None if there is none with fixed keys."""
    here: Any = schema
    for step in loc:
        if is_table(here):
            fields = {field.alias or name: field for name, field in here.model_fields.items()}
            here = fields[str(step)].annotation if step in fields else None
        else:  # tuple[T, ...] or dict[str, T]
            here = next((inner for inner in typing.get_args(here) if is_table(inner)), None)
    return here if is_table(here) else None


def is_table(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Whether a type stands for a table with fixed keys."""
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def elsewhere(schema: type[BaseModel], key: str) -> list[str]:
    """Dotted places of the tables on top that have a key of this name."""
    tables = {name: table_at(schema, (name,)) for name in keys(schema)}
    return [f"{name}.{key}" for name, table in tables.items() if table is not None and key in keys(table)]
