"""Adversarial training with any attack."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.applying import apply
from robustbench_lite.errors import InputError
from robustbench_lite.registry import spec
from robustbench_lite.rng import Streams, stable_hash
from robustbench_lite.training.defence import Defence
from robustbench_lite.training.inner import check_budget
from robustbench_lite.types import Attack, Condition

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier


@dataclass(frozen=True)
class ByAttack(Defence):
    """Cross-entropy of images as an attack returns them.

    An image that is wrong already is not attacked. What an attack for the smallest change finds is cut to the
    budget.

    Args:
        attack: of linf, l2 or l1.
        eps: size of the budget on the [0, 1] scale.
    """

    attack: Attack
    eps: float | None = None

    def __post_init__(self) -> None:
        name = spec(self.attack)
        if self.attack.needs_detector:
            raise InputError(f"{name} attacks a detector too: training has none.", "Choose another attack.")
        if self.attack.norm not in norms.NORMS:
            raise InputError(
                f"{name} is of {self.attack.norm}: training needs a budget that can rise.",
                f"Choose an attack of {', '.join(norms.NORMS)}.",
            )
        if not hasattr(self.attack, "eps") and not self.attack.minimal:
            raise InputError(
                f"{name} has no eps: training needs a budget that can rise.", "Choose another attack."
            )
        check_budget(name, self.eps, self.norm)

    @property
    def norm(self) -> str:
        return self.attack.norm

    def attacked(
        self, classifier: Classifier, images: Tensor, labels: Tensor, streams: Streams, eps: float
    ) -> Tensor:
        attack = self.attack
        if hasattr(attack, "eps"):
            attack = dataclasses.replace(attack, eps=eps)  # type: ignore[type-var]
        truth = labels if labels.ndim == 1 else labels.argmax(1)
        seed = stable_hash(streams.seed, streams.condition)
        with classifier.frozen():
            clean = classifier(images)
            outcome = apply(Condition((attack,)), classifier, images, truth, clean, streams.sample_ids, seed)
        return (images + norms.project(outcome.images - images, eps, self.norm)).clamp(0, 1)
