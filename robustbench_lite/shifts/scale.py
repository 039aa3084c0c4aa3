"""What all shifts share: the severity scale, the arguments that it sets, range checks, the walk over a batch."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Shift

STRONGEST = 5
_PIECE = 1 << 18  # values at a time: 1 MB, which stays in the cache

Levels = Sequence[float] | Mapping[int, Sequence[float]]
"""Values at the severities 0 to 5; or such a list per side of the image in pixels, ascending."""

Change = Callable[[Tensor, Streams], Tensor]
"""What a shift does to images (N, C, H, W), with one stream per image. [0, 1] is seen to afterwards."""


class _Argument(NamedTuple):
    low: float
    high: float
    meaning: str
    levels: Levels | None
    inverse: bool = False


def scaled(levels: Levels, low: float, high: float, meaning: str, *, inverse: bool = False) -> Any:
    """A number that the severity sets unless it is given: a field whose default is None.

    Args:
        levels: what it is at each severity; level 0 changes nothing.
        low: the smallest value that may be given.
        high: the largest.
        meaning: unit and meaning, for the message to one who is out of range.
        inverse: between two levels not the number is linear but its inverse, as the variance of noise is where
            the number counts electrons.
    """
    return dataclasses.field(default=None, metadata={"argument": _Argument(low, high, meaning, levels, inverse)})


def fixed(default: float | None, low: float, high: float, meaning: str) -> Any:
    """A number that the severity leaves alone; None: each sample draws its own. Arguments as for ``scaled``."""
    return dataclasses.field(default=default, metadata={"argument": _Argument(low, high, meaning, None)})


@dataclass(frozen=True)
class ScaledShift(Shift):
    """A shift whose arguments follow the severity unless they are given.

    A subclass is a frozen dataclass. It declares its numbers with ``scaled`` and ``fixed``, and says in ``change``
    what they do. Severity 0 is the identity unless an argument is given.
    """

    together: ClassVar[bool] = False
    """True if ``change`` may see many images at once, because every bit of an image is the same in any company.

    That holds for + - * / sqrt, comparisons, where, rounding, indexing, and minimum and maximum; not for exp, pow,
    sin, sums, means, matrix products, convolutions or interpolation, whose last bits depend on where in memory a
    value lies and how many there are.
    """
    needs_colour: ClassVar[bool] = False
    """True if it says nothing about images that have not three channels; these are refused."""
    random: ClassVar[bool] = False
    """True if it draws numbers for each sample."""
    per_camera: ClassVar[bool] = False
    """True if it draws numbers once for all samples, as for one camera, by ``streams.camera()``, and no others."""
    differentiable: ClassVar[bool] = True
    """True if gradients reach the image."""
    switch: ClassVar[bool] = False
    """True if the severity says off (0) or on, and nothing in between."""
    smooth: ClassVar[tuple[str, ...]] = ()
    """The arguments that gradients reach: ``change`` takes a tensor without dimensions for each of them."""

    severity: float = 3

    def __post_init__(self) -> None:
        check_severity(self.severity)
        for name, argument in self.arguments().items():
            check_range(name, getattr(self, name), argument.low, argument.high, argument.meaning)

    @classmethod
    def arguments(cls) -> dict[str, _Argument]:
        """The fields that were declared with ``scaled`` or ``fixed``."""
        declared = ((f.name, f.metadata.get("argument")) for f in dataclasses.fields(cls))
        return {name: argument for name, argument in declared if argument is not None}

    def values(self, images: Tensor) -> SimpleNamespace:
        """Every number at this severity for images of this size, (N, C, H, W); what was given stays."""
        found = {}
        for name, argument in self.arguments().items():
            value = getattr(self, name)
            if value is None and argument.levels is not None:
                value = at(self.severity, argument.levels, images, inverse=argument.inverse)
            found[name] = value
        return SimpleNamespace(**found)

    def does_something(self) -> bool:
        """Whether it is not the identity: severity above 0, or an argument given that the severity would set."""
        scaled_ones = (name for name, argument in self.arguments().items() if argument.levels is not None)
        return self.severity > 0 or any(getattr(self, name) is not None for name in scaled_ones)

    @abstractmethod
    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        """What is done to images of the size, device and dtype of ``like``, for these values of the arguments.

        Whatever is the same for all images is prepared here, once.
        """

    def __call__(self, images: Tensor, streams: Streams) -> Tensor:
        """Changed images, same shape, in [0, 1]."""
        if not self.does_something():
            return images.clone()
        if images.dim() == 4:  # else each_sample says what is wrong
            check_colour(self, images.shape[1])
            return each_sample(images, streams, self.change(self.values(images), images), together=self.together)
        return each_sample(images, streams, lambda image, _: image)


def number(value: float | Tensor) -> float:
    """The value of an argument that may be a tensor with a gradient, where a plain number is needed."""
    return value.item() if isinstance(value, Tensor) else value


def lacks_colour(shift: Shift, channels: int) -> bool:
    """Whether the shift is about colour and images of so many channels have none."""
    return channels != 3 and getattr(shift, "needs_colour", False)


def with_severity(shift: Shift, severity: float) -> Shift:
    """The same shift at another severity."""
    # A shift is a dataclass by its contract, which a protocol cannot say.
    changed: Shift = dataclasses.replace(shift, severity=severity)  # type: ignore[type-var]
    return changed


def begins_clean(shift: Shift) -> bool:
    """Whether it is the identity at severity 0: no argument was given that the severity would set.

    Of others' shifts this is taken for granted.
    """
    return not isinstance(shift, ScaledShift) or not dataclasses.replace(shift, severity=0).does_something()


def check_colour(shift: Shift, channels: int) -> None:
    """Raise InputError if the shift is about colour and the images have none."""
    if lacks_colour(shift, channels):
        raise InputError(
            f"{type(shift).__name__} changes colour: it needs images of 3 channels, not {channels}.",
            "Leave it out, or read the images in colour: --channels 3.",
        )


def check_choice(name: str, value: str | None, choices: Sequence[str]) -> None:
    """Raise InputError unless the value is None or one of the choices."""
    if value is not None and value not in choices:
        raise InputError(f"{name}={value} is unknown.", f"Choose from {', '.join(choices)}.")


def check_severity(severity: float) -> None:
    """Raise InputError unless the severity is a number from 0 to 5."""
    check_range("severity", severity, 0, STRONGEST, "0 changes nothing, 5 is the strongest; fractions are allowed")


def check_range(name: str, value: float | None, low: float, high: float, meaning: str) -> None:
    """Raise InputError unless the value is None or low <= value <= high.

    Args:
        name: the argument, as the caller writes it.
        value: what was given; None stands for "take it from the severity scale".
        low: the smallest allowed value.
        high: the largest allowed value.
        meaning: unit and meaning, for the message.
    """
    if value is not None and not low <= value <= high:
        raise InputError(
            f"{name}={value:g} is out of range.", f"Give a number from {low:g} to {high:g} ({meaning})."
        )


def at_severity(severity: float, levels: Sequence[float]) -> float:
    """The value of a scale at a severity: linear between the levels 0, 1, … 5; level 0 changes nothing."""
    below = min(int(severity), len(levels) - 1)
    if below == severity or below == len(levels) - 1:
        return float(levels[below])
    return float(levels[below] + (levels[below + 1] - levels[below]) * (severity - below))


def at(severity: float, levels: Levels, images: Tensor, *, inverse: bool = False) -> float:
    """The value of a scale at a severity, for images (N, C, H, W); see ``scaled``."""
    if inverse:
        value = at(severity, _inverted(levels), images)
        return 1 / value if value else math.inf
    return at_size(severity, levels, images) if isinstance(levels, Mapping) else at_severity(severity, levels)


def _inverted(levels: Levels) -> Levels:
    if isinstance(levels, Mapping):
        return {side: [1 / level for level in of_side] for side, of_side in levels.items()}
    return [1 / level for level in levels]


def at_size(severity: float, scales: Mapping[int, Sequence[float]], images: Tensor) -> float:
    """The value of a scale that depends on the size of the image.

    Between the sides that have a table, linear in the logarithm of the image's side; beyond them, the nearest
    table. The side of an image that is not square is that of the square with as many pixels.

    Args:
        severity: 0 to 5.
        scales: side in pixels, ascending -> values at the severities 0 to 5.
        images: (N, C, H, W).
    """
    side = math.sqrt(images.shape[-2] * images.shape[-1])
    if side in scales:
        return at_severity(severity, scales[int(side)])
    values = [at_severity(severity, levels) for levels in scales.values()]
    return float(np.interp(math.log(side), [math.log(known) for known in scales], values))


def each_sample(images: Tensor, streams: Streams, change: Change, *, together: bool = False) -> Tensor:
    """The changed images, cut off at [0, 1]; ``change`` sees one image at a time, as (1, C, H, W).

    One at a time, because the last bits of a power, a sum or a matrix product depend on the size of the
    tensor and on where it starts in memory: the vector units treat the ends of an array differently. So
    an image gets the same bits in every batch. The copy gives every image the same alignment, and keeps
    the input untouched.

    Args:
        images: (N, C, H, W).
        streams: one per image.
        change: what is done. It may write into the images that it is given.
        together: it may see many small images at once; see ``ScaledShift.together``.

    Raises:
        InputError: the images are not (N, C, H, W), or there is not one stream per image.
    """
    if images.dim() != 4:
        raise InputError(f"images have the shape {tuple(images.shape)}.", "Give them as (N, C, H, W).")
    if len(images) != len(streams):
        raise InputError(f"{len(images)} images, but {len(streams)} sample ids.", "Give one id per image.")
    if not len(images):
        return images.clone()
    step = max(1, _PIECE // images[0].numel()) if together else 1
    starts = range(0, len(images), step)

    def piece(start: int) -> Tensor:
        few = images[start : start + step].clone(memory_format=torch.contiguous_format)
        return change(few, Streams(streams.seed, streams.condition, streams.sample_ids[start : start + step]))

    if images.requires_grad:
        return torch.cat([piece(start).clamp(0, 1) for start in starts])
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for start in starts:
        torch.clamp(piece(start), 0, 1, out=out[start : start + step])
    return out
