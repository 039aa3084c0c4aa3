"""Ranges of the arguments of shifts: where a search for the worst case looks."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustbench_lite.applying import with_streams
from robustbench_lite.errors import InputError
from robustbench_lite.registry import make
from robustbench_lite.shifts.published import Published
from robustbench_lite.shifts.scale import ScaledShift
from robustbench_lite.specs import Call, Range, format_call, parse
from robustbench_lite.types import Condition, Shift, is_shift

_DIGITS = 6  # of a value that is tried: what is found can be written down, and is the same when it is read


class Axis(NamedTuple):
    """One argument that varies."""

    part: int  # place of its shift in the chain
    name: str
    label: str  # for people and columns: shift.argument
    low: float
    high: float
    whole: bool  # whole numbers only

    def value(self, share: float) -> float | int:
        """The value at a share of the way from low to high."""
        exact = self.low + share * (self.high - self.low)
        if self.whole:
            return min(int(self.high), round(exact))
        return min(self.high, max(self.low, float(f"{exact:.{_DIGITS}g}")))


@dataclass(frozen=True)
class Space:
    """A chain of shifts, some arguments of which vary. A point of it is a share of the way along every axis."""

    text: str
    parts: tuple[Shift, ...]  # with every axis at its low end
    axes: tuple[Axis, ...]

    def condition(self, point: Sequence[float]) -> Condition:
        """The chain of plain shifts at a point, (D,) in [0, 1]."""
        given: dict[int, dict[str, Any]] = {}
        for axis, share in zip(self.axes, point, strict=True):
            given.setdefault(axis.part, {})[axis.name] = axis.value(share)
        parts = (dataclasses.replace(part, **given.get(i, {})) for i, part in enumerate(self.parts))  # type: ignore[type-var]
        return Condition(tuple(parts))

    def values(self, point: Sequence[float]) -> dict[str, float]:
        """The arguments at a point, by their labels."""
        return {axis.label: axis.value(share) for axis, share in zip(self.axes, point, strict=True)}

    @property
    def smooth(self) -> bool:
        """Whether gradients lead from the changed image to every argument that varies."""
        first = min(axis.part for axis in self.axes)
        scaled = [part for part in self.parts if isinstance(part, ScaledShift)]
        return (
            len(scaled) == len(self.parts)
            and all(part.differentiable for part in scaled[first + 1 :])
            and all(axis.name in scaled[axis.part].smooth for axis in self.axes)
        )

    def changed(
        self, point: Sequence[float], image: Tensor, sample_id: str, seed: int
    ) -> tuple[Tensor, list[Tensor]]:
        """An image (1, C, H, W) at a point, with a graph to the values (each without dimensions) of the axes.

        What ``applying.shifted`` returns, but for rounding. The space must be smooth.
        """
        values = [torch.tensor(axis.value(share)).to(image) for axis, share in zip(self.axes, point, strict=True)]
        with torch.enable_grad():
            values = [value.requires_grad_() for value in values]
            for i, (part, streams) in enumerate(with_streams(self.condition(point), seed, (sample_id,))):
                assert isinstance(part, ScaledShift)
                at = part.values(image)
                for axis, value in zip(self.axes, values, strict=True):
                    if axis.part == i:
                        setattr(at, axis.name, value)
                image = part.change(at, image)(image.clone(), streams).clamp(0, 1)
        return image, values


def singles(images: Tensor) -> list[Tensor]:
    """Every image of (N, C, H, W) as (1, C, H, W)."""
    return [images[i : i + 1] for i in range(len(images))]


def read_space(text: str) -> Space:
    """The space that a spec with ranges describes: ``night(exposure_ev=-4..-1) + rotation(degrees=-10..10)``.

    Raises:
        InputError: no range, an attack, a range that runs backwards, or ends that the shift refuses.
    """
    calls = parse(text, ranges=True)
    if not any(isinstance(value, Range) for call in calls for value in call.arguments.values()):
        raise InputError(f"{text!r} has no range.", 'Write one: rb shift --search "night(exposure_ev=-4..-1)".')
    return space_of(text, calls)


def space_of(text: str, calls: Sequence[Call]) -> Space:
    """The space of a chain of shifts, by its calls; without a range it is a single point.

    Raises:
        InputError: an attack, a range of something that is no number, that runs backwards, or whose ends the shift
            refuses.
    """
    parts, axes = [], []
    for i, call in enumerate(calls):
        ends = [_part(call, end) for end in ("low", "high")]  # each end must be allowed
        parts.append(ends[0])
        again = any(call.name == other.name for other in calls[:i])
        axes += [
            _axis(i, ends[0], call.name, again, key, v)
            for key, v in call.arguments.items()
            if isinstance(v, Range)
        ]
    return Space(text, tuple(parts), tuple(axes))


def _part(call: Call, end: str) -> Shift:
    given = {k: getattr(v, end) if isinstance(v, Range) else v for k, v in call.arguments.items()}
    (part,) = make(format_call(Call(call.name, given, call.parts))).parts or (None,)
    if part is None or not is_shift(part):
        raise InputError(f"{call.name} is no shift.", "Ranges are for shifts; for attacks there is rb attack.")
    return part


def _axis(place: int, part: Shift, name: str, repeated: bool, key: str, found: Range) -> Axis:
    if not found.low < found.high:
        raise InputError(f"{key}={found.low:g}..{found.high:g} holds no range.", "Write the smaller number first.")
    hint = typing.get_type_hints(type(part)).get(key)
    kinds = {hint, *typing.get_args(hint)}
    if not kinds & {int, float}:
        raise InputError(
            f"{name}: {key}={found.low:g}..{found.high:g}: only numbers have ranges.", "Give one value."
        )
    whole = float not in kinds or (isinstance(part, Published) and key == "severity")
    return Axis(place, key, f"{name}{f'#{place + 1}' * repeated}.{key}", found.low, found.high, whole)
