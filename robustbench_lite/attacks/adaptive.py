"""The adaptive portfolio: the verdict of the strongest attacks, with gradients spent where they can matter."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.chase import Chase
from robustbench_lite.attacks.reference import UNKNOWN, Reference, masking, slope_of
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, Model, Trace

_OPENING = 3 + 20
_TARGETED = 3 * 20
_DESCENTS = 1 + 2 + 3 * 4 + 10
_AIMED = 3 * 60 + 10 * 100 + 4 * 100
_RESTARTS = (2 + 4 + 10) * 50
_QUERIES = 5000
_FEW = 32  # images of a sample that tell a network which falls at once
# Gradients and further looks of one descent, and looks that each other try takes at its end.
_PER_DESCENT, _LOOKS_PER_DESCENT, _LOOKS = 2 + 64, 5, 2 + 3 + 2 * 17 + 16 + 1


@dataclass(frozen=True)
class Adaptive(Attack):
    """Adaptive: as low a robust accuracy as AutoAttack's or lower, for a fraction of its gradients.

    A portfolio whose budgets follow how far an image is from falling, in units of eps. Each first meets a short
    climb of the margin (Carlini & Wagner, IEEE S&P 2017), which ends most that fall at all. Then it is chased from
    outside: a try that may err in a ball of 1.25 eps comes down to 1.1, 1.05, 1.02 and 1 eps only as long as it
    does. The smallest of these balls says by how much the image resists, and so does its margin, on the scale that
    a sample of the data has shown. Images that resist by more than 25 % of eps are let go (in l2 these limits are
    twice as wide); the others are attacked towards the likeliest classes; below 15, 5, 3 and 2 % follow more and
    more tries: 25 descents from diversified starts (Tashiro et al., NeurIPS 2020), 16 climbs from random ones, 17
    restarts of Auto-PGD with the targeted DLR loss (Croce & Hein, ICML 2020), and below 3 % 5,000 queries of
    Square (Andriushchenko et al., ECCV 2020).

    The sample, drawn by the seed, also shows whether gradients mislead: whether 150 queries of Square get further
    than they did, and whether they are zero or do not raise the loss. A soft alarm sends Square after every image
    within 6 %, a hard one everything after every image. Nothing depends on which images share a batch. Called
    without a sample, the attack tries everything on every image.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf`` or ``l2``.
        reference: what the sample has shown; found by ``calibrated``, and no argument of a spec.
    """

    eps: float | None = None
    norm: Literal["linf", "l2"] = "linf"
    reference: Reference | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)

    @property
    def members(self) -> tuple[str, ...]:
        return ("margin", "descent", "targeted", "restart", "aimed", "square")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the sample has shown that the reader of the result must know."""
        if self.reference is None or self.reference.alarm != "hard":
            return ()
        told = (
            f"gradients mislead on a sample of the images: {self.reference.because}. All tries were made on all."
        )
        return (told,)

    def max_cost(self) -> Cost:
        gradients = _OPENING + _TARGETED + _DESCENTS * _PER_DESCENT + _AIMED + _RESTARTS
        looks = _LOOKS + _DESCENTS * _LOOKS_PER_DESCENT
        return Cost(gradients + looks + _QUERIES, gradients)

    def calibrated(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Adaptive:
        """The attack with what a sample shows about the network.

        Args:
            model: the classifier.
            images: (N, C, H, W) in [0, 1], a sample of the data, all classified as their label; 128 are plenty.
            labels: (N,).
            streams: one per image.
        """
        eps = norms.check_eps(self.eps, self.norm)
        if eps == 0 or len(images) == 0:
            return dataclasses.replace(self, reference=UNKNOWN)
        few = min(len(images), _FEW)
        chase = Chase(model, images[:few], labels[:few], streams[range(few)], eps, self.norm, UNKNOWN)
        chase.open()
        if (
            len(chase.standing()) <= few // 8
        ):  # its gradients lead somewhere, and full budgets for the rest are cheap
            return dataclasses.replace(self, reference=Reference(torch.inf, "none"))
        chase = Chase(model, images, labels, streams, eps, self.norm, UNKNOWN)
        chase.open()
        chase.descend(chase.standing(), 1, first=None)
        chase.aim_at_likeliest(chase.standing(0.25))
        left = chase.standing()
        alarm = masking(model, images[left], labels[left], chase.result[left], streams[left], eps, self.norm)
        # Beyond the largest ball an image resists by more than can be told.
        holds = (chase.fell_at[left] - 1).clamp_max(0.5)
        slope = torch.inf if alarm.level == "hard" else slope_of(holds.tolist(), (-chase.lead[left]).tolist())
        return dataclasses.replace(self, reference=Reference(slope, alarm.level, "; ".join(alarm.reasons)))

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        return self.trace(model, images, labels, streams).images

    def trace(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Trace:
        eps = norms.check_eps(self.eps, self.norm)
        chase = Chase(model, images, labels, streams, eps, self.norm, self.reference or UNKNOWN)
        if eps > 0:
            _chase_all(chase)
        return Trace(chase.result, chase.by)


def _chase_all(chase: Chase) -> None:
    """Cheap tries for all, dear ones for those that nearly fall."""
    chase.open()
    chase.descend(chase.standing(), 1, first=None)
    chase.aim_at_likeliest(chase.standing(0.25))
    chase.descend(chase.standing(0.15), 2, first=1)
    chase.restart(chase.standing(0.15), 2, first=None)
    for hold in (0.05, 0.04, 0.03):
        chase.descend(chase.standing(hold), 4)
    chase.restart(chase.standing(0.05), 4)
    chase.aim(chase.standing(0.03), rank=0, restarts=3, steps=60)
    chase.aim(chase.standing(0.02), rank=0, restarts=10, steps=100)
    chase.descend(chase.standing(0.02), 10)
    chase.restart(chase.standing(0.02), 10)
    chase.aim(chase.standing(0.02), rank=1, restarts=4, steps=100)
    chase.search(chase.standing(0.03 if chase.reference.alarm == "none" else 0.06), _QUERIES)
