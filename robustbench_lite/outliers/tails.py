"""From any score to one scale: minus the log of how often a normal image scores as high.

Only so can scores of different units be added. Above the highest normal scores nothing was seen, so there the
tail is taken to fall exponentially, as the excess over a high threshold of many distributions does (Pickands,
*Annals of Statistics* 3(1), 1975, with shape 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.outliers.score import TensorState

TAIL_FROM = 0.85
"""Quantile above which the tail is exponential."""
LEAST = 8
"""Scores that a tail takes at the least."""
_BENT_FROM, _BEND = 30.0, 10.0
"""Beyond 30 nats the scale grows with the logarithm, so that no member of a sum outvotes all others, and still
with a slope, which an attack needs."""


@dataclass(frozen=True, eq=False)
class Tail(TensorState):
    """The distribution of a score on normal images that it was not fitted to.

    Args:
        knots: (m,) scores, strictly rising, from the lowest to where the tail begins.
        values: (m,) −log p there.
        scale: mean excess over the last knot.
    """

    knots: Tensor
    values: Tensor
    scale: Tensor

    @classmethod
    def of(cls, scores: Tensor) -> Tail:
        """The tail of scores (n,) of normal images.

        Raises:
            InputError: fewer than 8 scores, or one that is not finite.
        """
        scores = scores.float().double()
        if len(scores) < LEAST:
            raise InputError(
                f"{len(scores)} normal images are too few to tell how a score spreads.", "Give more images."
            )
        if not scores.isfinite().all():
            raise InputError("a score of a normal image is NaN or infinite.", "Check the images.")
        # Rounded as it is kept: otherwise it could fall together with the knot below it.
        start = torch.quantile(scores, TAIL_FROM).float().double()
        knots, counts = torch.unique(scores, return_counts=True)
        # Of equal scores all are at least as high as each of them.
        at_least = counts.flip(0).cumsum(0).flip(0).double()
        values = -((at_least + 1) / (len(scores) + 1)).clamp(max=1).log()
        excess = scores[scores > start] - start
        spread = max(float(scores.max() - scores.min()), 1e-6 * float(scores.abs().max()), 1e-9)
        scale = excess.mean() if len(excess) else torch.zeros((), dtype=torch.float64)
        below = knots < start
        share = max((float((scores >= start).sum()) + 1) / (len(scores) + 1), 1 - TAIL_FROM)
        return cls(
            torch.cat([knots[below], start[None]]).float(),
            torch.cat([values[below], -torch.tensor([share], dtype=torch.float64).clamp(max=1).log()]).float(),
            scale.clamp_min(1e-3 * spread).float(),
        )

    def __call__(self, scores: Tensor) -> Tensor:
        """−log p (N,) of scores (N,), in nats; gradients flow through it."""
        knots, values = self.knots.to(scores), self.values.to(scores)
        excess = values[-1] + (scores - knots[-1]) / self.scale.to(scores)
        found = excess
        if len(knots) > 1:
            right = torch.searchsorted(knots, scores.detach().contiguous()).clamp(1, len(knots) - 1)
            low, high = knots[right - 1], knots[right]
            along = ((scores - low) / (high - low)).clamp_min(0)
            between = values[right - 1] + along * (values[right] - values[right - 1])
            found = torch.where(scores > knots[-1], excess, between)
        else:
            found = torch.where(scores > knots[-1], excess, values[0] * torch.ones_like(scores))
        bent = _BENT_FROM + _BEND * torch.log1p((found - _BENT_FROM).clamp_min(0) / _BEND)
        return torch.where(found > _BENT_FROM, bent, found)
