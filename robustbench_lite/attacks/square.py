"""Square attack: random search with squares, from scores alone."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import Target, check_target, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model

# The share of the image that a square covers is halved after so many of 10,000 queries (the paper, section 4.1).
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# Queries whose random numbers are drawn at once: seeding a generator costs as much as a small forward pass.
_BLOCK = 128

ROUNDING = 1e-6
"""A gain below this share of the largest logit is none: whether pixels without any effect are changed would
otherwise depend on how many images are computed together."""


@dataclass(frozen=True)
class Square(Attack):
    """Square attack: a random square is changed, and the change is kept if the scores say that it helps.

    Andriushchenko, Croce, Flammarion & Hein, *Square attack: a query-efficient black-box adversarial attack via
    random search*, ECCV 2020. No gradient is used, so nothing that hides gradients protects against it. A query is
    one forward pass of one image. An image is finished at the first that reaches the goal.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf`` or ``l2``.
        queries: the most that one image may cost in one try; the look at the unchanged image for a target is one.
        restarts: tries, each with random numbers of its own.
        loss: ``margin`` or ``ce``; by default margin, and towards a target ce, as in the paper.
        p_init: share of the image that the first squares cover; the schedule is scaled to ``queries``.
        target: a class index, ``least-likely``, or (``loss=ce``) a probability per class; None leaves the label.
    """

    needs_gradient: ClassVar[bool] = False

    eps: float | None = None
    norm: Literal["linf", "l2"] = "linf"
    queries: int = 5000
    restarts: int = 1
    loss: Literal["margin", "ce"] | None = None
    p_init: float = 0.8
    target: Target = None

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        for name, low in (("queries", 2), ("restarts", 1)):
            if getattr(self, name) < low:
                raise InputError(
                    f"square: {name}={getattr(self, name)} is out of range.", f"It must be at least {low}."
                )
        check_target(self.target, self.loss or "ce")
        if not 0 < self.p_init <= 1:
            raise InputError(
                f"square: p_init={self.p_init} is out of range.", "It must be above 0, and at most 1."
            )

    def max_cost(self) -> Cost:
        return Cost(self.restarts * self.queries, 0)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps = norms.check_eps(self.eps, self.norm)
        result = images.clone()
        if eps == 0:
            return result
        goal, targeted = goal_of(self.target, model, images, labels)
        active = torch.arange(len(images), device=images.device)
        for restart in range(self.restarts):
            if len(active) == 0:
                break
            queries = self.queries - (targeted and restart == 0)
            final, done = self._search(model, images[active], goal[active], streams[active], eps, restart, queries)
            result[active] = final
            active = active[~done]
        return result

    def _search(
        self, model: Model, x: Tensor, goal: Tensor, streams: Streams, eps: float, restart: int, queries: int
    ) -> tuple[Tensor, Tensor]:
        """Best images, or the first that reached the goal, and which did."""
        targeted = self.target is not None
        name = self.loss or ("ce" if targeted else "margin")
        result = x.clone()
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        place = torch.arange(len(x), device=x.device)
        z, best = x, x.new_full((len(x),), -torch.inf)
        for query in range(queries):
            if query == 0:
                numbers = x.new_empty(len(x), 0)
                trial = first_trial(x, streams, eps, self.norm, restart)
            else:
                turn = (query - 1) % _BLOCK
                if turn == 0:
                    shape = (_BLOCK, 5 + x.shape[1])
                    numbers = streams[place].uniform(shape, restart, query, like=x)
                side = side_of_square(self.norm, self.p_init, (query - 1) / queries, x.shape[2:])
                trial = next_trial(x, z, numbers[:, turn], eps, self.norm, side)
            logits = model(trial)
            loss = loss_function(name, goal, targeted=targeted)(logits)
            better = loss > best + ROUNDING * logits.abs().amax(1)
            z = torch.where(norms.per_sample(better, x), trial, z)
            best = torch.where(better, loss, best)
            hit = reached(logits, goal, targeted=targeted)
            if hit.any():  # the one look from the host in a query
                result[place[hit]] = trial[hit]
                done[place[hit]] = True
                place, x, z, best, goal, numbers = (t[~hit] for t in (place, x, z, best, goal, numbers))
                if len(place) == 0:
                    break
        result[place] = z
        return result, done


def side_of_square(norm: str, p_init: float, spent: float, size: torch.Size) -> int:
    """Side of the squares in pixels, after the share ``spent`` of the queries, in images of ``size`` (H, W)."""
    scaled = int(spent * 10_000)
    share = p_init / 2 ** sum(scaled > halving for halving in _HALVINGS)
    side = round(math.sqrt(share * size.numel()))
    if norm == "l2":
        side = max(side, 3) | 1  # odd: the bump has a middle
    return int(min(max(side, 1), *size))


def first_trial(x: Tensor, streams: Streams, eps: float, norm: str, *key: object) -> Tensor:
    """The images (N, C, H, W) with vertical stripes (linf), or with a chessboard of bumps (l2)."""
    n, channels, height, width = x.shape
    if norm == "linf":
        stripes = streams.uniform((channels, 1, width), *key, "start", like=x) < 0.5
        return (x + torch.where(stripes, eps, -eps)).clamp(0, 1)
    side = max(min(height, width) // 5, 1)
    rows, columns = height // side, width // side
    numbers = streams.uniform((rows, columns, channels + 1), *key, "start", like=x)
    bumps = _bumps(side).to(x)[(numbers[..., -1] < 0.5).long()]  # (N, rows, columns, side, side)
    signs = torch.where(numbers[..., :-1] < 0.5, 1.0, -1.0).permute(0, 3, 1, 2)
    tiles = signs[..., None, None] * bumps[:, None]
    board = tiles.transpose(3, 4).reshape(n, channels, rows * side, columns * side)
    delta = torch.zeros_like(x)
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    delta[:, :, top : top + rows * side, left : left + columns * side] = board
    return (x + eps * norms.steepest(delta, "l2")).clamp(0, 1)


def next_trial(x: Tensor, z: Tensor, numbers: Tensor, eps: float, norm: str, side: int) -> Tensor:
    """The images z with one square changed, which keeps them in the budget around x.

    Args:
        x, z: (N, C, H, W), the images and the best found so far.
        numbers: (N, 5 + C) in [0, 1): they choose the squares and the signs.
        eps, norm: the budget.
        side: of the square, in pixels.
    """
    window = _window(numbers[:, 0], numbers[:, 1], side, x)
    signs = torch.where(numbers[:, 5:, None] < 0.5, 1.0, -1.0)  # (N, C, 1)
    if norm == "linf":
        return _square(x, z, window, eps * signs)
    elsewhere = _window(numbers[:, 2], numbers[:, 3], side, x)
    bump = _bumps(side).to(x)[(numbers[:, 4] < 0.5).long()].reshape(len(x), 1, -1)
    return _moved_mass(x, z, window, elsewhere, signs * bump, eps)


def _window(down: Tensor, right: Tensor, side: int, like: Tensor) -> Tensor:
    """Places (N, C, side²) of a square in an image that is flattened to (N, C, H · W).

    Args:
        down, right: (N,) in [0, 1): where it is, as a share of the way that it can go.
        side: in pixels.
        like: (N, C, H, W).
    """
    height, width = like.shape[2:]
    top = (down * (height - side + 1)).long().clamp_max(height - side)
    left = (right * (width - side + 1)).long().clamp_max(width - side)
    steps = torch.arange(side, device=like.device)
    inside = (steps[:, None] * width + steps).flatten()
    return ((top * width + left)[:, None] + inside)[:, None].expand(-1, like.shape[1], -1)


def _square(x: Tensor, z: Tensor, window: Tensor, change: Tensor) -> Tensor:
    """The square at one end of the linf budget, in every channel.

    Where z is there already, at the other end: to ask for the same image again would waste a query.
    """
    own, old = x.flatten(2).gather(2, window), z.flatten(2).gather(2, window)
    new = (own + change).clamp(0, 1)
    same = (new == old).flatten(1).all(1)
    new = torch.where(same[:, None, None], (own - change).clamp(0, 1), new)
    return z.flatten(2).scatter(2, window, new).view_as(z)


def _moved_mass(x: Tensor, z: Tensor, window: Tensor, elsewhere: Tensor, bump: Tensor, eps: float) -> Tensor:
    """Algorithm 3 of the paper: what is in the square elsewhere moves into the window, and a bump is added there.

    Args:
        x, z: (N, C, H, W), the images and the best found so far.
        window, elsewhere: (N, C, side²) places.
        bump: (N, C, side²) of l2 norm 1 in every channel.
        eps: the budget; what clipping to [0, 1] left of it is given to the window.
    """
    delta = (z - x).flatten(2)
    before = delta.square().sum(2, keepdim=True)
    old = delta.gather(2, window)
    rest = delta.scatter(2, elsewhere, 0.0).scatter(2, window, 0.0)
    free = (eps**2 - before.sum(1, keepdim=True)).clamp_min(0) / x.shape[1]
    length = (free + (before - rest.square().sum(2, keepdim=True)).clamp_min(0)).sqrt()
    new = bump + old / (old.norm(dim=2, keepdim=True) + 1e-12)
    new = new / (new.norm(dim=2, keepdim=True) + 1e-12) * length
    delta = rest.scatter(2, window, new).view_as(x)
    return (x + norms.project(delta, eps, "l2")).clamp(0, 1)


@functools.cache
def _bumps(side: int) -> Tensor:
    """Two mountains of opposite sign, one above the other or beside it, l2 norm 1, shape (2, side, side)."""
    tile = torch.cat([_mountain(side // 2, side), -_mountain(side - side // 2, side)])
    return torch.stack([tile, tile.T]) / norms.size(tile[None], "l2")


def _mountain(rows: int, columns: int) -> Tensor:
    """Rectangles around the middle, the k-th of height 1 / k², one upon the other; l2 norm 1 (equation 2)."""
    i, j = ((torch.arange(n) - n // 2).abs() for n in (rows, columns))
    ring = torch.maximum(i[:, None], j)
    heights = 1 / torch.arange(1, max(rows, columns) // 2 + 2).square()
    mountain = heights.flip(0).cumsum(0).flip(0)[ring]
    return mountain / (norms.size(mountain[None], "l2") + 1e-12)
