"""Several attacks, one verdict: each gets the images that the ones before it could not fool."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.drafting import run
from robustbench_lite.attacks.losses import margin, reached
from robustbench_lite.errors import InputError
from robustbench_lite.registry import spec
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model, Trace, Traced, is_attack


@dataclass(frozen=True)
class Worst(Attack):
    """The per-sample worst case of a list of attacks: an image is robust if it resists all of them.

    The attacks run in the order given, and each gets only the images that resisted those before it, so the cheap
    ones go first. A member that looks for the smallest perturbation has fooled an image if what it found is within
    the budget; one that can (``StopsWithin``) stops there.

    Args:
        attacks: the members, in the brackets of the spec without a name: ``worst(pgd, square, eps=8/255)``. They
            are of one norm; those that take a budget share the one of the portfolio.
        eps: size of the budget on the [0, 1] scale.
    """

    attacks: tuple[Attack, ...] = ()
    eps: float | None = None

    def __post_init__(self) -> None:
        if not self.attacks or not all(map(is_attack, self.attacks)):
            raise InputError("worst needs attacks.", "Write it like worst(pgd, square, eps=8/255).")
        if len({attack.norm for attack in self.attacks}) > 1:
            found = ", ".join(f"{spec(attack)}: {attack.norm}" for attack in self.attacks)
            raise InputError(f"the attacks of worst differ in their norm ({found}).", "Take attacks of one norm.")
        budgets = {self.eps, *(getattr(attack, "eps", None) for attack in self.attacks)} - {None}
        if len(budgets) > 1:
            raise InputError("worst has one budget for all its attacks.", "Give eps once: worst(pgd, eps=8/255).")
        # One way to say it: the budget stands in the portfolio, not in its members.
        object.__setattr__(self, "eps", budgets.pop() if budgets else None)
        object.__setattr__(self, "attacks", tuple(with_eps(attack, None) for attack in self.attacks))
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)

    @property
    def norm(self) -> str:
        return self.attacks[0].norm

    @property
    def members(self) -> tuple[str, ...]:
        return member_names(self.attacks)

    @property
    def needs_gradient(self) -> bool:  # type: ignore[override]
        return any(attack.needs_gradient for attack in self.attacks)

    def max_cost(self) -> Cost:
        return total_cost(self.attacks)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        return self.trace(model, images, labels, streams).images

    def trace(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Trace:
        eps = norms.check_eps(self.eps, self.norm)
        return run_all(self.attacks, model, images, labels, streams, eps)


def with_eps(attack: Attack, eps: float | None) -> Attack:
    """The attack with this budget, if it takes one."""
    if not hasattr(attack, "eps"):
        return attack
    changed: Attack = dataclasses.replace(attack, eps=eps)  # type: ignore[type-var]
    return changed


def member_names(attacks: Sequence[Attack]) -> tuple[str, ...]:
    """The names that hits go under; those of a portfolio inside are its own."""
    names = [
        name
        for attack in attacks
        for name in (attack.members if isinstance(attack, Traced) else (spec(with_eps(attack, None)),))
    ]
    return tuple(dict.fromkeys(names))


def total_cost(attacks: Sequence[Attack]) -> Cost:
    """The most that one image may cost: all attacks, and a look at each result."""
    costs = [attack.max_cost() for attack in attacks]
    return Cost(sum(c.forwards + 1 for c in costs), sum(c.gradients for c in costs))


def run_all(
    attacks: Sequence[Attack], model: Model, images: Tensor, labels: Tensor, streams: Streams, eps: float
) -> Trace:
    """One attack after another on the images that resist.

    An image that resists all of them is returned as the attack left it that came closest, by margin.

    Args:
        attacks: of one norm.
        model: the classifier.
        images: (N, C, H, W) in [0, 1].
        labels: (N,).
        streams: one per image.
        eps: the budget of all.
    """
    result = images.clone()
    by: list[str | None] = [None] * len(images)
    closest = torch.full((len(images),), -torch.inf, device=images.device)
    active = torch.arange(len(images), device=images.device)
    for number, attack in enumerate(attacks):
        if len(active) == 0 or eps == 0:
            break
        own = dataclasses.replace(streams[active], condition=f"{streams.condition}/{number}")
        x, y = images[active], labels[active]
        found, names = _one(with_eps(attack, eps), model, x, y, own, eps)
        inside = norms.size(found - x, attack.norm) <= eps + 1e-6 * max(1, eps)  # as the evaluator
        logits = model(found)
        lead = torch.where(inside, margin(logits, y).nan_to_num(nan=torch.inf), -torch.inf)
        better = lead > closest[active]
        result[active[better]], closest[active[better]] = found[better], lead[better]
        hit = inside & reached(logits, y, targeted=False)
        result[active[hit]] = found[hit]
        for place, index in zip(hit.nonzero()[:, 0].tolist(), active[hit].tolist(), strict=True):
            by[index] = names[place]
        active = active[~hit]
    return Trace(result, by)


def _one(
    attack: Attack, model: Model, x: Tensor, y: Tensor, streams: Streams, eps: float
) -> tuple[Tensor, Sequence[str | None]]:
    """What one member found, and the names that its hits go under: a portfolio's members have their own."""
    if isinstance(attack, Traced):
        return attack.trace(model, x, y, streams)
    return run(attack, model, x, y, streams, eps), [spec(with_eps(attack, None))] * len(x)
