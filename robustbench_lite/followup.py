"""What to run next when a check triggered: a condition, and the command for this network and these images."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

from robustbench_lite.registry import make, spec
from robustbench_lite.specs import Call, format_call, parse
from robustbench_lite.types import Attack, Condition, Traced, is_shift

if TYPE_CHECKING:
    from robustbench_lite.inputs import Inputs
    from robustbench_lite.records import CheckRecord


@dataclasses.dataclass(frozen=True)
class FollowUp:
    """Specs of conditions to run after this one: its shifts, and another attack with the same budget.

    Args:
        condition: this one; it has an attack.
        blind: whether its gradients are known to lead nowhere.
    """

    condition: Condition
    blind: bool = False

    @property
    def _attack(self) -> Attack:
        return self.condition.attacks[-1]

    def _chain(self, attack: str) -> str:
        return " + ".join([*(spec(part) for part in self.condition.parts if is_shift(part)), attack])

    def _same_budget(self, name: str, **arguments: Any) -> str:
        eps, norm = getattr(self._attack, "eps", None), self._attack.norm
        # An attack of one's own may measure its budget as nobody else does. Without one the usual is filled in,
        # which linf and l2 have.
        if eps is None or norm not in ("linf", "l2", "l1") or (norm == "linf" and eps > 1):
            budget = {"norm": norm if self._scored else "l2"}
        else:
            budget = {"eps": eps, "norm": norm}
        return self._chain(spec(make(format_call(Call(name, {**budget, **arguments})))))

    @property
    def _scored(self) -> bool:
        return self._attack.norm in ("linf", "l2")

    def stronger(self) -> str:
        """The adaptive portfolio, which has an answer to hidden gradients; scores alone after it."""
        if self._scored:
            tried = self.blind or isinstance(self._attack, Traced)
            return self.without_gradients() if tried else self._same_budget("adaptive")
        return self._same_budget("pgd", steps=100, restarts=5, loss="margin")

    def without_gradients(self) -> str:
        """A search with scores alone, where there is one for the norm."""
        return self._same_budget("square") if self._scored else self.stronger()

    def unbounded(self) -> str:
        """The attack itself with the linf budget that makes every image grey."""
        if self._attack.norm != "linf":
            return self._chain("pgd(eps=0.5)")
        return self._chain(spec(dataclasses.replace(self._attack, eps=0.5)))  # type: ignore[type-var]


def command(inputs: Inputs, what: str) -> str:
    """A whole ``rb`` line for a condition's spec, or for ``doctor``; options that nobody chose are left out."""
    options: list[str] = []
    usual = {field.name: field.default for field in dataclasses.fields(inputs)}
    for name, value in inputs.options().items():
        # What was chosen and is the default is said, too: the file may say otherwise.
        chosen = inputs.origins.get(name, "default") != "default" and value not in (None, False)
        if chosen or value != usual[name]:
            flag = "--" + name.replace("_", "-")
            options += [flag] if value is True else [flag, str(value)]
    if what == "doctor":
        return shlex.join(["rb", "doctor", *options])
    # One part is an attack; the text is enough to tell, and what it names need not exist elsewhere.
    verb = ["attack", "--method", what] if len(parse(what)) == 1 else ["eval", "--on", what]
    return shlex.join(["rb", *verb, *options])


def with_commands(checks: list[CheckRecord], inputs: Inputs) -> list[CheckRecord]:
    """The checks, each with what to run next as a whole line."""
    return [c.model_copy(update={"command": command(inputs, c.next)}) if c.next else c for c in checks]
