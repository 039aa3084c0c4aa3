"""Risk: the lens. Seen through frosted, wet or scratched glass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.shifts.blur import Blur
from robustbench_lite.shifts.scale import Change, ScaledShift, fixed, scaled

# The blur takes its share first: displaced pixels without it would be the strongest change of all.
_SIGMA_PX = {
    32: (0, 0.4, 0.4, 0.4, 0.4, 0.4),
    64: (0, 0.5, 0.5, 0.55, 0.6, 0.7),
    224: (0, 0.8, 0.9, 1.0, 1.2, 1.5),
}
_MAX_DELTA_PX = {
    32: (0, 0.1, 0.3, 0.6, 1.0, 1.5),
    64: (0, 0.12, 0.4, 0.8, 1.4, 2.2),
    224: (0, 0.4, 1.2, 2.5, 3.5, 5.0),
}
_DOUBLINGS = 8  # chains of copies of up to 256 pixels; each pixel ends one with a chance of about a half


@dataclass(frozen=True)
class GlassBlur(ScaledShift):
    """Seen through frosted glass: every pixel shows a random place near by, between two slight blurs.

    Each pixel looks through a facet of its own, which turns the line of sight by up to ``max_delta_px`` in
    each axis, evenly to all sides; ``iterations`` is the number of such panes, one behind the other. What
    lies in the middle stays there on average. Differentiable.

    After glass_blur of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (Hendrycks & Dietterich, ICLR 2019).
    Their levels are not ordered: in ImageNet-C, level 2 is milder than level 1 and level 4 than level 3.
    Here they are, on a scale of ours near theirs. Not modelled: facets larger than a pixel, the colours
    of refraction, light lost in the glass.

    Args:
        severity: 0 to 5.
        sigma_px: standard deviation of the Gaussian blurs before and after, cut off at three of them, in pixels;
            None takes it from the scale.
        max_delta_px: the largest displacement along each axis, in pixels; None takes it from the scale.
        iterations: number of panes.
        legacy: the published shuffle. It was meant to exchange pixels, but copies them one after the
            other, so that some spread and others vanish; and it never moves by +``max_delta_px``, so the
            content drifts down and to the right. ``max_delta_px`` is rounded.
    """

    together = True
    random = True

    sigma_px: float | None = scaled(_SIGMA_PX, 0, 50, "standard deviation in pixels")
    max_delta_px: float | None = scaled(_MAX_DELTA_PX, 0, 100, "largest displacement in pixels")
    iterations: int = fixed(1, 1, 20, "panes of glass")
    legacy: bool = False

    def change(self, at: SimpleNamespace, like: Tensor) -> Change:
        blur = Blur(at.sigma_px, like, reach=3).each if at.sigma_px else torch.Tensor.contiguous
        height, width = like.shape[-2:]
        y = torch.arange(height, device=like.device, dtype=torch.int32)[:, None]
        x = torch.arange(width, device=like.device, dtype=torch.int32)
        delta = round(at.max_delta_px) if self.legacy else at.max_delta_px
        inner = (y > delta) & (y <= height - delta) & (x > delta) & (x <= width - delta)

        def steps(streams: Streams, number: int, choices: float, shift: float) -> Sequence[Tensor]:
            """How far down and to the right of itself a pixel shows, (N, H, W): floor(choices (u - ½) + shift)."""
            words = streams.words((2, height, width), "pane", number, like=like).float()
            return words.add_(0.5).mul_(choices / 65536).add_(shift).floor_().int().unbind(1)

        def pane(streams: Streams, number: int) -> Tensor:
            """(N, H W): the place that each pixel shows."""
            if self.legacy:
                down, across = steps(streams, number, 2 * delta, 0)
                further = torch.where(inner, down.mul_(width).add_(across), 0)
                return torch.stack([_copied(one, inner) for one in further])
            down, across = steps(streams, number, 2 * delta + 1, 0.5)
            places = down.add_(y).clamp_(0, height - 1).mul_(width).add_(across.add_(x).clamp_(0, width - 1))
            return places.flatten(1).long()

        def shuffle(images: Tensor, streams: Streams) -> Tensor:
            shown = pane(streams, 0)
            for number in range(1, at.iterations):
                shown = shown.gather(1, pane(streams, number))
            soft = blur(images).flatten(2)
            return blur(soft.gather(2, shown[:, None].expand_as(soft)).view_as(images))

        return shuffle


def _copied(steps: Tensor, inner: Tensor) -> Tensor:
    """The place that each pixel shows in the end, where each in turn, from the last to the first, copies another.

    A pixel that copies one whose turn was before gets what that one got. Such chains are followed by doubling.

    Args:
        steps: (H, W) how much further the pixel lies that is copied, in the order of rows.
        inner: (H, W) the pixels that have a turn.
    """
    target = torch.arange(steps.numel(), device=steps.device) + steps.flatten()
    ended = ~(inner.flatten()[target] & (steps.flatten() > 0))
    for _ in range(_DOUBLINGS):
        target, ended = torch.where(ended, target, target[target]), ended | ended[target]
    return target
