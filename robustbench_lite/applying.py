"""What a condition does to a batch: every part in turn, and nothing taken on trust."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.drafting import Drafted, doubtful, drafted
from robustbench_lite.attacks.losses import reached, wanted
from robustbench_lite.errors import InputError, RbError
from robustbench_lite.registry import make, name_of, spec
from robustbench_lite.rng import Streams
from robustbench_lite.shifts.scale import ScaledShift, begins_clean, check_colour, lacks_colour
from robustbench_lite.types import Attack, Condition, Fills, Model, Shift, Traced, is_attack, is_shift

BUDGET_TOLERANCE = 1e-6


class Outcome(NamedTuple):
    """Images (N, C, H, W) after a condition, and what became of each, (N,)."""

    images: Tensor
    lost: Tensor  # bool: wrong before an attack, which counts as wrong whatever follows
    attacked: Tensor  # bool
    goal: Tensor | None  # what the last attack was to reach: (N,) classes or (N, K) distributions
    by: list[str | None]  # which attack of a portfolio fooled the network
    filled: Tensor | None  # share of pixels that a shift invented, in a chain the largest; None if none of it can
    eight_bit: Tensor  # the images as a file of 8 bits holds them, within the budget of an attack that comes last


def resolve(condition: Condition, eps: dict[str, float]) -> Condition:
    """The condition with the data's usual budget wherever an attack was given none."""

    def filled(part: Attack | Shift) -> Attack | Shift:
        if is_attack(part) and getattr(part, "eps", 0) is None:
            usual = eps.get(part.norm)
            if usual is None:
                raise InputError(f"there is no usual eps for {part.norm} on these data.", "Give --eps.")
            return dataclasses.replace(part, eps=usual)  # type: ignore[type-var]
        return part

    return Condition(tuple(filled(part) for part in condition.parts))


def plan(conditions: Sequence[Condition | Attack | Shift | str], eps: dict[str, float]) -> list[Condition]:
    """The conditions as they will run: clean first, each once, every budget filled in."""
    full = [Condition()]
    for given in conditions:
        if isinstance(given, str):
            condition = make(given)
        else:
            condition = given if isinstance(given, Condition) else Condition((given,))
        condition = resolve(condition, eps)
        if condition not in full:
            full.append(condition)
    return full


def needing_colour(conditions: Sequence[Condition], channels: int) -> list[Condition]:
    """The conditions with a shift of colour, if images of so many channels have none."""
    return [c for c in conditions if any(is_shift(part) and lacks_colour(part, channels) for part in c.parts)]


def by_severity(condition: Condition, shape: tuple[int, ...]) -> dict[str, Any]:
    """What a record says of a single shift: ``values`` that follow its severity, and ``from_clean``.

    Args:
        condition: any.
        shape: (C, H, W) of an image.
    """
    part = condition.parts[0] if len(condition.parts) == 1 else None
    if not isinstance(part, ScaledShift):
        return {}
    like, at = torch.empty(1, *shape), (part.severity, 1, 5)
    here, mild, strong = (vars(dataclasses.replace(part, severity=severity).values(like)) for severity in at)
    return {
        "values": {name: float(here[name]) for name in here if mild[name] != strong[name]},
        "from_clean": begins_clean(part),
    }


def check_colours(conditions: Sequence[Condition], channels: int) -> None:
    """Raise InputError if a shift needs colour that images of so many channels have not."""
    for part in (part for condition in conditions for part in condition.parts if is_shift(part)):
        check_colour(part, channels)


def check_fits(
    conditions: Sequence[Condition], spec: str, labels: npt.NDArray[np.int64], classes: int, shape: tuple[int, ...]
) -> None:
    """Raise InputError if an attack or a shift cannot be meant for these data.

    That is: a shift of colour on images without; a target that is no class of theirs or the label of every image,
    a distribution over another number of classes; or an eps, as on the scale 0-255, beyond the way from an all
    black to an all white image.

    Args:
        conditions: budgets filled in.
        spec: of the data.
        labels: (N,).
        classes: how many there are.
        shape: (C, H, W) of an image.
    """
    check_colours(conditions, shape[0])
    for attack in (attack for condition in conditions for attack in condition.attacks):
        name = name_of(type(attack))
        target, eps = getattr(attack, "target", None), getattr(attack, "eps", None)
        if isinstance(target, int):
            if not 0 <= target < classes:
                raise InputError(
                    f"{name}: target={target} is no class: {spec} has {classes}.", f"Give 0 to {classes - 1}."
                )
            if (labels == target).all():
                raise InputError(
                    f"{name}: target={target} is the label of every image of {spec}: nothing is left to attack.",
                    "Give another target, or images of other classes.",
                )
        if isinstance(target, tuple) and len(target) != classes:
            raise InputError(
                f"{name}: target has {len(target)} probabilities: {spec} has {classes} classes.",
                "Give one per class.",
            )
        if eps is not None and attack.norm in norms.NORMS:
            furthest = float(norms.size(torch.ones(1, *shape), attack.norm))
            if eps > furthest * (1 + BUDGET_TOLERANCE):
                raise InputError(
                    f"{name}: eps={eps:g} in {attack.norm} is more than the way from black to white, "
                    f"{furthest:g} here: images are in [0, 1].",
                    f"Did you mean eps={eps:g}/255?",
                )


def apply(
    condition: Condition,
    classifier: Model,
    images: Tensor,
    labels: Tensor,
    clean: Tensor,
    sample_ids: tuple[str, ...],
    seed: int,
    *,
    as_8bit: bool = False,
) -> Outcome:
    """Apply a condition to one batch.

    Args:
        condition: what is done.
        classifier: what attacks see.
        images: (N, C, H, W), the clean images.
        labels: (N,).
        clean: (N, K), the logits of the clean images.
        sample_ids: one per image.
        seed: the run's.
        as_8bit: round what an attack returns to 8 bits, within its budget.

    Raises:
        RbError: a part returned what it must not.
    """
    x = before = images
    by: list[str | None] = [None] * len(images)
    lost, attacked = torch.zeros_like(labels, dtype=torch.bool), torch.zeros_like(labels, dtype=torch.bool)
    goal: Tensor | None = None
    filled: Tensor | None = None
    for part, streams in with_streams(condition, seed, sample_ids):
        name, before = spec(part), x
        if is_shift(part):
            if isinstance(part, Fills):
                share = _verified_share(part, name, x, part.filled(x, streams))
                filled = share if filled is None else torch.maximum(filled, share)
            x = _verified(part, name, x, part(x, streams))
        elif is_attack(part):
            logits = clean if x is images else classifier(x)
            goal = wanted(getattr(part, "target", None), logits)
            lost |= logits.argmax(1) != labels
            fit = ~lost if goal is None else ~lost & ~reached(logits, goal, targeted=True)
            attacked |= fit
            if fit.any():
                places = fit.nonzero()[:, 0].tolist()
                given, x = x[fit], x.clone()
                model = drafted(part, classifier, given)
                after, names = _attack(part, name, model, given, labels[fit], streams[places])
                x[fit] = _rounded(part, given, after) if as_8bit else after
                for place, fooled_by in zip(places, names, strict=True):
                    by[place] = fooled_by
    eight_bit = _rounded(condition.parts[-1], before, x) if condition.attacks else x
    return Outcome(x, lost, attacked, goal, by, filled, eight_bit)


def with_streams(
    condition: Condition, seed: int, sample_ids: tuple[str, ...]
) -> Iterator[tuple[Attack | Shift, Streams]]:
    """Every part, and the random streams of a batch under it.

    A part has the same stream alone and in a chain; a repeated one must not repeat its numbers. A shift draws the
    same at every severity, so that the severity is all that differs.
    """
    seen: list[str] = []
    for part in condition.parts:
        source = name_of(type(part)) if is_shift(part) else spec(part)
        yield part, Streams(seed, source + "#" * seen.count(source), sample_ids)
        seen.append(source)


def shifted(condition: Condition, images: Tensor, sample_ids: tuple[str, ...], seed: int) -> Tensor:
    """Images (N, C, H, W) after a chain of shifts alone, as ``apply`` changes them; no network is asked.

    Raises:
        RbError: a part returned what it must not.
    """
    for part, streams in with_streams(condition, seed, sample_ids):
        assert is_shift(part), "an attack needs a network"
        images = _verified(part, spec(part), images, part(images, streams))
    return images


def _attack(
    part: Attack, name: str, model: Model, images: Tensor, labels: Tensor, streams: Streams
) -> tuple[Tensor, list[str | None]]:
    """What an attack returns, verified, and for a portfolio which of its attacks fooled the network."""
    names: list[str | None]
    if isinstance(part, Traced):
        found, names = part.trace(model, images.clone(), labels, streams)
    else:
        found, names = part(model, images.clone(), labels, streams), [None] * len(labels)
    after = _verified(part, name, images, found)
    if len(names) != len(images):
        raise InputError(f"{name} named {len(names)} attacks for {len(images)} images.", "Mend it.")
    again = doubtful(part, model, after, labels)
    if again and isinstance(model, Drafted):
        after[again], redone = _attack(part, name, model.truth, images[again], labels[again], streams[again])
        names = [redone[again.index(i)] if i in again else old for i, old in enumerate(names)]
    return after, names


def _rounded(part: Attack | Shift, before: Tensor, after: Tensor) -> Tensor:
    eps = getattr(part, "eps", None) if is_attack(part) else None
    return norms.round_8bit(after, before, eps, part.norm if is_attack(part) else "linf")


def _verified(part: Attack | Shift, name: str, before: Tensor, after: Any) -> Tensor:
    """The output of an attack or shift, if it is what it must be.

    Raises:
        RbError: wrong shape or type, not finite, outside [0, 1], or over the budget. A fault of ours for
            what we wrote, a refused input (InputError) for what others did.
    """
    if problem := _problem(part, before, after):
        raise _fault(part, name, problem)
    checked: Tensor = after
    return checked


def _verified_share(part: Shift, name: str, images: Tensor, share: Any) -> Tensor:
    """The share of invented pixels that a shift tells, if it can be one; errors as for ``_verified``."""
    if not isinstance(share, Tensor) or share.shape != (len(images),):
        raise _fault(part, name, f"told no share of filled pixels for each of {len(images)} images")
    if not ((share >= 0) & (share <= 1)).all():
        raise _fault(part, name, "told a share of filled pixels outside [0, 1]")
    return share


def _fault(part: Attack | Shift, name: str, problem: str) -> RbError:
    ours = type(part).__module__.startswith("robustbench_lite.")
    return (RbError if ours else InputError)(f"{name} {problem}.", "" if ours else "Mend it.")


def _problem(part: Attack | Shift, before: Tensor, after: Any) -> str | None:
    if not isinstance(after, Tensor) or after.shape != before.shape or after.dtype != before.dtype:
        got = f"{tuple(after.shape)} {after.dtype}" if isinstance(after, Tensor) else type(after).__name__
        return f"returned {got} for images of {tuple(before.shape)} {before.dtype}"
    if not after.isfinite().all():
        return "returned images with NaN or infinity"
    if after.min() < 0 or after.max() > 1:
        return f"returned values from {float(after.min()):.4g} to {float(after.max()):.4g}, outside [0, 1]"
    if is_attack(part) and (eps := getattr(part, "eps", None)) is not None:
        largest = float(norms.size(after - before, part.norm).max())
        if largest > eps + BUDGET_TOLERANCE * max(1, eps):
            return f"went over its budget: {part.norm} {largest:.6g} > {eps:.6g}"
    return None
