"""One-pixel attack: differential evolution of a few pixels, from scores alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.optimize import Bounds, differential_evolution
from torch import Tensor

from robustbench_lite.attacks.losses import ClassTarget, goal_of, loss_function, reached
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model


@dataclass(frozen=True)
class OnePixel(Attack):
    """One-pixel attack: where a pixel is and what it becomes are found by differential evolution.

    Su, Vargas & Sakurai, *One pixel attack for fooling deep neural networks*, IEEE Transactions on Evolutionary
    Computation 2019: strategy rand/1, F = 0.5, no crossover, pixel values first drawn from a normal distribution.
    The budget is the number of pixels, so there is no eps; the size in l0 counts the values of all channels. An
    image is finished in the first generation that holds a child that reaches the goal.

    Args:
        pixels: that may be changed, in all channels and to anything.
        queries: the most that one image may cost; the look at the unchanged image for a target is one.
        population: children in a generation; queries that do not fill another one are left. The paper takes 400.
        target: a class index or ``least-likely``; None leaves the label.
    """

    needs_gradient: ClassVar[bool] = False

    pixels: int = 1
    queries: int = 5000
    population: int = 100
    target: ClassTarget = None

    def __post_init__(self) -> None:
        # Differential evolution needs five children.
        for name, low in (("pixels", 1), ("population", 5), ("queries", 6)):
            if getattr(self, name) < low:
                raise InputError(
                    f"onepixel: {name}={getattr(self, name)} is out of range.", f"It must be at least {low}."
                )

    @property
    def norm(self) -> str:
        return "l0"

    def max_cost(self) -> Cost:
        return Cost(self.queries, 0)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        goal, targeted = goal_of(self.target, model, images, labels)
        found = [
            self._evolved(model, images[i], goal[i : i + 1], streams[[i]], self.queries - targeted)
            for i in range(len(images))
        ]
        return torch.stack(found)

    def _evolved(self, model: Model, x: Tensor, goal: Tensor, streams: Streams, queries: int) -> Tensor:
        """The best image found for x, (C, H, W)."""
        size = min(self.population, queries)
        search = _Search(model, x, goal, self.target is not None)
        place = streams.uniform((size, self.pixels, 2), "place", like=x.cpu())
        value = streams.normal((size, self.pixels, len(x)), "value", like=x.cpu()) / 2 + 0.5
        first = torch.cat([place, value.clamp(0, 1)], 3)[0].flatten(1).double()
        (generator,) = streams.generators("evolution")
        with suppress(_Reached):
            differential_evolution(
                search,
                Bounds([0.0] * first.shape[1], [1.0] * first.shape[1]),
                strategy="rand1bin",
                mutation=0.5,
                recombination=1.0,
                init=first.numpy(),
                maxiter=queries // size - 1,
                tol=0,
                polish=False,
                updating="deferred",
                vectorized=True,
                seed=generator.initial_seed() % 2**32,
            )
        return search.best


class _Reached(Exception):
    """Ends the search at once."""


class _Search:
    """What differential evolution makes smaller, and the best image so far."""

    def __init__(self, model: Model, x: Tensor, goal: Tensor, targeted: bool) -> None:
        self.model, self.x, self.goal, self.targeted = model, x, goal, targeted
        self.best, self.least = x, float("inf")

    def __call__(self, candidates: Any) -> Any:
        """(pixels · (2 + C), S) numbers in [0, 1] → (S,).

        Raises:
            _Reached: one of them reaches the goal; it is the best.
        """
        images = _painted(self.x, torch.as_tensor(candidates.T.copy(), dtype=torch.float32))
        logits, goal = self.model(images), self.goal.expand(len(images))
        values = torch.nan_to_num(-loss_function("margin", goal, targeted=self.targeted)(logits))
        hit = reached(logits, goal, targeted=self.targeted)
        won, least = bool(hit.any()), float(values.min())
        if won or least < self.least:
            self.best, self.least = images[hit.long().argmax() if won else values.argmin()], least
        if won:
            raise _Reached
        return values.double().cpu().numpy()


def _painted(x: Tensor, candidates: Tensor) -> Tensor:
    """The image (C, H, W) with the pixels of each candidate, (S, C, H, W).

    Args:
        x: the image.
        candidates: (S, pixels · (2 + C)): row and column as shares of the image, then the new values.
    """
    channels, height, width = x.shape
    pixels = candidates.to(x.device).view(len(candidates), -1, 2 + channels)
    rows = (pixels[..., 0] * height).long().clamp_max(height - 1)
    columns = (pixels[..., 1] * width).long().clamp_max(width - 1)
    places = (rows * width + columns)[:, None].expand(-1, channels, -1)
    flat = x.flatten(1).expand(len(candidates), -1, -1)
    return flat.scatter(2, places, pixels[..., 2:].transpose(1, 2)).view(-1, *x.shape)
