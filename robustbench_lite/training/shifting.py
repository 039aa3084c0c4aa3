"""Shifts with ranges of arguments, as training draws them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_lite import registry
from robustbench_lite.applying import needing_colour, shifted
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.names import FAMILIES
from robustbench_lite.references import is_reference
from robustbench_lite.rng import Streams, stable_hash
from robustbench_lite.search_space import Axis, Space, space_of
from robustbench_lite.shifts.scale import check_colour
from robustbench_lite.specs import Call, Range, format_call, parse, split_outside_brackets
from robustbench_lite.types import Condition

LEVELS = 9
"""Values of a range that are drawn. Images with the same values are changed together: a shift prepares itself for
each value, and for values that are all different that takes as long as the change."""

_ALL = "all"
_GROUPS = {
    "blur": ("gaussian_blur", "defocus_blur", "motion_blur"),
    **{risk: tuple(shifts) for risk, shifts in FAMILIES.items()},
    _ALL: tuple(name for shifts in FAMILIES.values() for name in shifts),
}
_SEVERITIES = Range(1, 5)  # of a shift that says none

_log = logging.getLogger(__name__)


class _Drawn(NamedTuple):
    condition: Condition
    places: list[int]  # of the images that get it


@dataclass(frozen=True)
class ShiftRange:
    """A shift or a chain whose arguments may be ranges: ``night(severity=1..4)``; or one of several, drawn evenly.

    Every image draws its own values, by its stream alone: they do not depend on the images beside it.

    Args:
        text: as it was written.
        members: the chains of which each image gets one.
    """

    text: str
    members: tuple[Space, ...] = field(repr=False)  # the text says it all

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Images (N, C, H, W) in [0, 1] under draws of the shift, one stream each.

        Raises:
            RbError: a shift returned what it must not.
        """
        out = images.clone()
        # As a seed, so that what belongs to the camera is drawn anew in every epoch as well.
        seed = stable_hash(streams.seed, streams.condition)
        for condition, places in self._drawn(streams):
            own = torch.tensor(places, device=images.device)
            out[own] = shifted(condition, images[own], streams[places].sample_ids, seed)
        return out

    def _drawn(self, streams: Streams) -> Iterator[_Drawn]:
        most = max(len(member.axes) for member in self.members)
        draws = streams.uniform((1 + most,), "values of the shift", like=torch.empty(0))
        places: dict[tuple[int, ...], list[int]] = {}
        for place, (which, *shares) in enumerate(draws.tolist()):
            number = int(which * len(self.members))
            # As long as the axes: the other draws are for members that have more.
            steps = (
                int(share * _count(axis)) for axis, share in zip(self.members[number].axes, shares, strict=False)
            )
            places.setdefault((number, *steps), []).append(place)
        for (number, *values), own in places.items():
            member = self.members[number]
            point = [value / (_count(axis) - 1) for axis, value in zip(member.axes, values, strict=True)]
            yield _Drawn(member.condition(point), own)

    def fitting(self, channels: int) -> ShiftRange:
        """Less the members that need colour which images of so many channels have not.

        Raises:
            InputError: it has no other members.
        """
        lacking = [member for member in self.members if needing_colour([Condition(member.parts)], channels)]
        if len(lacking) == len(self.members):
            for part in lacking[0].parts:
                check_colour(part, channels)
        if lacking:
            told = ", ".join(member.text.partition("(")[0] for member in lacking)
            _log.warning("note: left out of %s, because the images have no colour: %s", self.text, told)
        return replace(self, members=tuple(member for member in self.members if member not in lacking))


def parse_shifts(text: str) -> tuple[ShiftRange, ...]:
    """``night(severity=1..4), blur`` as shifts: comma-separated, each a shift or a chain joined by ``+``.

    In the place of a shift may stand a risk (``lighting``), ``all``, or ``blur``: one of several shifts, drawn
    evenly. One that says no severity gets 1..5.

    Raises:
        InputError: what cannot be read, a name that is no shift's, or a value that the shift refuses.
    """
    return tuple(_range(part.strip()) for part in split_outside_brackets(text, ","))


def under_shifts(shifts: Sequence[ShiftRange], images: Tensor, streams: Streams) -> Tensor:
    """Images (N, C, H, W) in [0, 1], each under one of the shifts, drawn evenly."""
    out = images.clone()
    which = (streams.uniform((), "which shift", like=torch.empty(0)) * len(shifts)).long()
    for number, shift in enumerate(shifts):
        places = (which == number).nonzero()[:, 0]
        if len(places):
            own = places.to(images.device)
            out[own] = shift(images[own], streams[places])
    return out


def _range(text: str) -> ShiftRange:
    if not text:
        raise InputError("--shift names an empty shift.", 'Write it like "night(severity=1..4), blur".')
    choices = [_expanded(call) for call in parse(text, ranges=True)]
    return ShiftRange(text, tuple(_space(calls) for calls in itertools.product(*choices)))


def _expanded(call: Call) -> list[Call]:
    """The shifts that a name stands for, each with the arguments of the call."""
    own = _GROUPS.get(call.name.lower())
    if own is not None:
        for name in call.arguments:
            if name != "severity":
                raise InputError(f"{call.name}: {name} is no argument of all its shifts.", "Only severity is.")
        return [replace(call, name=name) for name in own]
    if registry.canonical_name("shift", call.name) is None and not is_reference(call.name):
        if registry.canonical_name("attack", call.name):
            raise InputError(f"{call.name} is an attack.", f"Learn from it by --adversarial {call.name}.")
        raise UnknownNameError("shift", call.name, [*registry.names("shift"), *_GROUPS])
    return [call]


def _space(calls: Sequence[Call]) -> Space:
    """The space of a chain, with a range of severities where none is said."""
    given = space_of(_text(calls), calls)
    full = [
        call
        if "severity" in call.arguments or registry.severity_of(part) is None
        else replace(call, arguments={**call.arguments, "severity": _SEVERITIES})
        for call, part in zip(calls, given.parts, strict=True)
    ]
    return space_of(_text(full), full)


def _text(calls: Sequence[Call]) -> str:
    return " + ".join(format_call(call) for call in calls)


def _count(axis: Axis) -> int:
    """How many of its values are drawn."""
    return min(LEVELS, int(axis.high - axis.low) + 1) if axis.whole else LEVELS
