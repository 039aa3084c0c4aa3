"""A moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """Exponential moving average of a network's parameters (Polyak & Juditsky, SIAM J. Control Optim. 1992).

    After step t = 0, 1, … the average keeps the share min(decay, (1 + t) / (10 + t)) of itself, so that a short
    training soon forgets the weights of its beginning as well. Buffers, such as the statistics of batch norm, are
    those of the network: they are averages already.

    Args:
        network: on its device; it is trained in place.
        decay: in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = network, decay
        self.average = [parameter.detach().clone() for parameter in network.parameters()]

    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = [parameter.detach() for parameter in self.network.parameters()]
        get_ema_multi_avg_fn(decay)(self.average, now, None)  # type: ignore[no-untyped-call]

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The network has the averaged weights, and is handed back as it was."""
        raw = [parameter.detach().clone() for parameter in self.network.parameters()]
        self._put(self.average)
        try:
            yield
        finally:
            self._put(raw)

    @torch.no_grad()
    def _put(self, weights: list[Tensor]) -> None:
        for parameter, weight in zip(self.network.parameters(), weights, strict=True):
            parameter.copy_(weight)

    def state(self) -> list[Tensor]:
        """The averaged weights."""
        return self.average

    def restore(self, state: list[Tensor]) -> None:
        """Go on from a state."""
        for mean, saved in zip(self.average, state, strict=True):
            mean.copy_(saved)
