"""An evolution strategy: many changes are tried at once, from scores alone, and those that help are combined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import Target, check_target, goal_of, loss_function, reached
from robustbench_lite.attacks.square import ROUNDING, first_trial, next_trial, side_of_square
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

_BLOCK = 8  # generations whose random numbers are drawn at once


@dataclass(frozen=True)
class Evolution(Attack):
    """A (1 + λ) evolution strategy: λ mutations of the best image so far, and a child of those that helped.

    Evolution strategies as black-box attacks: Meunier, Atif & Teytaud, *Yet another but more efficient black-box
    adversarial attack: tiling and evolution strategies*, 2019. A mutation is a random square, as in the square
    attack (Andriushchenko et al., ECCV 2020). Where several children of a generation beat their parent, the next
    generation holds one that has the changes of all. A query is one forward pass of one image; an image is
    finished in the first generation that holds a child that reaches the goal.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf`` or ``l2``.
        queries: the most that one image may cost; the look at the unchanged image for a target is one.
        population: children in a generation, λ.
        loss: ``margin`` or ``ce``; by default margin, and towards a target ce.
        p_init: share of the image that the first squares cover; the schedule is scaled to ``queries``.
        target: a class index, ``least-likely``, or (``loss=ce``) a probability per class; None leaves the label.
    """

    needs_gradient: ClassVar[bool] = False

    eps: float | None = None
    norm: Literal["linf", "l2"] = "linf"
    queries: int = 5000
    population: int = 16
    loss: Literal["margin", "ce"] | None = None
    p_init: float = 0.8
    target: Target = None

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        for name, low in (("queries", 2), ("population", 1)):
            if getattr(self, name) < low:
                raise InputError(
                    f"evolution: {name}={getattr(self, name)} is out of range.", f"It must be at least {low}."
                )
        check_target(self.target, self.loss or "ce")
        if not 0 < self.p_init <= 1:
            raise InputError(f"evolution: p_init={self.p_init} is out of range.", "It must be in (0, 1].")

    def max_cost(self) -> Cost:
        return Cost(self.queries, 0)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps = norms.check_eps(self.eps, self.norm)
        result = images.clone()
        if eps == 0:
            return result
        goal, targeted = goal_of(self.target, model, images, labels)
        # A few images at a time, so that a generation of them needs no more memory than the batch.
        for part in torch.split(torch.arange(len(images)), max(len(images) // self.population, 1)):
            result[part] = self._search(
                model, images[part], goal[part], streams[part], eps, self.queries - targeted
            )
        return result

    def _search(self, model: Model, x: Tensor, goal: Tensor, streams: Streams, eps: float, queries: int) -> Tensor:
        """Best images, or the first that reached the goal."""
        result, place = x.clone(), torch.arange(len(x), device=x.device)
        parent, value, spent, generation = x, x.new_full((len(x),), -torch.inf), 0, 0
        first = [first_trial(x, streams, eps, self.norm, k) for k in range(min(self.population, queries))]
        children, numbers = torch.stack(first, 1), x.new_empty(len(x), 0)
        while True:
            loss, hit = self._scored(model, children, goal, value)
            spent += children.shape[1]
            best, winner = loss.max(1)
            child = children[torch.arange(len(x)), winner]
            mixed, several = _union(parent, children, loss)
            better = norms.per_sample(best > value, x)
            parent, value = torch.where(better, child, parent), torch.maximum(best, value)
            if hit.any():  # the one look from the host in a generation
                fallen = hit.any(1)
                result[place[fallen]] = children[fallen, hit.long().argmax(1)[fallen]]
                place, x, goal, parent, value, mixed, several, numbers = (
                    t[~fallen] for t in (place, x, goal, parent, value, mixed, several, numbers)
                )
            if spent == queries or len(x) == 0:
                break
            if generation % _BLOCK == 0:
                shape = (_BLOCK, self.population, 5 + x.shape[1])
                numbers = streams[place].uniform(shape, generation, like=x)
            size = min(self.population, queries - spent)
            drawn = numbers[:, generation % _BLOCK, :size]
            side = side_of_square(self.norm, self.p_init, spent / queries, x.shape[2:])
            children = self._children(x, parent, drawn, eps, side)
            if generation:  # the first children have no parent
                mixed = (x + norms.project(mixed - x, eps, self.norm)).clamp(0, 1)
                children[:, 0] = torch.where(norms.per_sample(several, x), mixed, children[:, 0])
            generation += 1
        result[place] = parent
        return result

    def _children(self, x: Tensor, parent: Tensor, numbers: Tensor, eps: float, side: int) -> Tensor:
        """The parents (N, C, H, W) with one square changed in each child, (N, λ, C, H, W)."""
        many = numbers.shape[1]
        x, parent = x.repeat_interleave(many, 0), parent.repeat_interleave(many, 0)
        trial = next_trial(x, parent, numbers.flatten(0, 1), eps, self.norm, side)
        return trial.view(-1, many, *x.shape[1:])

    def _scored(self, model: Model, children: Tensor, goal: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of every child, (N, λ), -inf where it does not beat the parent's, and which reached the goal."""
        targeted = self.target is not None
        many = children.shape[1]
        logits, goals = model(children.flatten(0, 1)), goal.repeat_interleave(many, 0)
        loss = loss_function(self.loss or ("ce" if targeted else "margin"), goals, targeted=targeted)(logits)
        better = loss > value.repeat_interleave(many) + ROUNDING * logits.abs().amax(1)
        loss = torch.where(better, loss, -torch.inf)
        return loss.view(-1, many), reached(logits, goals, targeted=targeted).view(-1, many)


def _union(parent: Tensor, children: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    """The parents with the changes of all better children, the best one's on top; and where there are several."""
    changed = children != parent[:, None]
    ranked = torch.where(changed, loss[(..., *[None] * (parent.dim() - 1))], -torch.inf)
    top, which = ranked.max(1, keepdim=True)
    mixed = torch.where(top > -torch.inf, children.gather(1, which), parent[:, None])[:, 0]
    return mixed, (loss > -torch.inf).sum(1) > 1
