"""The climb that the adaptive portfolio is made of: a few steps with momentum, given up at the first success."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.losses import LossName, loss_function, loss_towards, margin, reached
from robustbench_lite.types import Model

# Of a step three quarters are taken, and a quarter of the last move is kept: Auto-PGD (Croce & Hein, ICML 2020).
_TAKEN = 0.75


class Rows(NamedTuple):
    """What is to be climbed, one row each. Rows of one owner are tries for one image."""

    owner: Tensor  # (R,)
    x: Tensor  # (R, C, H, W) the images
    y: Tensor  # (R,) labels
    rival: Tensor  # (R,) the class that is to overtake the label; the label itself: whichever comes first
    z: Tensor  # (R, C, H, W) where the climb starts

    def where(self, chosen: Tensor) -> Rows:
        """Some of the rows."""
        return Rows(*(t[chosen] for t in self))


class Summit(NamedTuple):
    """How far each row came, (R, …)."""

    hit: Tensor  # bool: the network erred
    point: Tensor  # the first iterate on which it erred, or the one that came closest
    lead: Tensor  # by how much the label has lost there, in logits; negative where it has not
    logits: Tensor  # there


def falling(first: float, last: float, steps: int) -> list[float]:
    """Lengths of steps that fall along half a cosine."""
    if steps == 1:
        return [first]
    return [last + (first - last) * (1 + math.cos(math.pi * i / (steps - 1))) / 2 for i in range(steps)]


def rival_loss(name: LossName, y: Tensor, rival: Tensor) -> Callable[[Tensor], Tensor]:
    """The loss that lets the rival overtake the label; where the rival is the label, any other class."""
    if name == "ce":
        return loss_function("ce", y, targeted=False)
    any_other, towards = loss_function(name, y, targeted=False), loss_towards(name, y, rival)
    return lambda logits: torch.where(rival == y, any_other(logits), towards(logits))


def climb(
    model: Model,
    rows: Rows,
    radius: float,
    lengths: Sequence[float],
    norm: str,
    *,
    loss: LossName = "margin",
    together: bool = True,
) -> Summit:
    """Steps uphill inside a ball around every row's image; a row ends at its first success.

    Args:
        model: the classifier.
        rows: what is climbed.
        radius: of the ball.
        lengths: of the steps, in the norm.
        norm: ``linf`` or ``l2``.
        loss: what is raised.
        together: whether the success of one row ends the others of its owner.
    """
    count = len(rows.owner)
    hit_all = torch.zeros(count, dtype=torch.bool, device=rows.x.device)
    point, lead_all = rows.z.clone(), rows.x.new_full((count,), -torch.inf)
    logits_all: Tensor | None = None
    place = torch.arange(count, device=rows.x.device)
    before = rows.z
    for step in range(len(lengths) + 1):
        x, y, z = rows.x, rows.y, rows.z
        if step < len(lengths):
            logits, gradient = model.gradient(z, rival_loss(loss, y, rows.rival))
        else:
            logits, gradient = model(z), torch.zeros_like(z)
        if logits_all is None:
            logits_all = logits.new_zeros(count, logits.shape[1])
        lead = margin(logits, y).nan_to_num(nan=torch.inf)
        better = lead > lead_all[place]
        chosen = place[better]
        point[chosen], lead_all[chosen], logits_all[chosen] = z[better], lead[better], logits[better]
        hit = reached(logits, y, targeted=False)
        if hit.any():  # the one look from the host in a step
            # A tie of two logits is an error of the network that a margin of 0 does not show.
            point[place[hit]], hit_all[place[hit]] = z[hit], True
            over = torch.isin(rows.owner, rows.owner[hit]) if together else hit
            rows, place, before, gradient = rows.where(~over), place[~over], before[~over], gradient[~over]
            if len(place) == 0:
                break
            x, z = rows.x, rows.z
        if step == len(lengths):
            break
        ahead = z + lengths[step] * norms.steepest(gradient, norm)
        ahead = (x + norms.project(ahead - x, radius, norm)).clamp(0, 1)
        if step:
            ahead = z + _TAKEN * (ahead - z) + (1 - _TAKEN) * (z - before)
            ahead = (x + norms.project(ahead - x, radius, norm)).clamp(0, 1)
        before, rows = z, rows._replace(z=ahead)
    assert logits_all is not None
    return Summit(hit_all, point, lead_all, logits_all)


def diversified(model: Model, rows: Rows, weights: Tensor, radius: float, norm: str) -> Rows:
    """The rows from other starts: two steps of the whole radius that raise a mixture of the logits.

    Tashiro, Song & Ermon, *Diversity can be transferred: output diversification for white- and black-box attacks*,
    NeurIPS 2020.

    Args:
        model: the classifier.
        rows: what will be climbed.
        weights: (R, K) of the mixtures, random.
        radius: of the ball.
        norm: ``linf`` or ``l2``.
    """
    z = rows.x
    for _ in range(2):
        _, gradient = model.gradient(z, lambda logits: (weights * logits).sum(1))
        z = z + radius * norms.steepest(gradient, norm)
        z = (rows.x + norms.project(z - rows.x, radius, norm)).clamp(0, 1)
    return rows._replace(z=z)
