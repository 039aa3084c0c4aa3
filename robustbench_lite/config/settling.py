"""What holds: an option before --set before a variable ``RB_…`` before the file before the default."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from robustbench_lite.config.faults import ConfigError, faults, nearest, printable
from robustbench_lite.config.places import OPTIONS, Key, anchored, parse_key, parse_value, variables
from robustbench_lite.config.reading import Loaded, load_config, validated
from robustbench_lite.config.schema import Config
from robustbench_lite.errors import InputError

IN_FILE, VARIABLE, SET, OPTION = 1, 2, 3, 4
_NOT_OURS = ("RB_DEBUG", "RB_RUN")  # they mean something, and are no keys

# What is said of one network or data set, and means nothing for another: the key, and the one that it goes with.
# Sizes and channels are those that the network takes.
_GOES_WITH: dict[Key, Key] = {
    **{("model", name): ("model", "spec") for name in ("weights", "mean", "std")},
    **{("data", name): ("model", "spec") for name in ("input_size", "resize", "channels")},
    **{("data", name): ("data", "spec") for name in ("root", "split", "group")},
}
# Two that are given together, or of which one excludes the other.
_PAIRS = ((("model", "mean"), ("model", "std")), (("data", "limit"), ("data", "first")))


class _Said(NamedTuple):
    """A value, and by whom."""

    value: Any
    rank: int
    origin: str


@dataclass(frozen=True)
class Settled:
    """A configuration with all that goes before the file. Paths are relative to the current folder.

    Args:
        config: what holds.
        origins: dotted key -> ``--set``, ``RB_DATA_SPLIT``, ``rb.toml``; what is not in it has its default.
        loaded: the file alone. Its gates' baselines are relative to it.
        notes: what the user should know: files and values that were left out.
        warnings: variables that mean nothing.
    """

    config: Config
    origins: dict[str, str]
    loaded: Loaded
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def options(self) -> dict[str, tuple[Any, str]]:
        """Shared options that something was said of, by their names: the value and its origin."""
        found = {}
        for name, key in OPTIONS.items():
            if origin := self.origins.get(".".join(key)):
                found[name] = (getattr(getattr(self.config, key[0]), key[1]), origin)
        return found


@dataclass
class _Stack:
    """All that was said of every key, the last to hold."""

    said: dict[Key, list[_Said]] = field(default_factory=dict)

    def add(self, key: Key, said: _Said) -> None:
        self.said.setdefault(key, []).append(said)

    def last(self, key: Key, rank: int = OPTION) -> _Said:
        """What holds of all that was said up to a rank."""
        known = [said for said in self.said.get(key, ()) if said.rank <= rank]
        return known[-1] if known else _Said(None, 0, "default")

    def drop(self, key: Key, rank: int) -> None:
        """Forget what was said below a rank."""
        self.said[key] = [said for said in self.said.get(key, ()) if said.rank >= rank]


def settle(
    path: Path | str | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    unread: Collection[str] = (),
) -> Settled:
    """Read the file and put over it what goes before it.

    Args:
        path: the file; None: that of the current folder, if there is one.
        sets: ``a.b=value``, the last to hold; nothing behind ``=`` brings the default back.
        environ: the variables. Empty ones say nothing.
        options: shared options that were given, by name. They are not part of the result; but what belongs to a
            network or data set that such an option replaces is left out.
        unread: shared options that the file and the variables are not asked for.

    Raises:
        ConfigError: a value that cannot be, with its origin.
        InputError: as ``load_config``; a key of ``sets`` that does not exist.
    """
    loaded, options = load_config(path), options or {}
    stack = _Stack()
    if loaded.path is not None:
        for key, value in anchored(dict(_leaves(loaded.given)), loaded.path.parent).items():
            stack.add(key, _Said(value, IN_FILE, loaded.path.name if path is None else str(loaded.path)))
    warnings = _add_variables(stack, environ or {})
    for name in unread:
        stack.drop(OPTIONS[name], SET)
    for text in sets:
        _add_set(stack, text)
    own = {key: said[-1].value for key, said in stack.said.items() if said}
    for name, value in options.items():
        stack.add(OPTIONS[name], _Said(value, OPTION, "option"))
    left_out = _leave_out(stack, unread)
    for pair in _PAIRS:
        highest = max(stack.last(key).rank for key in pair)
        for key in pair:
            stack.drop(key, highest)
    # What an option says is not judged here: the commands do that.
    holds = {key: stack.last(key, SET) for key in own if stack.last(key, SET).rank}
    origins = {".".join(key): said.origin for key, said in holds.items()}
    config = _validated({key: said.value for key, said in holds.items()}, origins)
    return Settled(config, origins, loaded, (*loaded.notes, *left_out), tuple(warnings))


def _leaves(table: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Values with their keys; a list is a value, and so is a table without anything in it."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), {} if value == {} else value


def _add_variables(stack: _Stack, environ: Mapping[str, str]) -> list[str]:
    known, warnings = variables(), []
    for name in sorted(name for name in environ if name.startswith("RB_") and name not in _NOT_OURS):
        if name in known:
            if environ[name]:
                value = parse_value(known[name], environ[name])
                stack.add(known[name], _Said(value, VARIABLE, name))
            continue
        near = nearest(name.lower(), [other.lower() for other in known])
        meant = f" Did you mean {near.upper()}?" if near else ""
        warnings.append(f"the variable {printable(name)} means nothing.{meant}")
    return warnings


def _add_set(stack: _Stack, text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {printable(text)} says no value.", "Write it like --set data.limit=100.")
    key = parse_key(name.strip())
    if value.strip():
        stack.add(key, _Said(parse_value(key, value.strip()), SET, "--set"))
    else:
        stack.drop(key, OPTION)


def _leave_out(stack: _Stack, unread: Collection[str]) -> list[str]:
    """Forget what belongs to a network or data set that another was put in the place of, and say so."""
    names, dropped = {key: name for name, key in OPTIONS.items()}, dict[tuple[str, str], list[str]]()
    for key, head in _GOES_WITH.items():
        said = stack.last(key)
        now, then = stack.last(head), stack.last(head, said.rank)
        of_machine = key == ("data", "root") and said.rank == VARIABLE
        if (
            not said.rank
            or names[head] in unread
            or of_machine
            or now.rank <= said.rank
            or now.value == then.value
        ):
            continue
        stack.drop(key, now.rank)
        place = (
            f"{printable(then.value)}" if then.rank else f"the {'network' if head[0] == 'model' else 'data'} there"
        )
        dropped.setdefault((said.origin, place), []).append(".".join(key))
    return [
        f"{', '.join(keys)} of {origin} not used: for {place} only" for (origin, place), keys in dropped.items()
    ]


def _validated(values: Mapping[Key, Any], origins: Mapping[str, str]) -> Config:
    document: dict[str, Any] = {}
    for key, value in values.items():
        here = document
        for name in key[:-1]:
            here = here.setdefault(name, {})
        here[key[-1]] = value
    try:
        return validated(document)
    except ValidationError as error:
        told = []
        for (place, words), fault in zip(faults(error, Config, document), error.errors(), strict=True):
            loc = [str(step) for step in fault["loc"]]
            ends = (".".join(loc[:n]) for n in range(len(loc), 0, -1))
            told.append((next((origins[end] for end in ends if end in origins), "rb"), f"{place}: {words}"))
        raise ConfigError(told[0][0], [told[0][1], *(f"{o}: {words}" for o, words in told[1:])]) from None
