"""Spec strings: ``pgd(eps=8/255, steps=40)`` or ``night(severity=2) + pgd(eps=4/255)``. Nothing is evaluated.

A portfolio of attacks has its members in its brackets: ``worst(pgd(steps=20), square, eps=8/255)``.

>>> parse("night(severity=2) + pgd(eps=4/255, norm=l2)")[1]
Call(name='pgd', arguments={'eps': 0.01568627450980392, 'norm': 'l2'})
>>> format_call(Call("pgd", {"eps": 4 / 255, "norm": "l2", "steps": 10}))
'pgd(eps=4/255, norm=l2, steps=10)'
"""

from __future__ import annotations

import math
import numbers
import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from robustbench_lite.errors import InputError

_WORDS: dict[str, Any] = {"none": None, "true": True, "false": False}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_RANGE = re.compile(rf"\s*({_NUMBER.pattern})\.\.({_NUMBER.pattern})\s*", re.ASCII)
# A name, alone or with brackets; with "=" behind the name it is an argument.
_PART = re.compile(r"\s*(?:[A-Za-z_]|\.{0,2}/)[^()=,+]*(\(.*\))?\s*$", re.DOTALL)
_BAREWORD = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True)
class Call:
    """A name, its arguments and the calls inside its brackets, as one part of a spec says them."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    parts: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``, both included, written ``low..high``."""

    low: float
    high: float


def parse(spec: str, *, ranges: bool = False) -> list[Call]:
    """The parts of a chain, in order; with ``ranges`` a value may be a Range.

    Raises:
        InputError: the text is not a spec.
    """
    return [_parse_call(part, spec, ranges) for part in split_outside_brackets(spec, "+")]


def without(spec: str, argument: str) -> str:
    """The spec without an argument of its parts.

    Raises:
        InputError: the text is not a spec.
    """
    calls = parse(spec)
    return " + ".join(
        format_call(Call(c.name, {k: v for k, v in c.arguments.items() if k != argument}, c.parts)) for c in calls
    )


def _parse_call(text: str, spec: str, ranges: bool) -> Call:
    match = re.fullmatch(r"\s*([^()\s][^()]*?)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if not match:
        raise InputError(f"cannot read the spec {spec!r}.", "Write it like pgd(eps=8/255, steps=40).")
    name, inside = match.groups()
    arguments: dict[str, Any] = {}
    parts: list[Call] = []
    for item in split_outside_brackets(inside, ",") if inside and inside.strip() else []:
        if _PART.match(item):
            parts.append(_parse_call(item, spec, ranges))
            continue
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise InputError(
                f"cannot read {item.strip()!r} in the spec {spec!r}.", "Arguments are written name=value."
            )
        if key in arguments:
            raise InputError(f"argument {key!r} stands twice in the spec {spec!r}.", "Keep one of them.")
        found = _RANGE.fullmatch(value)
        if found and not ranges:
            raise InputError(
                f"{key}={value.strip()} is a range: a condition has one value.",
                "The worst value of a range: rb shift --search.",
            )
        arguments[key] = Range(*map(parse_number, found.groups())) if found else parse_value(value)
    return Call(name, arguments, tuple(parts))


def split_outside_brackets(text: str, separator: str) -> list[str]:
    """Split at a character, but not inside round brackets or quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "()":
            depth += 1 if c == "(" else -1
        elif c == separator and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if depth or quote:
        raise InputError(f"a bracket or quote is left open in {text!r}.", "Close it.")
    return [*parts, text[start:]]


def parse_number(text: str) -> float:
    """A number, also written as a fraction: ``0.03``, ``8/255``.

    Raises:
        InputError: the text is no number.
    """
    terms = text.strip().split("/")
    if len(terms) > 2 or not all(_NUMBER.fullmatch(term.strip()) for term in terms):
        raise InputError(f"{text!r} is not a number.", "Write it like 0.03 or 8/255.")
    try:
        value, *below = [int(term) if re.fullmatch(r"\s*[-+]?\d+\s*", term) else float(term) for term in terms]
        return value / below[0] if below else value
    except ZeroDivisionError:
        raise InputError(f"{text!r} divides by zero.", "Write it like 8/255.") from None
    except (ValueError, OverflowError):  # thousands of digits
        raise InputError(f"{text[:20]}… is too long a number.", "Write it like 0.03 or 8/255.") from None


def parse_value(text: str) -> Any:
    """A number, fraction, true, false, none, quoted text, bare word, or bracketed list of these."""
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.startswith("(") and text.endswith(")"):
        return tuple(parse_value(item) for item in split_outside_brackets(text[1:-1], ",") if item.strip())
    if _BAREWORD.fullmatch(text):
        return text
    return parse_number(text)


def format_call(call: Call) -> str:
    """The spec of a call; ``parse`` is its inverse."""
    arguments = [f"{key}={format_value(value)}" for key, value in call.arguments.items()]
    inside = ", ".join([*map(format_call, call.parts), *arguments])
    return f"{call.name}({inside})" if inside else call.name


def format_value(value: Any) -> str:
    """A value as a spec writes it. Floats that are n/255 are written so when that is shorter."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, PurePath)):
        return _format_text(str(value))
    if isinstance(value, Range):
        return f"{format_value(value.low)}..{format_value(value.high)}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(format_value, value))})"
    if isinstance(value, numbers.Integral):  # NumPy's too, whose repr is no number
        return str(int(value))
    if isinstance(value, numbers.Real):
        return _format_float(float(value))
    raise InputError(f"{value!r} cannot be written in a spec.", "It holds numbers, texts, true, false and none.")


def _format_text(value: str) -> str:
    if _BAREWORD.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quote = next((q for q in "'\"" if q not in value), None)
    if quote is None:
        raise InputError(f"{value!r} holds both kinds of quotes.", "A spec has no way to write that.")
    return f"{quote}{value}{quote}"


def _format_float(value: float) -> str:
    if not math.isfinite(value):
        return f"'{value}'" if value < 0 else str(value)
    value += 0.0  # -0.0 is 0.0, and is written so
    text = f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    if abs(value) > 1e6:
        return text
    fraction = f"{round(value * 255)}/255"
    return fraction if len(fraction) < len(text) and parse_number(fraction) == value else text
