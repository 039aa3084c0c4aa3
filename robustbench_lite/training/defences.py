"""Ways of adversarial training, from texts and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from robustbench_lite import registry
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.references import is_reference
from robustbench_lite.specs import Call, format_call, parse, parse_value
from robustbench_lite.training.by_attack import ByAttack
from robustbench_lite.training.defence import Defence

WARMUP = 0.3
"""Share of the training over which eps rises, unless another was asked for."""


def make_defence(text: str, arguments: Mapping[str, Any] | None = None) -> Defence:
    """What ``--adversarial`` stands for.

    Args:
        text: ``fast``, ``pgd``, ``trades``, ``file.py:Class`` of a defence, or any attack; with or without
            arguments.
        arguments: more of them, as numbers or texts.

    Raises:
        InputError: it cannot be read, is no defence and no attack, or an argument was given twice.
    """
    calls = parse(text)
    if len(calls) > 1:
        raise InputError(f"--adversarial {text!r} is a chain.", "Give one attack; shifts: --shift.")
    given = {k: parse_value(v) if isinstance(v, str) else v for k, v in (arguments or {}).items()}
    if twice := sorted(set(given) & set(calls[0].arguments)):
        raise InputError(f"{twice[0]} is given in --adversarial and beside it.", "Give it once.")
    call = dataclasses.replace(calls[0], arguments={**calls[0].arguments, **given})
    kind = _kind(call.name)
    if kind == "defence":
        defence: Defence = registry.make_one("defence", format_call(call))
        return defence
    if kind == "attack":
        return _by_attack(call)
    raise InputError(f"--adversarial {call.name} is no attack.", "Shifts: --shift. Attacks: rb ls attacks.")


def told(defence: Defence) -> str:
    """The spec of a defence, as ``make_defence`` reads it."""
    if not isinstance(defence, ByAttack):
        return registry.spec(defence)
    call = parse(registry.spec(defence.attack))[0]
    return format_call(dataclasses.replace(call, arguments={**call.arguments, "eps": defence.eps}))


def _kind(name: str) -> str:
    """``defence``, ``attack``, or what else a registered name or a class of one's own is."""
    library = name.partition(":")[0]
    if registry.canonical_name("attack", library) == "torchattacks":
        return "attack"
    for kind in ("defence", "attack", "shift"):
        if registry.canonical_name(kind, name):
            return kind
    if not is_reference(name):
        known = [*registry.names("defence"), *registry.names("attack")]
        raise UnknownNameError("defence or attack", name, known)
    return str(getattr(registry.load("defence", name), "kind", ""))


def _by_attack(call: Call) -> Defence:
    eps = call.arguments.get("eps")
    if getattr(registry.load("attack", call.name), "minimal", False):
        call = dataclasses.replace(call, arguments={k: v for k, v in call.arguments.items() if k != "eps"})
    (attack,) = registry.make(format_call(call)).attacks
    eps = eps if eps is not None else getattr(attack, "eps", None)
    if hasattr(attack, "eps"):
        attack = dataclasses.replace(attack, eps=None)  # type: ignore[type-var]
    return ByAttack(attack, eps)
