"""The error tree. An error names what is wrong, why, and what to do next; the command line adds nothing to it.

RbError                 exit code 1: a fault of ours
└─ InputError           exit code 2: usage, configuration, or input that is refused
   └─ UnknownNameError  a name that is not registered; carries the nearest right one
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAULT = 1  # a fault of ours
    REFUSED = 2  # usage, configuration or refused input
    GATE_FAILED = 3
    GATE_INCONCLUSIVE = 4
    INCOMPLETE = 5  # less than was asked for
    INTERRUPTED = 130


class RbError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: what is wrong, naming the argument and its value.
        remedy: what to do next; may be empty.
    """

    exit_code = ExitCode.FAULT

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        stop = "" if self.what.endswith((".", ":", "!", "?", ")")) else "."
        return f"{self.what}{stop} {self.remedy}".strip()


class InputError(RbError):
    """Bad usage, bad configuration, or input that is refused."""

    exit_code = ExitCode.REFUSED


class UnknownNameError(InputError):
    """A name that nothing is registered under."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = _nearest(name.lower().replace("-", "_"), known)
        remedies = [f"Did you mean {' or '.join(map(repr, near))}?"] if near else []
        if not near or len(known) <= 8:
            remedies.append(f"Known: {', '.join(known)}.")
        remedy = " ".join(remedies)
        super().__init__(f"unknown {kind} {name!r}.", remedy)


def _nearest(name: str, known: list[str]) -> list[str]:
    """The name that was mistyped; else the few that share a word with it; else the one that looks most like it."""
    if mistyped := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
        return mistyped
    words = {*name.split("_")}
    related = [other for other in known if words & {*other.split("_")}]
    if 0 < len(related) <= 8:
        return related
    return difflib.get_close_matches(name, known, n=1, cutoff=0.5)
