"""A batch on its way through the tries of the adaptive portfolio: who still stands, and how firmly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.apgd import APGD
from robustbench_lite.attacks.climbing import Rows, Summit, climb, diversified, falling
from robustbench_lite.attacks.drafting import run
from robustbench_lite.attacks.losses import margin, ranked_rivals, reached
from robustbench_lite.attacks.reference import Reference
from robustbench_lite.attacks.square import Square
from robustbench_lite.rng import Streams
from robustbench_lite.types import Model

# Balls of a descent: radius, first and last step, number of steps; lengths in units of eps.
_BALLS = (
    (1.25, 2.0, 0.1, 14),
    (1.1, 0.6, 0.05, 10),
    (1.05, 0.4, 0.03, 10),
    (1.02, 0.3, 0.02, 10),
    (1.0, 0.5, 0.01, 20),
)
# Rivals of the copies of a descent: whichever class comes first, then the second, first and third likeliest.
_RANKS = (None, 1, 0, 2)
_RIVALS = 3
# In l2 the first tries say less about how firmly an image stands: twice as far is looked at as closely.
_REACH = {"linf": 1.0, "l2": 2.0}


class Chase:
    """What is known about every image of a batch, and the tries that can be made.

    Args:
        model: the classifier.
        images: (N, C, H, W) in [0, 1], all classified as their label.
        labels: (N,).
        streams: one per image.
        eps: the budget, above 0.
        norm: ``linf`` or ``l2``.
        reference: the scale of the network's margins.
    """

    def __init__(
        self,
        model: Model,
        images: Tensor,
        labels: Tensor,
        streams: Streams,
        eps: float,
        norm: Literal["linf", "l2"],
        reference: Reference,
    ) -> None:
        self.model, self.images, self.labels, self.streams = model, images, labels, streams
        self.eps, self.norm, self.reference = eps, norm, reference
        # The adversarial image, or the one that came closest; its margin (below 0: right) and its logits.
        self.result = images.clone()
        self.lead = torch.full((len(images),), -torch.inf, device=images.device)
        self.logits = images.new_zeros(len(images), 0)
        self.fooled = torch.zeros_like(labels, dtype=torch.bool)
        # The smallest ball, in units of eps, in which a descent made the network err.
        self.fell_at = torch.full_like(self.lead, torch.inf)
        self.by: list[str | None] = [None] * len(images)
        self._tries = 0

    def standing(self, hold: float = torch.inf) -> Tensor:
        """Indices of the images that resist, but not by more than this share of eps, as far as is known."""
        by_margin = (-self.lead / self.reference.slope).nan_to_num(nan=0.0, posinf=torch.inf)
        holds = torch.minimum(self.fell_at - 1, by_margin)
        return ((holds <= _REACH[self.norm] * hold + 1e-6) & ~self.fooled).nonzero()[:, 0]

    def open(self) -> None:
        """Three steps for what falls at once, then twenty."""
        for lengths in ([1.0, 0.7, 0.5], falling(1, 0.02, 20)):
            self._attempt("margin", self.standing(), None, lengths)

    def aim_at_likeliest(self, owner: Tensor) -> None:
        """Towards the second, third and first likeliest wrong class, from the best point so far."""
        rivals = self._rivals(owner)
        for rank in (1, 2, 0):
            if rank < rivals.shape[1]:
                left = ~self.fooled[owner]
                self._attempt("targeted", owner[left], rivals[left, rank], falling(1, 0.02, 20))

    def descend(self, owner: Tensor, copies: int, *, first: int | None = None) -> None:
        """Tries that start outside the ball, and come down only where the network errs there.

        Args:
            owner: indices of images.
            copies: tries for each, made together.
            first: which of the rivals the first copy goes for, if there is one copy or two.
        """
        if len(owner) == 0:
            return
        self._tries += 1
        rows = self._copies(owner, copies, first)
        weights = 2 * self._draw(owner, copies) - 1
        rows = diversified(self.model, rows, weights, _BALLS[0][0] * self.eps, self.norm)
        for radius, longest, shortest, steps in _BALLS:
            z = rows.x + norms.project(rows.z - rows.x, radius * self.eps, self.norm)
            rows = rows._replace(z=z.clamp(0, 1))
            lengths = [self.eps * length for length in falling(longest, shortest, steps)]
            last = radius == 1
            summit = climb(self.model, rows, radius * self.eps, lengths, self.norm, together=last)
            if last:
                self._take("descent", rows.owner, summit)
                return
            rows = rows._replace(z=summit.point).where(summit.hit)
            if len(rows.owner) == 0:
                return
            self.fell_at[rows.owner] = self.fell_at[rows.owner].clamp_max(radius)

    def restart(self, owner: Tensor, copies: int, *, first: int | None = None) -> None:
        """Climbs of fifty steps from random points of the ball; arguments as for ``descend``.

        They find what descents do not, above all in l2.
        """
        if len(owner) == 0:
            return
        self._tries += 1
        rows = self._copies(owner, copies, first)
        rows = rows._replace(z=(rows.x + torch.cat(self._starts(owner, copies))).clamp(0, 1))
        lengths = [self.eps * length for length in falling(1, 0.02, 50)]
        self._take("restart", rows.owner, climb(self.model, rows, self.eps, lengths, self.norm))

    def aim(self, owner: Tensor, *, rank: int, restarts: int, steps: int) -> None:
        """Auto-PGD with the targeted DLR loss towards one of the likeliest classes, all restarts together."""
        rivals = self._rivals(owner)
        if len(owner) == 0 or rank >= rivals.shape[1]:
            return
        self._tries += 1
        many = owner.repeat(restarts)
        x, y = self.images[many], self.labels[many]
        attack = APGD(eps=self.eps, norm=self.norm, steps=steps, loss="dlr", targets=1)
        z = (x + torch.cat(self._starts(owner, restarts))).clamp(0, 1)
        found, _ = attack.climb(self.model, x, z, y, rivals[:, rank].repeat(restarts), self.eps)
        self._look("aimed", many, found)

    def search(self, owner: Tensor, queries: int) -> None:
        """Square, from scores alone."""
        if len(owner) == 0:
            return
        square = Square(eps=self.eps, norm=self.norm, queries=queries)
        found = run(square, self.model, self.images[owner], self.labels[owner], self.streams[owner], self.eps)
        self._look("square", owner, found)

    def _copies(self, owner: Tensor, copies: int, first: int | None) -> Rows:
        """Rows at the images themselves, the images of a copy one after another, each copy with its rivals."""
        likeliest, own = self._rivals(owner), self.labels[owner]
        ranks = _RANKS if copies > 2 else _RANKS[_RANKS.index(first) :]
        wanted = [ranks[copy % len(ranks)] for copy in range(copies)]
        rivals = [own if rank is None or rank >= likeliest.shape[1] else likeliest[:, rank] for rank in wanted]
        many = owner.repeat(copies)
        return Rows(many, self.images[many], self.labels[many], torch.cat(rivals), self.images[many])

    def _starts(self, owner: Tensor, copies: int) -> list[Tensor]:
        """Random points of the ball for every copy."""
        images, streams = self.images[owner], self.streams[owner]
        return [
            norms.random_start(streams, images, self.eps, self.norm, "start", self._tries, copy)
            for copy in range(copies)
        ]

    def _draw(self, owner: Tensor, copies: int) -> Tensor:
        """Uniform numbers (R, K) for every copy of every image, the images of a copy one after another."""
        classes = self.logits.shape[1]
        drawn = self.streams[owner].uniform((copies, classes), "descent", self._tries, like=self.images)
        return drawn.transpose(0, 1).flatten(0, 1)

    def _rivals(self, owner: Tensor) -> Tensor:
        """The likeliest wrong classes where each image came closest, (R, at most 3)."""
        return ranked_rivals(self.logits[owner], self.labels[owner], _RIVALS)

    def _attempt(self, name: str, owner: Tensor, rival: Tensor | None, lengths: Sequence[float]) -> None:
        """One climb in the ball itself: from the images, or, towards a rival, from the best points so far."""
        if len(owner) == 0:
            return
        x, y = self.images[owner], self.labels[owner]
        rows = Rows(owner, x, y, y, x) if rival is None else Rows(owner, x, y, rival, self.result[owner])
        scaled = [self.eps * length for length in lengths]
        self._take(name, owner, climb(self.model, rows, self.eps, scaled, self.norm))

    def _look(self, name: str, owner: Tensor, found: Tensor) -> None:
        """Judge images that another attack has found."""
        logits, labels = self.model(found), self.labels[owner]
        lead = margin(logits, labels).nan_to_num(nan=torch.inf)
        self._take(name, owner, Summit(reached(logits, labels, targeted=False), found, lead, logits))

    def _take(self, name: str, owner: Tensor, summit: Summit) -> None:
        """Keep what is better than what is known; an image may own several rows."""
        if self.logits.shape[1] == 0:
            self.logits = summit.logits.new_zeros(len(self.images), summit.logits.shape[1])
        highest = self.lead.scatter_reduce(0, owner, summit.lead, "amax")
        better = (summit.lead > self.lead[owner]) & (summit.lead == highest[owner])
        chosen = owner[better]
        self.lead[chosen], self.logits[chosen] = summit.lead[better], summit.logits[better]
        self.result[chosen] = summit.point[better]
        fallen = owner[summit.hit]
        self.result[fallen] = summit.point[summit.hit]
        self.fooled[fallen] = True
        for index in fallen.tolist():
            self.by[index] = name
