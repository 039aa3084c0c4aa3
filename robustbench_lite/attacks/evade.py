"""The attack on a classifier and a detector together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.drafting import Drafted
from robustbench_lite.attacks.losses import LossName, loss_function, margin, reached
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Guarded, Model

Variant = Literal["constrained", "weighted", "orthogonal", "selective"]
VARIANTS: tuple[Variant, ...] = ("constrained", "weighted", "orthogonal", "selective")

_RATE = 0.15  # by how much a weight moves in the first step; it falls in a straight line
_LEAST = 0.02  # of a weight, so that neither goal is ever lost sight of
_FURTHER, _SHORT = 1.1, 0.9  # a step aims a little beyond a threshold that it is above of, and short of one below
_WIDENINGS, _HALVINGS = 10, 16  # of the search for a price


@dataclass(frozen=True)
class Evade(Attack):
    """Fool the classifier *and* pass the detector: gradient steps on two goals inside one budget.

    After Bryniarski, Hingun, Pachuca, Wang & Carlini, *Evading adversarial example detection defenses with
    orthogonal projected gradient descent*, ICLR 2022. An image is finished as soon as an iterate is misclassified
    and its outlier score is at most the threshold. If none is, the misclassified iterate of lowest score is
    returned, or else the one that came closest to misclassification.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf`` or ``l2``.
        steps: per restart; each takes a gradient of the classifier and one of the detector.
        restarts: tries; the first starts at the image, the others at random points of the ball.
        variant: where a step goes. ``selective``: up the classifier's loss until the image is misclassified, then
            down the outlier score. ``orthogonal``: the same without what points along the other goal's gradient,
            so that a step for one goal leaves the other as it is (both as published). ``weighted``: along a sum of
            both directions, each of length 1, in which the weight of the goal that is not reached grows.
            ``constrained``: as far up the loss as the outlier score, to first order, stays below the threshold.
            By default ``constrained`` and ``weighted``, in turn from try to try (docs/attacks.md).
        loss: of the classifier: ``margin``, ``ce`` or ``dlr``.
    """

    eps: float | None = None
    norm: Literal["linf", "l2"] = "linf"
    steps: int = 60
    restarts: int = 2
    variant: Variant | None = None
    loss: LossName = "margin"
    needs_detector = True

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)
        if self.variant not in (None, *VARIANTS):
            raise UnknownNameError("variant", str(self.variant), VARIANTS)
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise InputError(f"evade: {name}={getattr(self, name)} is out of range.", "It must be at least 1.")

    def max_cost(self) -> Cost:
        # Every restart looks at its last iterate once more. As much goes through the detector.
        return Cost(self.restarts * (self.steps + 1), self.restarts * self.steps)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        eps, guard = norms.check_eps(self.eps, self.norm), guard_of(model)
        best = _Best(images.clone())
        active = torch.arange(len(images), device=images.device)
        for restart in range(self.restarts):
            if len(active) == 0 or eps == 0:
                break
            x = start = images[active]
            if restart:
                start = (x + norms.random_start(streams[active], x, eps, self.norm, restart)).clamp(0, 1)
            variant = self.variant or VARIANTS[restart % 2]
            self._climb(model, guard, _Rows(active, x, labels[active], start), best, eps, variant)
            active = active[~(best.fooled & (best.score <= guard.threshold))[active]]
        return best.images

    def _climb(self, model: Model, guard: Guarded, rows: _Rows, best: _Best, eps: float, variant: Variant) -> None:
        """One try; what it finds goes into ``best``."""
        share = rows.x.new_full((len(rows.x),), 0.5)
        for step in range(self.steps):
            logits, up = model.gradient(rows.z, loss_function(self.loss, rows.y, targeted=False))
            score, gradient = guard.outlier_gradient(rows.z)
            fooled = best.offer(rows, logits, score)
            seen = _Seen(up, gradient, score - guard.threshold, fooled)
            left = ~(fooled & (score <= guard.threshold))
            if not left.all():  # the one look from the host in a step, but for the search for a price
                rows, seen, share = _Rows(*(t[left] for t in rows)), _Seen(*(t[left] for t in seen)), share[left]
                if len(share) == 0:
                    return
            rate = _RATE * (1 - step / self.steps)
            share = (share + torch.where(seen.fooled, rate, -rate)).clamp(_LEAST, 1 - _LEAST)
            length = eps * (0.02 + 0.98 * (1 + math.cos(math.pi * step / self.steps)) / 2)
            move = _Move(rows.x, rows.z, eps, length, self.norm)
            if variant == "constrained":
                z = _constrained(move, seen)
            else:
                z = move.along(_direction(variant, seen, share))
            rows = rows._replace(z=z)
        best.offer(rows, model(rows.z), guard.outliers(rows.z))


class _Rows(NamedTuple):
    """Images that are climbed from: their places in the batch, themselves, labels, where they are now."""

    place: Tensor
    x: Tensor
    y: Tensor
    z: Tensor


class _Seen(NamedTuple):
    """What an iterate shows: gradients of loss and outlier score, how far above the threshold, misclassified."""

    loss: Tensor
    score: Tensor
    above: Tensor
    fooled: Tensor


class _Move(NamedTuple):
    """A step from z of a given length, inside the budget around x and inside [0, 1]."""

    x: Tensor
    z: Tensor
    eps: float
    length: float
    norm: str

    def along(self, direction: Tensor) -> Tensor:
        """Where a step in that direction ends; what would leave [0, 1] takes no part of its length."""
        outwards = ((self.z <= 0) & (direction < 0)) | ((self.z >= 1) & (direction > 0))
        direction = norms.steepest(direction.masked_fill(outwards, 0), self.norm)
        moved = (self.z + self.length * direction).clamp(0, 1)
        return (self.x + norms.project(moved - self.x, self.eps, self.norm)).clamp(0, 1)


class _Best:
    """The best iterate of every image so far: misclassified first, then of lowest outlier score."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.score = images.new_full((len(images),), torch.inf)
        self.lead = -self.score
        self.fooled = torch.zeros_like(self.score, dtype=torch.bool)

    def offer(self, rows: _Rows, logits: Tensor, score: Tensor) -> Tensor:
        """Keep what is better; which of the iterates are misclassified, bool."""
        place, fooled = rows.place, reached(logits, rows.y, targeted=False)
        lead = margin(logits, rows.y).nan_to_num(nan=torch.inf)
        closer = ~self.fooled[place] & (lead > self.lead[place])
        better = torch.where(fooled, ~self.fooled[place] | (score < self.score[place]), closer)
        chosen = place[better]
        self.images[chosen], self.lead[chosen] = rows.z[better], lead[better]
        self.score[chosen], self.fooled[chosen] = score[better], fooled[better]
        return fooled


def _direction(variant: Variant, seen: _Seen, share: Tensor) -> Tensor:
    """Where a step goes, (N, C, H, W): up the loss, down the outlier score, or between them."""
    up, down = norms.steepest(seen.loss, "l2"), norms.steepest(-seen.score, "l2")  # of length 1
    if variant == "weighted":
        return up + norms.per_sample(share, up) * (down - up)
    if variant == "orthogonal":
        along = norms.per_sample((up * down).flatten(1).sum(1), up)
        up, down = up - along * down, down - along * up
    return torch.where(norms.per_sample(seen.fooled, up), down, up)


def _constrained(move: _Move, seen: _Seen) -> Tensor:
    """Where the step ends that raises the loss most while the linearised score keeps to the threshold.

    The direction is the gradient of the loss minus a price times that of the score. The price, one per image, is
    found by bisection; between its two last values lies the step that ends at the threshold.
    """
    room = torch.where(seen.above > 0, -_FURTHER * seen.above, -_SHORT * seen.above)

    def end(price: Tensor) -> Tensor:
        return move.along(seen.loss - norms.per_sample(price, move.z) * seen.score)

    def excess(point: Tensor) -> Tensor:
        return ((point - move.z) * seen.score).flatten(1).sum(1) - room

    low = torch.zeros_like(room)
    free = end(low)
    allowed = excess(free) <= 0
    if allowed.all():
        return free
    high = norms.size(seen.loss, "l2") / norms.size(seen.score, "l2").clamp_min(1e-30)
    for _ in range(_WIDENINGS):
        over = excess(end(high)) > 0
        low, high = torch.where(over, high, low), torch.where(over, 4 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        over = excess(end(middle)) > 0
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    outside, inside = end(low), end(high)
    beyond, slack = excess(outside), -excess(inside)
    part = (slack / (beyond + slack)).nan_to_num(0, 0, 0).clamp(0, 1)
    mixed = inside + norms.per_sample(part, inside) * (outside - inside)
    return torch.where(norms.per_sample(allowed, free), free, mixed)


def guard_of(model: Model) -> Guarded:
    """The detector beside a model.

    Raises:
        InputError: there is none.
    """
    inner = model.truth if isinstance(model, Drafted) else model
    if not isinstance(inner, Guarded):
        raise InputError("evade needs a detector, which its images are to pass.", "Give --detector, or take pgd.")
    return inner
