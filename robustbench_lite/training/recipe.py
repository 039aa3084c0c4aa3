"""What a network is trained on beside the clean images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.specs import parse_number
from robustbench_lite.training.defences import WARMUP, make_defence
from robustbench_lite.training.shifting import ShiftRange, parse_shifts

if TYPE_CHECKING:
    from robustbench_lite.training.defence import Defence

PARTS = ("clean", "shift", "attack")


@dataclass(frozen=True)
class Recipe:
    """What a network is trained on: clean, shifted and attacked images. Without arguments: clean ones.

    Args:
        adversarial: how images are attacked, and what is learnt from them.
        shifts: of which each shifted image gets one.
        mix: weights of clean, shifted and attacked images: each image of a batch is one of them, drawn anew in
            every epoch. By default only attacked ones, half clean and half shifted, or a third each.
        warmup: share of the training over which eps rises from 0.
    """

    adversarial: Defence | None = None
    shifts: tuple[ShiftRange, ...] = ()
    mix: tuple[float, float, float] | None = None
    warmup: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup={self.warmup} is out of range.", "It must be at least 0 and below 1.")
        for weight, name, there in zip(self.weights, PARTS, self._there, strict=True):
            if not 0 <= weight < math.inf:
                raise InputError(f"mix: {name}={weight} is out of range.", "It must be 0 or more.")
            if weight and not there:
                raise InputError(f"mix: {name}={weight:g}, but there is none.", f"Give --{_FLAG[name]}.")
        if not sum(self.weights):
            raise InputError("mix: all weights are 0.", "Give at least one that is not.")

    @property
    def _there(self) -> tuple[bool, bool, bool]:
        return True, bool(self.shifts), self.adversarial is not None

    @property
    def weights(self) -> tuple[float, float, float]:
        """Shares of clean, shifted and attacked images, in some unit."""
        if self.mix is not None:
            return self.mix
        shift, attack = float(bool(self.shifts)), float(self.adversarial is not None)
        return float(not attack or bool(shift)), shift, attack

    def with_eps(self, usual: dict[str, float]) -> Recipe:
        """The recipe with the usual budget of the data where none was given."""
        defence = self.adversarial
        if defence is None or defence.eps is not None:
            return self
        if defence.norm not in usual:
            raise InputError(f"the data have no usual budget in {defence.norm}.", "Give --eps.")
        return replace(self, adversarial=replace(defence, eps=usual[defence.norm]))  # type: ignore[type-var]

    def eps_at(self, progress: float) -> float:
        """The budget when a share of the training is behind: it rises along a line to the end of the warm-up."""
        full = 0.0 if self.adversarial is None else self.adversarial.eps or 0.0
        return full * min(1.0, progress / self.warmup) if self.warmup else full

    def fitting(self, channels: int) -> Recipe:
        """The recipe less the shifts of a risk that need colour which images of so many channels have not.

        Raises:
            InputError: such a shift was named itself.
        """
        return replace(self, shifts=tuple(shift.fitting(channels) for shift in self.shifts))


_FLAG = {"clean": "data", "shift": "shift", "attack": "adversarial"}


def make_recipe(
    *,
    adversarial: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    shift: str | None = None,
    mix: str | None = None,
    warmup: float | None = None,
) -> Recipe:
    """A recipe from texts.

    Args:
        adversarial: ``fast``, ``pgd``, ``trades``, a spec of one, or of any attack.
        arguments: of ``adversarial``, beside those in the spec.
        shift: shifts with ranges, ``night(severity=1..4), gaussian_blur``.
        mix: ``clean=1, shift=1, attack=2``.
        warmup: share of the training over which eps rises; by default 0.3.

    Raises:
        InputError: what cannot be read, or does not fit together.
    """
    if adversarial is None and (arguments or warmup is not None):
        name = next(iter(arguments or {"warmup": None})).replace("_", "-")
        raise InputError(f"--{name} means nothing without --adversarial.", "Give --adversarial, like pgd.")
    default = 0.0 if adversarial is None else WARMUP
    return Recipe(
        adversarial=None if adversarial is None else make_defence(adversarial, arguments),
        shifts=() if shift is None else parse_shifts(shift),
        mix=None if mix is None else parse_mix(mix),
        warmup=default if warmup is None else warmup,
    )


def parse_mix(text: str) -> tuple[float, float, float]:
    """``clean=1, shift=2, attack=1`` as numbers; what is not named is 0.

    Raises:
        InputError: another name, or no number.
    """
    weights, seen = dict.fromkeys(PARTS, 0.0), set[str]()
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in weights:
            raise UnknownNameError("part of --mix", name, PARTS)
        if name in seen:
            raise InputError(f"mix: {name} stands twice.", "Keep one of them.")
        seen.add(name)
        weights[name] = parse_number(value or "1")
    return weights["clean"], weights["shift"], weights["attack"]
