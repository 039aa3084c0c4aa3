"""The record of a merged run: what its shards say, together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from robustbench_lite import checks
from robustbench_lite.agreeing import differing
from robustbench_lite.metrics import robustness_curve
from robustbench_lite.records import CheckRecord, ConditionRecord, CurvePoint, DataRecord, Example, RunRecord
from robustbench_lite.rng import stable_hash

if TYPE_CHECKING:
    import pandas as pd

    from robustbench_lite.runs import Run

_MOST = {"worst": 4, "ordinary": 2}  # as examples.py keeps them
_ADDED = ("n", "forwards", "gradients", "check_passes", "detector_forwards", "detector_gradients")


def merged_record(shards: Sequence[Run], samples: pd.DataFrame, identity: str) -> RunRecord:
    """All of ``run.json`` of the whole.

    Args:
        shards: in their order.
        samples: all rows.
        identity: the id of the whole.
    """
    records = [run.record for run in shards]
    first, names = records[0], [_name(record) for record in records]
    rows = {str(spec): found for spec, found in samples.groupby("condition", sort=False)}
    missing = missing_shards(records)
    data = _data(records, missing)
    status = "interrupted" if missing or any(r.status != "done" for r in records) else "done"
    if status == "done" and data.n_skipped > first.config.get("max_damaged", 1.0) * data.n_asked:
        status = "failed"
    conditions = [
        _condition([r.conditions[i] for r in records], names, rows, data) for i in range(len(first.conditions))
    ]
    network = _checks([r.checks for r in records], names)
    clean = rows.get("clean")
    if clean is not None:
        network = [_again(c, _majority(clean, data)) if c.name == "majority" else c for c in network]
    return first.model_copy(
        update={
            "id": identity,
            "status": status,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "argv": _unsharded(first.argv),
            "model": first.model.model_copy(update={"notes": _all(r.model.notes for r in records)}),
            "data": data,
            "seconds": round(sum(r.seconds for r in records), 3),
            "conditions": conditions,
            "detector": first.detector
            and first.detector.model_copy(
                update={"n_seen": sum(r.detector.n_seen for r in records if r.detector)}
            ),
            "checks": network,
            "examples": _examples(records),
            "resumed": sum(r.resumed for r in records),
            "unfinished": "",
            "shard": None,
            "merged": [r.id for r in records],
        }
    )


def missing_shards(records: Sequence[RunRecord]) -> list[str]:
    """Those that there are not, like ``2/4``."""
    there = {record.shard.index for record in records if record.shard}
    count = records[0].shard.count if records[0].shard else 0
    return [f"{index}/{count}" for index in range(1, count + 1) if index not in there]


def _name(record: RunRecord) -> str:
    return f"shard {record.shard.index}/{record.shard.count}" if record.shard else record.id


def _unsharded(argv: Sequence[str]) -> list[str]:
    """The command line of a shard without what made it one: the run that this is equal to."""
    left = [word for word in argv if not word.startswith("--shard=") and word != "--resume"]
    if "--shard" in left:
        at = left.index("--shard")
        del left[at : at + 2]
    return left


def _data(records: Sequence[RunRecord], missing: Sequence[str]) -> DataRecord:
    """Of all images; what every shard has found damaged before it began stands once."""
    first = records[0].data
    skipped = {(s["file"], s["reason"]): s for record in records for s in record.data.skipped}
    notes = _all(record.data.notes for record in records)
    used = sum(record.data.n_used for record in records)
    if missing:
        notes.append(f"merged without shard {', '.join(missing)}: {used} of {first.n_asked} images are in it")
    unfinished = [_name(record) for record in records if record.status != "done"]
    if unfinished:
        notes.append(f"merged with unfinished shards: {', '.join(unfinished)}")
    for what, seen in (("devices", {r.device for r in records}), ("versions", {str(r.packages) for r in records})):
        if len(seen) > 1:
            notes.append(f"the shards were computed with different {what}: last digits may differ")
    others = differing(records)
    if others:
        notes.append(f"the shards differ in {', '.join(others)}: what {_name(records[0])} says stands here")
    saved = any(condition.saved for record in records for condition in record.conditions)
    if saved:
        notes.append("images that were saved are in the folders of the shards")
    return first.model_copy(
        update={"n_used": used, "n_skipped": len(skipped), "skipped": list(skipped.values()), "notes": notes}
    )


def _all(parts: Iterable[Sequence[str]]) -> list[str]:
    """What is in any, once."""
    return list(dict.fromkeys(text for part in parts for text in part))


def _condition(
    parts: Sequence[ConditionRecord], names: Sequence[str], rows: dict[str, pd.DataFrame], data: DataRecord
) -> ConditionRecord:
    """One condition of all shards; what follows from its rows is computed from all of them."""
    spec = parts[0].spec
    found = _checks([part.checks for part in parts], names)
    curve = list[CurvePoint]()
    if spec in rows:
        above = _above_clean(rows["clean"], rows[spec])
        found = [_again(check, above) if check.name == "above_clean" else check for check in found]
    if spec in rows and parts[0].threat_model and any(part.curve for part in parts):
        norm = parts[0].threat_model[0].norm
        curve = robustness_curve(rows[spec], norm, data.eps.get(norm), grouped=data.n_groups is not None)
    return parts[0].model_copy(
        update={
            **{name: sum(getattr(part, name) for part in parts) for name in _ADDED},
            "seconds": round(sum(part.seconds for part in parts), 3),
            "warnings": _warnings([part.warnings for part in parts], names),
            "saved": None,
            "curve": curve,
            "checks": found,
        }
    )


def _warnings(parts: Sequence[Sequence[str]], names: Sequence[str]) -> list[str]:
    """What all shards warn of, once; else with the shards that do."""
    found: dict[str, list[str]] = {}
    for name, warnings in zip(names, parts, strict=True):
        for warning in warnings:
            found.setdefault(warning, []).append(name)
    return [text if len(told) == len(names) else f"{', '.join(told)}: {text}" for text, told in found.items()]


def _checks(parts: Sequence[Sequence[CheckRecord]], names: Sequence[str]) -> list[CheckRecord]:
    """Every check of all shards: triggered if it is in one, else passed if it is in one."""
    found: dict[str, list[tuple[str, CheckRecord]]] = {}
    for name, checked in zip(names, parts, strict=True):
        for check in checked:
            found.setdefault(check.name, []).append((name, check))
    return [_check(told, len(names)) for told in found.values()]


def _check(told: Sequence[tuple[str, CheckRecord]], count: int) -> CheckRecord:
    """One check of all shards that have it; what was seen says in which, and where it did not run."""
    for status in ("triggered", "passed", "not run"):
        same = [(name, check) for name, check in told if check.status == status]
        if same:
            break
    seen: dict[str, list[str]] = {}
    for name, check in same:
        seen.setdefault(check.seen, []).append(name)
    first = same[0][1]
    if len(seen) == 1 and len(same) == count:  # all say the same
        return first
    if status == "passed":
        for name, check in told:
            if check.status == "not run":
                seen.setdefault(f"not run, {check.seen}", []).append(name)
    words = " ".join(f"{', '.join(where)}: {text}" for text, where in seen.items())
    return first.model_copy(update={"seen": words})


def _again(told: CheckRecord, found: checks.Check) -> CheckRecord:
    """A check of all rows, instead of what the shards said of theirs."""
    command = (told.command or "rb doctor") if found.next else ""
    return CheckRecord(**found._asdict(), command=command)


def _majority(clean: pd.DataFrame, data: DataRecord) -> checks.Check:
    """As ``probes.py`` has it, of all rows."""
    counts = clean["label"].value_counts().reindex(range(len(data.class_names)), fill_value=0)
    right = int(clean["correct"].sum())
    return checks.better_than_majority(right, counts.tolist(), tuple(data.class_names))


def _above_clean(clean: pd.DataFrame, rows: pd.DataFrame) -> checks.Check:
    """As ``probes.py`` has it, of all rows."""
    before = clean.set_index("index")["correct"].reindex(rows["index"]).to_numpy()
    right = rows["correct"].to_numpy()
    return checks.below_clean(int((right > before).sum()), int((right < before).sum()), len(rows))


def _examples(records: Sequence[RunRecord]) -> list[Example]:
    """Of all examples those that ``examples.py`` would have kept, in its order."""

    def rank(example: Example) -> tuple[float, int]:
        sure = -example.confidence if example.role == "worst" else 0.0
        return sure, stable_hash(example.sample_id)

    found: list[Example] = []
    for condition in records[0].conditions:
        for role in ("worst", "ordinary"):
            same = [e for r in records for e in r.examples if (e.condition, e.role) == (condition.spec, role)]
            found += sorted(same, key=rank)[: _MOST[role]]
    return found
