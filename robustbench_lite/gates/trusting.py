"""What keeps a rule from being judged at all: a gate that did not run is not green."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_lite.gates.rule import GateSettings
from robustbench_lite.gates.tables import Table
from robustbench_lite.gates.wording import TRIGGERED
from robustbench_lite.records import LEFT_OUT, CheckRecord, RunRecord, command_line


class Obstacle(NamedTuple):
    """Why a number cannot be judged, and what to do about it."""

    what: str
    remedy: str


def of_state(record: RunRecord, settings: GateSettings, called: str = "the run") -> Obstacle | None:
    """Why a run is neither judged nor made a baseline, whatever its numbers; arguments as for ``of_run``."""
    if record.status != "done":
        return Obstacle(f"{called} was {record.status} before its end", _finish(record))
    if record.shard is not None:
        part = f"{called} is part {record.shard.index} of {record.shard.count}"
        return Obstacle(part, "Join the parts: rb merge.")
    if record.demo and not settings.allow_demo:
        return Obstacle(
            f"{called} is of the demo network, and says nothing about yours", "To try gates out: --allow-demo."
        )
    return None


def _finish(record: RunRecord) -> str:
    if record.merged:
        return "Give rb merge all shards, each finished."
    again = command_line([word for word in record.argv if word != "--resume"])
    if not record.unfinished:
        return f"Run it again: {again}" if again else "Run it again."
    return f"Finish it: {again} --resume" if again else "Finish it: the same with --resume."


def of_run(record: RunRecord, settings: GateSettings, called: str = "the run") -> Obstacle | None:
    """What holds for the whole run; None if nothing stands in the way.

    Args:
        record: of the run, or of a baseline.
        settings: what is allowed.
        called: what it is in the sentence.
    """
    return of_state(record, settings, called) or _triggered(record.checks, settings, f"the network of {called}")


def of_conditions(
    record: RunRecord, conditions: Sequence[str], settings: GateSettings, called: str = "the run"
) -> Obstacle | None:
    """What holds for these conditions; None if nothing stands in the way. Arguments as for ``of_run``."""
    for condition in record.conditions:
        if condition.spec not in conditions:
            continue
        if condition.n < record.data.n_used:
            return Obstacle(
                f"{called} has {condition.n} of {record.data.n_used} images under {condition.spec}",
                "Run the condition again.",
            )
        found = _triggered(condition.checks, settings, condition.spec)
        if found is not None:
            return found
    return None


def unchecked(record: RunRecord, conditions: Sequence[str], called: str) -> str:
    """A warning of attacks under which nobody checked the numbers; empty if there is none.

    Args:
        record: of a run, or of a baseline.
        conditions: specs that were judged.
        called: the run's path.
    """
    found = [c.spec for c in record.conditions if c.spec in conditions and any(map(_left_out, c.checks))]
    if not found:
        return ""
    more = f" and of {len(found) - 1} more attacks" if len(found) > 1 else ""
    return f"{called}: no trust check was made of {found[0]}{more} (--no-checks): a stronger attack may find more."


def _left_out(check: CheckRecord) -> bool:
    return check.status == "not run" and LEFT_OUT in check.seen  # a merged run says of which shard


def of_rows(table: Table, conditions: Sequence[str], called: str = "the run") -> Obstacle | None:
    """Whether the rows are those that the record tells of: no image missing, and none there twice."""
    asked = {condition.spec: condition.n for condition in table.record.conditions}
    for spec in conditions:
        index = table.rows(("index",), spec)["index"]
        if len(index) != asked.get(spec) or not index.is_unique:
            told = (
                f"{called} has {len(index)} rows of {index.nunique()} images under {spec}, not {asked.get(spec)}"
            )
            return Obstacle(told, "Its rows are damaged: run it again.")
    return None


def _triggered(checks: Sequence[CheckRecord], settings: GateSettings, about: str) -> Obstacle | None:
    for check in checks:
        if check.status == "triggered" and check.name not in settings.allow_triggered:
            remedy = check.advice or "See docs/trust.md."
            remedy = f"{remedy.rstrip('.')}." + (f" Run {check.command}." if check.command else "")
            remedy += (
                f' Or put up with it: allow_triggered = ["{check.name}"] under [gates], which every verdict tells.'
            )
            return Obstacle(f"{TRIGGERED}{check.name} triggered on {about}: {check.seen.rstrip('.')}", remedy)
    return None
