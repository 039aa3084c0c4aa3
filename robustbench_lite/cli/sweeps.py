"""From the options of ``rb shift`` to specs: which shifts, at which severities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from robustbench_lite import registry
from robustbench_lite.cli.evaluate import with_arguments
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.references import is_reference
from robustbench_lite.shifts.published_tables import CORRUPTIONS, MAIN
from robustbench_lite.specs import Call, format_call, format_value, parse, parse_number

if TYPE_CHECKING:
    from robustbench_lite.severities import Scale

ALL = "all"


class Sweep(NamedTuple):
    """One shift at every severity."""

    text: str  # as it was asked for
    specs: list[str]  # one per severity; only one of a shift that says its severity, or has none
    optional: bool  # one of ``all``: left out where the images lack its colour
    left_out: Sequence[float] = ()  # levels that it does not reach on a calibrated scale


def sweeps(
    asked: Mapping[str, Sequence[str]], severities: str, suites: Sequence[str] = (), scale: Scale | None = None
) -> list[Sweep]:
    """Every shift that was asked for under its family; ``all`` stands for the whole family.

    Args:
        asked: family -> names, specs or ``all``.
        severities: as the option has them.
        suites: published sets, as names or specs.
        scale: a calibrated one, whose levels the severities are then; one that a shift does not reach is left out.

    Raises:
        InputError: nothing was asked for, something that is no shift of the family, no list of severities, or
            nothing that the scale has a severity for.
    """
    levels = levels_of(severities)
    found: list[Sweep] = []
    for family, wanted in asked.items():
        own = [name for name in registry.names("shift") if registry.family(name) == family]
        for text in wanted:
            if text.strip().lower() == ALL:
                found += [_sweep(name, levels, scale, optional=True) for name in own]
            else:
                _check_family(family, text, own, asked)
                found.append(_sweep(text, levels, scale, optional=False))
    for text in suites:
        found += _suite(text, levels)
    if not found:
        raise InputError(
            "no shift was named.", "For example: rb shift --lighting night. All of them: rb ls shifts."
        )
    if not any(sweep.specs for sweep in found):
        raise InputError(f"the scale has no severity for level {severities} of {found[0].text}.", "Give another.")
    return found


def optional(found: Sequence[Sweep]) -> set[str]:
    """The specs that only ``all`` has named."""
    named = {spec for sweep in found if not sweep.optional for spec in sweep.specs}
    return {spec for sweep in found for spec in sweep.specs} - named


def _suite(text: str, levels: Sequence[float]) -> list[Sweep]:
    """Every corruption of a published set, in the published order; ``extra=true`` adds the four of validation."""
    own = [name for name in registry.names("shift") if registry.family(name) == "suite"]
    call, *more = parse(text)
    name = registry.canonical_name("shift", call.name)
    if more or name not in own:
        raise UnknownNameError("suite", text if more else call.name, own)
    given = dict(call.arguments)
    extra = given.pop("extra", False)
    if not isinstance(extra, bool):
        raise InputError(f"{name}: extra={format_value(extra)} is refused.", "Write extra=true or extra=false.")
    if "corruption" in given:
        return [_sweep(format_call(Call(name, given)), levels, None, optional=False)]
    each = [format_call(Call(name, {"corruption": c, **given})) for c in (CORRUPTIONS if extra else MAIN)]
    return [_sweep(one, levels, None, optional=True) for one in each]


def _check_family(family: str, text: str, own: Sequence[str], options: Mapping[str, object]) -> None:
    """Raise unless the shift belongs to the family that the option names."""
    name = text.partition("(")[0].strip()
    known = registry.canonical_name("shift", name)
    if known is None and is_reference(name):  # one's own shift belongs wherever its owner says
        return
    if known is None:
        raise UnknownNameError(f"{family} shift", name, [*own, ALL])
    if known not in own:
        option = f"--{registry.family(known)} {known}"
        remedy = f"rb shift {option}" if registry.family(known) in {*options, "suite"} else f"rb eval --on {known}"
        raise InputError(f"{known} is no {family} shift.", f"Write {remedy}.")


def _sweep(text: str, levels: Sequence[float], scale: Scale | None, *, optional: bool) -> Sweep:
    """One spec per severity; a spec that says its severity stays as it is, and so does a switch."""
    calls = parse(text)
    if len(calls) != 1:
        raise InputError(f"{text!r} is a chain, not one shift.", f"Write rb eval --on {text!r}.")
    made = registry.make(text)
    graded = registry.severity_of(made.parts[0]) is not None
    if not graded or "severity" in calls[0].arguments:
        return Sweep(text, [text], optional)
    severities: dict[float, float | None] = {level: level for level in levels}
    if scale is not None:
        name = registry.without_severity(made)
        known = not optional or name in scale.shifts  # one that all has named may be missing
        severities = {level: scale.severity(name, level) if known else None for level in levels}
    specs = [
        with_arguments("shift", text, f"severity={format_value(s)}") for s in severities.values() if s is not None
    ]
    return Sweep(text, specs, optional, [level for level, s in severities.items() if s is None])


def levels_of(text: str) -> list[float]:
    """``1-5`` as 1, 2, 3, 4, 5; ``0.5,1,2`` as it is."""
    low, dash, high = text.partition("-")
    if dash and low.strip().isdecimal() and high.strip().isdecimal() and int(low) <= int(high):
        return [float(level) for level in range(int(low), int(high) + 1)]
    try:
        return [float(parse_number(level)) for level in text.split(",")]
    except InputError:
        raise InputError(f"--severity {text} is no list of levels.", "Write it like 1-5, 3 or 0.5,1,2.") from None
