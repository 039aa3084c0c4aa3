"""What to run next when a check triggered: a condition, and the command for this network and these images."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

from robustbench_lite.registry import make, spec
from robustbench_lite.specs import Call, format_call
from robustbench_lite.types import Attack, Condition, is_shift

if TYPE_CHECKING:
    from robustbench_lite.runner import Inputs
    from robustbench_lite.runs import CheckRecord


@dataclasses.dataclass(frozen=True)
class FollowUp:
    """Specs of conditions to run after this one: its shifts, and another attack with the same budget."""

    condition: Condition

    @property
    def _attack(self) -> Attack:
        return self.condition.attacks[-1]

    def _chain(self, attack: str) -> str:
        return " + ".join([*(spec(part) for part in self.condition.parts if is_shift(part)), attack])

    def _same_budget(self, name: str, **arguments: Any) -> str:
        eps = getattr(self._attack, "eps", None)
        budget = {} if eps is None else {"eps": eps}
        return self._chain(format_call(Call(name, {**budget, "norm": self._attack.norm, **arguments})))

    def stronger(self) -> str:
        """More steps and restarts, and a loss that does not fade; scores alone if that was done already."""
        if getattr(self._attack, "loss", None) == "margin" and self._attack.norm in ("linf", "l2"):
            return self.without_gradients()
        norm = self._attack.norm if self._attack.norm in ("linf", "l2", "l1") else "l2"
        return self._same_budget("pgd", norm=norm, steps=100, restarts=5, loss="margin")

    def without_gradients(self) -> str:
        """A search with scores alone, where there is one for the norm."""
        if self._attack.norm not in ("linf", "l2"):
            return self.stronger()
        return self._same_budget("square", queries=5000)

    def unbounded(self) -> str:
        """The attack itself with the linf budget that makes every image grey."""
        if self._attack.norm != "linf":
            return self._chain("pgd(eps=0.5)")
        return self._chain(spec(dataclasses.replace(self._attack, eps=0.5)))  # type: ignore[type-var]


def command(inputs: Inputs, what: str) -> str:
    """A whole ``rb`` line for a condition's spec, or for ``doctor``; options at their default are left out."""
    options: list[str] = []
    for field in dataclasses.fields(inputs):
        value = getattr(inputs, field.name)
        if value != field.default:
            flag = "--" + field.name.replace("_", "-")
            options += [flag] if value is True else [flag, str(value)]
    if what == "doctor":
        return shlex.join(["rb", "doctor", *options])
    verb = ["attack", "--method", what] if make(what).kind == "attack" else ["eval", "--on", what]
    return shlex.join(["rb", *verb, *options])


def with_commands(checks: list[CheckRecord], inputs: Inputs) -> list[CheckRecord]:
    """The checks, each with what to run next as a whole line."""
    return [c.model_copy(update={"command": command(inputs, c.next)}) if c.next else c for c in checks]
