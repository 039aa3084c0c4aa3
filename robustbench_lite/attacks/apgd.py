"""Auto-PGD: projected gradient descent that finds its step size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import (
    LossName,
    Target,
    check_target,
    goal_of,
    loss_function,
    loss_towards,
    ranked_rivals,
    reached,
)
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

# Constants of the paper, section 3: a step goes 0.75 of the way and keeps 0.25 of the last move; of the steps
# between two checkpoints, less than 0.75 must have raised the loss for the step to be halved.
_ALPHA = 0.75
_RHO = 0.75


@dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD: PGD with momentum that halves its step where the loss no longer rises; no step size to choose.

    Croce & Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks*, ICML 2020. The step begins at 2 · eps. At fixed checkpoints every image for itself halves it and
    returns to its best point, if too few of the last steps raised the loss, or the best point has not changed. An
    image is finished as soon as any iterate reaches the goal, and costs nothing from then on.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf`` or ``l2``.
        steps: gradient steps per try.
        restarts: tries, each from a random point of the ball.
        loss: ``ce``, ``dlr`` (does not depend on the scale of the logits) or ``margin``.
        target: a class index, ``least-likely``, or (``loss=ce``) a probability per class that must be reached;
            None leaves the label.
        targets: try so many wrong classes one after another, the likeliest first, each with all restarts; any
            wrong class counts. 9 is the paper's APGD-T. 0: no class in particular.
    """

    eps: float | None = None
    norm: Literal["linf", "l2"] = "linf"
    steps: int = 100
    restarts: int = 1
    loss: LossName = "ce"
    target: Target = None
    targets: int = 0

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        check_target(self.target, self.loss)
        for name, low in (("steps", 1), ("restarts", 1), ("targets", 0)):
            if getattr(self, name) < low:
                raise InputError(
                    f"apgd: {name}={getattr(self, name)} is out of range.", f"It must be at least {low}."
                )
        if self.target is not None and self.targets:
            raise InputError("apgd: target and targets exclude each other.", "Give one of them.")

    def max_cost(self) -> Cost:
        # Every try looks at its last iterate once more; targets cost one look at the unchanged image.
        tries = self.restarts * max(self.targets, 1)
        looks = self.target is not None or self.targets > 0
        return Cost(tries * (self.steps + 1) + looks, tries * self.steps)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps = norms.check_eps(self.eps, self.norm)
        goal, _ = goal_of(self.target, model, images, labels)
        rivals = ranked_rivals(model(images), labels, self.targets) if self.targets else labels[:, None]
        result = images.clone()
        active = torch.arange(len(images), device=images.device)
        for number in range(rivals.shape[1] * self.restarts):
            if len(active) == 0 or eps == 0:
                break
            rank, restart = divmod(number, self.restarts)
            x = images[active]
            start = norms.random_start(streams[active], x, eps, self.norm, rank, restart)
            final, done = self.climb(model, x, (x + start).clamp(0, 1), goal[active], rivals[active, rank], eps)
            result[active] = final
            active = active[~done]
        return result

    def _loss(self, goal: Tensor, rival: Tensor) -> Callable[[Tensor], Tensor]:
        if self.targets:
            return loss_towards(self.loss, goal, rival)
        return loss_function(self.loss, goal, targeted=self.target is not None)

    def climb(
        self, model: Model, x: Tensor, z: Tensor, goal: Tensor, rival: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Best points, or the first that reached the goal, and which did.

        Args:
            model: the classifier.
            x, z: (N, C, H, W) the images, and where the climb starts.
            goal: the labels to leave, or what is to be reached.
            rival: (N,) with ``targets``: the class that is to overtake the label.
            eps: the budget.
        """
        targeted = self.target is not None
        result = z.clone()
        done = torch.ones(len(x), dtype=torch.bool, device=x.device)
        state = _start(x, z, goal, rival, 2 * eps)
        checkpoints = _checkpoints(self.steps)
        last = 0
        for step in range(self.steps):
            loss = self._loss(state.goal, state.rival)
            logits, gradient = model.gradient(state.z, loss)
            hit = reached(logits, state.goal, targeted=targeted)
            state = _seen(state, loss(logits), gradient)
            if hit.any():  # the one look from the host in a step
                result[state.place[hit]] = state.z[hit]
                state = _State(*(t[~hit] for t in state))
                if len(state.place) == 0:
                    return result, done
            if step in checkpoints:
                state = _check(state, step - last)
                last = step
            state = self._step(state, eps, 1.0 if step == 0 else _ALPHA)
        logits = model(state.z)
        hit = reached(logits, state.goal, targeted=targeted)
        better = hit | (self._loss(state.goal, state.rival)(logits) > state.best_value)
        result[state.place] = torch.where(norms.per_sample(better, x), state.z, state.best)
        done[state.place] = hit
        return result, done

    def _step(self, state: _State, eps: float, alpha: float) -> _State:
        """Algorithm 1, lines 7 and 8: a step uphill; of it ``alpha`` is taken, and the rest from the last move."""
        x, z = state.x, state.z
        ahead = z + norms.per_sample(state.length, z) * norms.steepest(state.gradient, self.norm)
        ahead = (x + norms.project(ahead - x, eps, self.norm)).clamp(0, 1)
        ahead = z + alpha * (ahead - z) + (1 - alpha) * (z - state.before)
        ahead = (x + norms.project(ahead - x, eps, self.norm)).clamp(0, 1)
        return state._replace(z=ahead, before=z)


class _State(NamedTuple):
    """The climb of the images that still resist: one row each."""

    place: Tensor  # (N,) where the image stands in the batch
    x: Tensor
    goal: Tensor
    rival: Tensor
    z: Tensor  # the iterate
    before: Tensor  # the one before
    value: Tensor  # (N,) loss at z
    gradient: Tensor
    best: Tensor  # the iterate with the highest loss
    best_value: Tensor
    best_gradient: Tensor
    checked_value: Tensor  # best_value at the last checkpoint
    length: Tensor  # (N,) of the step
    halved: Tensor  # (N,) bool: at the last checkpoint
    rises: Tensor  # (N,) steps since then that raised the loss


def _start(x: Tensor, z: Tensor, goal: Tensor, rival: Tensor, length: float) -> _State:
    nothing = x.new_full((len(x),), -torch.inf)
    return _State(
        place=torch.arange(len(x), device=x.device),
        x=x,
        goal=goal,
        rival=rival,
        z=z,
        before=z,
        value=nothing,
        gradient=torch.zeros_like(x),
        best=z,
        best_value=nothing,
        best_gradient=torch.zeros_like(x),
        checked_value=nothing,
        length=torch.full_like(nothing, length),
        halved=torch.zeros_like(rival, dtype=torch.bool),
        rises=torch.zeros_like(rival),
    )


def _seen(state: _State, value: Tensor, gradient: Tensor) -> _State:
    """After a look at the iterate: its loss and gradient, and the best so far."""
    better = value > state.best_value
    images = norms.per_sample(better, state.z)
    first = state.value == -torch.inf
    return state._replace(
        value=value,
        gradient=gradient,
        best=torch.where(images, state.z, state.best),
        best_value=torch.where(better, value, state.best_value),
        best_gradient=torch.where(images, gradient, state.best_gradient),
        checked_value=torch.where(first, value, state.checked_value),
        rises=state.rises + (~first & (value > state.value)),
    )


def _check(state: _State, steps: int) -> _State:
    """At a checkpoint, ``steps`` after the last: conditions 1 and 2 of the paper."""
    oscillates = state.rises < _RHO * steps
    stalls = ~state.halved & (state.best_value == state.checked_value)
    halve = oscillates | stalls
    images = norms.per_sample(halve, state.z)
    return state._replace(
        z=torch.where(images, state.best, state.z),
        value=torch.where(halve, state.best_value, state.value),
        gradient=torch.where(images, state.best_gradient, state.gradient),
        checked_value=state.best_value,
        length=torch.where(halve, state.length / 2, state.length),
        halved=halve,
        rises=torch.zeros_like(state.rises),
    )


def _checkpoints(steps: int) -> set[int]:
    """Where the step may be halved: after 22 %, 41 %, 57 %, 70 %, 80 %, 87 %, 93 % and 99 % of the steps.

    The paper: p₁ = 0.22, and the gaps shrink by 0.03 down to 0.06. In whole percents, so that nothing is rounded.
    """
    percent, gap, found = 0, 22, set()
    while percent + gap < 100:
        percent += gap
        gap = max(gap - 3, 6)
        found.add(-(-percent * steps // 100))
    return found
