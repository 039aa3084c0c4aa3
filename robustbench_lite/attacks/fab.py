"""FAB: along the border of the network, linearised at every step, towards the image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import ranked_rivals, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

_DUAL = {"linf": "l1", "l2": "l2", "l1": "linf"}
# The authors' budgets for MNIST: twice how far off a restart begins while nothing has been found.
_FAR = {"linf": 0.3, "l2": 1.0, "l1": 5.0}
_MOST_PIECES = 100


@dataclass(frozen=True)
class FAB(Attack):
    """Fast adaptive boundary attack: a search for the smallest perturbation along the border.

    Croce & Hein, *Minimally distorted adversarial examples with a fast adaptive boundary attack*, ICML 2020,
    algorithm 1 without its final search. A step goes to the nearest point of [0, 1] on the border of the
    linearised network, and a little beyond; a share of it goes from the image itself. From a point that fools the
    network the way back to the image is gone by 1 - beta.

    Args:
        norm: ``linf``, ``l2`` or ``l1``.
        steps: per try.
        restarts: tries; the first starts at the image, the others at a random point, half as far off as the best
            that was found.
        targets: try so many wrong classes one after another, the likeliest on the unchanged image first, each
            with all restarts, for one gradient a step; any wrong class counts. 9 is AutoAttack's FAB-T. 0: at
            every step the class with the nearest border, for one gradient per candidate.
        candidates: with ``targets=0``, classes that are looked at: the label and those most likely on the
            unchanged image.
        alpha_max: the largest share of a step that goes from the image itself.
        eta: length of a step; 1 ends on the border of the linearised network.
        beta: what is kept of the perturbation when it fools the network.
    """

    norm: Literal["linf", "l2", "l1"] = "linf"
    steps: int = 100
    restarts: int = 1
    targets: int = 0
    candidates: int = 10
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    minimal = True

    def __post_init__(self) -> None:
        norms.check_norm(self.norm)
        for name, low in (("steps", 1), ("restarts", 1), ("targets", 0), ("candidates", 2)):
            if getattr(self, name) < low:
                raise InputError(
                    f"fab: {name}={getattr(self, name)} is out of range.", f"It must be at least {low}."
                )
        for name, least, most in (("alpha_max", 0.0, 1.0), ("eta", 1.0, math.inf), ("beta", 0.0, 1.0)):
            value = getattr(self, name)
            if not least <= value <= most or math.isinf(value):
                between = f"between {least:g} and {most:g}" if most < math.inf else f"at least {least:g}"
                raise InputError(f"fab: {name}={value} is out of range.", f"It must be {between}.")

    def max_cost(self) -> Cost:
        # A look at every iterate, and one to rank the classes; each gradient goes forward too.
        steps = self.restarts * max(self.targets, 1) * self.steps
        gradients = steps * (1 if self.targets else self.candidates - 1)
        return Cost(1 + steps + gradients, gradients)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        return self.within(model, images, labels, streams, 0.0)

    def within(self, model: Model, images: Tensor, labels: Tensor, streams: Streams, eps: float) -> Tensor:
        """The smallest perturbation found; an image is finished when one of at most eps is found.

        Restarts begin half of eps off, or half as far as the best that was found.
        """
        rivals = ranked_rivals(model(images), labels, self.targets or self.candidates - 1)
        best, best_size = images.clone(), torch.full_like(images.flatten(1)[:, 0], torch.inf)
        active = torch.arange(len(images), device=images.device)
        for number in range(self.restarts * (rivals.shape[1] if self.targets else 1)):
            rank, restart = divmod(number, self.restarts)
            z = x = images[active]
            if restart:
                furthest = best_size[active].clamp_max(eps or _FAR[self.norm])
                z = _off(x, furthest / 2, self.norm, streams[active], rank, restart)
            chosen = rivals[active, rank : rank + 1] if self.targets else rivals[active]
            state = _State(active, x, z, labels[active], chosen, best[active], best_size[active])
            for place, found, size in self._walk(model, state, eps):
                best[place], best_size[place] = found, size
            active = (best_size > eps).nonzero()[:, 0]
            if len(active) == 0:
                break
        return best

    def _walk(self, model: Model, state: _State, eps: float) -> list[tuple[Tensor, Tensor, Tensor]]:
        """One try: the places of the images, the best found, and its size, in pieces as they were finished."""
        finished = []
        for _ in range(self.steps):
            z = self._step(model, state)
            hit = reached(model(z), state.label, targeted=False)
            size = norms.size(z - state.x, self.norm)
            better = hit & (size < state.best_size)
            state = state._replace(
                z=torch.where(norms.per_sample(hit, z), state.x + self.beta * (z - state.x), z),
                best=torch.where(norms.per_sample(better, z), z, state.best),
                best_size=torch.where(better, size, state.best_size),
            )
            done = state.best_size <= eps
            if eps > 0 and done.any():  # the one look from the host in a step
                finished.append((state.place[done], state.best[done], state.best_size[done]))
                state = _State(*(t[~done] for t in state))
                if len(state.place) == 0:
                    return finished
        return [*finished, (state.place, state.best, state.best_size)]

    def _step(self, model: Model, state: _State) -> Tensor:
        x, z = state.x, state.z
        lead, gradient = self._border(model, z, state.label, state.rivals)
        from_image = lead + (gradient * (x - z)).flatten(1).sum(1)
        points = torch.stack([norms.flat(z), norms.flat(x)])
        ways = to_hyperplane(points, norms.flat(gradient), -torch.stack([lead, from_image]), self.norm)
        near, far = ways.view(2, *z.shape)
        length = norms.size(near, self.norm).clamp_min(1e-8)
        share = length / (length + norms.size(far, self.norm).clamp_min(1e-8))
        alpha = norms.per_sample(share.clamp_max(self.alpha_max), z)
        ahead: Tensor = (1 - alpha) * (z + self.eta * near) + alpha * (x + self.eta * far)
        return ahead.clamp(0, 1)

    def _border(self, model: Model, z: Tensor, labels: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        """By how much the rival with the nearest border leads at z, (N,), and the gradient of that."""
        n, k = rivals.shape
        ahead = _lead(labels.repeat_interleave(k), rivals.reshape(-1))
        logits, gradient = model.gradient(z.repeat_interleave(k, dim=0), ahead)
        lead = ahead(logits).nan_to_num()
        if k == 1:
            return lead, gradient
        slope = norms.size(gradient, _DUAL[self.norm])
        which = torch.where(slope > 0, lead.abs() / slope, torch.inf).view(n, k).argmin(1)
        chosen = torch.arange(n, device=z.device) * k + which
        return lead[chosen], gradient[chosen]


class _State(NamedTuple):
    """The images that are still searched for: one row each."""

    place: Tensor  # (N,) where the image stands in the batch
    x: Tensor
    z: Tensor  # the iterate
    label: Tensor
    rivals: Tensor  # (N, classes)
    best: Tensor  # the closest iterate that fooled the network, or the image
    best_size: Tensor  # (N,) infinite if there is none


def _lead(labels: Tensor, rivals: Tensor) -> Callable[[Tensor], Tensor]:
    def lead(logits: Tensor) -> Tensor:
        return (logits.gather(1, rivals[:, None]) - logits.gather(1, labels[:, None]))[:, 0]

    return lead


def _off(x: Tensor, distance: Tensor, norm: str, streams: Streams, *key: object) -> Tensor:
    """A random point at most so far, (N,), from each image: a random direction, clipped to [0, 1]."""
    if norm == "linf":
        direction = 2 * streams.uniform(x.shape[1:], *key, like=x) - 1
    else:
        direction = streams.normal(x.shape[1:], *key, like=x)
    return (x + direction * norms.per_sample(distance / norms.size(direction, norm), x)).clamp(0, 1)


def to_hyperplane(points: Tensor, gradient: Tensor, gain: Tensor, norm: str) -> Tensor:
    """The smallest ways, shape (P, N, D), along which linear functions change by a gain, without leaving [0, 1].

    Where the gain cannot be had in [0, 1], the way to the corner that comes closest. Exact but for rounding.

    Args:
        points: (P, N, D) in [0, 1].
        gradient: (N, D) of the linear functions.
        gain: (P, N).
        norm: in which the ways are smallest: ``linf``, ``l2`` or ``l1``.
    """
    # Scaled to a largest slope of 1: the squares of a tiny gradient would underflow.
    largest = gradient.abs().amax(1).clamp_min(torch.finfo(gradient.dtype).tiny)
    towards = (gradient / largest[:, None]) * gain.sign()[..., None]
    gain, slope = (gain / largest).abs(), towards.abs()
    room = torch.where(towards > 0, 1 - points, points)
    if norm == "l1":
        return towards.sign() * _steepest_first(room, slope, gain)
    # The way is min(room, level · pace): in linf all values go equally far, in l2 in proportion to their slopes.
    pace = torch.ones_like(slope) if norm == "linf" else slope
    level = _level(room, slope, pace, gain)
    return towards.sign() * torch.minimum(room, level[..., None] * pace)


def _level(room: Tensor, slope: Tensor, pace: Tensor, gain: Tensor) -> Tensor:
    """The level (P, N) at which the sum of slope · min(room, level · pace) is the gain.

    That sum is concave in the level and made of straight pieces. Newton's method from 0 stays below the solution
    and ends on its piece, mostly after a few steps; sorting the pieces takes several times as long.
    """
    most = torch.finfo(gain.dtype).max
    full, rate = slope * room, slope * pace
    level = torch.zeros_like(gain)
    for _ in range(_MOST_PIECES):
        open_ = room > level[..., None] * pace
        before, rise = level, (rate * open_).sum(-1)
        level = (gain - (full * ~open_).sum(-1)) / rise
        level = torch.where(rise > 0, level.clamp(0, most), most)
        if torch.equal(level, before):
            break
    return level


def _steepest_first(room: Tensor, slope: Tensor, gain: Tensor) -> Tensor:
    """How far every value goes, (P, N, D), if the steepest go first and each as far as it can."""
    steep, order = slope.sort(dim=-1, descending=True, stable=True)
    full = steep * room.gather(-1, order)
    missing = (gain[..., None] - (full.cumsum(-1) - full)).clamp_min(0)
    way = torch.where(missing < full, missing / steep, room.gather(-1, order))
    return torch.zeros_like(room).scatter_(-1, order, torch.where(missing > 0, way, 0))
