"""Catastrophic overfitting: a network that withstands the one step it is trained on, and nothing else."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from robustbench_lite.training.by_attack import ByAttack
from robustbench_lite.training.defence import Defence
from robustbench_lite.training.defences import told
from robustbench_lite.training.loop import Judged
from robustbench_lite.training.madry import Madry
from robustbench_lite.training.objective import Objective
from robustbench_lite.training.robust_validation import accuracy_under, robust_accuracy
from robustbench_lite.training.tensors import Tensors

_log = logging.getLogger(__name__)

FEW = 4
"""Gradients up to which an attack is watched: more of them have not been overfitted to."""
GAP = 0.2
"""How many more images must withstand the attack of the training than PGD, and twice as many: a collapse does."""


class Watch:
    """Takes an epoch back in which the network overfitted to a short attack, and goes on with twice the steps.

    Wong, Rice & Kolter (ICLR 2020) describe the collapse: accuracy under PGD falls to zero within an epoch, while
    that under the attack of the training rises. Both are measured on validation images, at the budget that the
    epoch ended with.

    Args:
        objective: its recipe is changed when the attack must be.
        data: validation images, or None if nothing is attacked.
    """

    def __init__(self, objective: Objective, data: Tensors | None) -> None:
        self.objective, self.data = objective, data
        self.entries: list[dict[str, Any]] = []

    @property
    def needed(self) -> bool:
        """Whether the attack is so short that it may be overfitted to."""
        defence = self.objective.recipe.adversarial
        return self.data is not None and defence is not None and 1 <= _gradients(defence) <= FEW

    def undone(self, judged: Judged) -> bool:
        """Whether an epoch must be taken back; then the recipe has a longer attack."""
        defence, recipe = self.objective.recipe.adversarial, self.objective.recipe
        if not self.needed or defence is None or self.data is None:
            return False
        options, classifier = self.objective.options, self.objective.classifier
        eps = recipe.eps_at(judged.epoch / options.epochs)
        own = accuracy_under(classifier, self.data, defence, eps, options.seed)
        robust = robust_accuracy(classifier, self.data, defence, eps, options.seed)
        if own - robust <= GAP or robust > own / 2:
            return False
        longer = _longer(defence)
        self.objective.recipe = dataclasses.replace(recipe, adversarial=longer)
        entry = {"epoch": judged.epoch, "eps": eps, "adversarial": told(defence), "accuracy": own}
        self.entries.append({**entry, "robust_accuracy": robust, "goes_on_with": told(longer)})
        _log.warning(
            "warning: epoch %d is taken back: %.0f %% of the validation images withstand the attack of the "
            "training, %.0f %% PGD (catastrophic overfitting). It goes on with %s.",
            *(judged.epoch, 100 * own, 100 * robust, told(longer)),
        )
        return True

    def state(self) -> dict[str, Any]:
        """What a training that was stopped needs to know."""
        return {"overfitting": self.entries}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.entries[:] = state["overfitting"]
        recipe = self.objective.recipe
        for _ in self.entries:  # not read from the file: the name of an attack may be that of a program
            assert recipe.adversarial is not None
            recipe = dataclasses.replace(recipe, adversarial=_longer(recipe.adversarial))
        self.objective.recipe = recipe


def _gradients(defence: Defence) -> int:
    if isinstance(defence, ByAttack):
        return defence.attack.max_cost().gradients
    return int(getattr(defence, "steps", 0))


def _longer(defence: Defence) -> Defence:
    """Twice the steps, of the size that suits them; PGD in place of an attack of another kind."""
    if isinstance(defence, ByAttack):
        return Madry(defence.eps, defence.norm, 2 * _gradients(defence))  # type: ignore[arg-type]
    changed = {"steps": 2 * _gradients(defence)}
    if hasattr(defence, "step_size"):
        changed["step_size"] = None  # type: ignore[assignment]
    return dataclasses.replace(defence, **changed)  # type: ignore[type-var]
