"""AutoAttack: four attacks without a parameter to choose, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.attacks.apgd import APGD
from robustbench_lite.attacks.fab import FAB
from robustbench_lite.attacks.portfolio import member_names, run_all, total_cost
from robustbench_lite.attacks.square import Square
from robustbench_lite.errors import UnknownNameError
from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, Cost, LogitsAndGradient, Model, Trace

VERSIONS = ("standard", "rand")
# Passes that a gradient is averaged over for a randomised network, as published.
_DRAWS = 20


@dataclass(frozen=True)
class AutoAttack(Attack):
    """AutoAttack: the worst of four attacks that need no tuning, at the published budgets.

    Croce & Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks*, ICML 2020. Each attack gets only the images that resisted those before it. Fewer than ten classes
    leave fewer wrong ones to aim at; two and three classes work too.

    Args:
        eps: size of the budget on the [0, 1] scale.
        norm: ``linf`` or ``l2``.
        version: ``standard``: APGD with cross-entropy (100 steps), APGD with DLR at 9 classes (100 steps each),
            FAB at 9 classes (100 steps each), Square (5,000 queries). ``rand``, for networks that are random
            themselves: APGD with cross-entropy and with DLR, 100 steps each, every gradient and every score the
            mean of 20 passes (Athalye et al., *Synthesizing robust adversarial examples*, ICML 2018).
    """

    eps: float | None = None
    norm: Literal["linf", "l2"] = "linf"
    version: Literal["standard", "rand"] = "standard"

    def __post_init__(self) -> None:
        norms.check_norm(self.norm, ("linf", "l2"))
        if self.version not in VERSIONS:
            raise UnknownNameError("version of autoattack", self.version, VERSIONS)
        if self.eps is not None:
            norms.check_eps(self.eps, self.norm)

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """The members, in order."""
        ce, dlr = APGD(norm=self.norm), APGD(norm=self.norm, loss="dlr")
        if self.version == "rand":
            return ce, dlr
        return (
            ce,
            APGD(norm=self.norm, loss="dlr", targets=9),
            FAB(norm=self.norm, targets=9),
            Square(norm=self.norm),
        )

    @property
    def members(self) -> tuple[str, ...]:
        return member_names(self.attacks)

    def max_cost(self) -> Cost:
        cost = total_cost(self.attacks)
        return cost if self.version == "standard" else Cost(cost.forwards * _DRAWS, cost.gradients * _DRAWS)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        return self.trace(model, images, labels, streams).images

    def trace(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Trace:
        eps = norms.check_eps(self.eps, self.norm)
        seen = model if self.version == "standard" else _Expectation(model)
        return run_all(self.attacks, seen, images, labels, streams, eps)


class _Expectation(Model):
    """A randomised network as its mean over several passes."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __call__(self, images: Tensor) -> Tensor:
        return torch.stack([self._model(images) for _ in range(_DRAWS)]).mean(0)

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> LogitsAndGradient:
        draws = [self._model.gradient(images, loss) for _ in range(_DRAWS)]
        logits = torch.stack([draw.logits for draw in draws]).mean(0)
        return LogitsAndGradient(logits, torch.stack([draw.gradient for draw in draws]).mean(0))
