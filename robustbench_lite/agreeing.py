"""Do shards belong together: what they must agree in, what may differ and is said, and whether each is whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import InputError
from robustbench_lite.sharding import Shard

if TYPE_CHECKING:
    from robustbench_lite.records import CheckRecord, DataRecord, RunRecord
    from robustbench_lite.runs import Run

# Of a condition; the rest is added up, or computed again from all rows.
_OF_CONDITION = ("kind", "severity", "parameters", "values", "from_clean", "threat_model", "members")
# Inputs beside those that other fields of the record tell. Paths may be others on another machine.
_INPUTS = ("group", "limit", "first", "input_size", "resize", "channels", "max_damaged")


def _given(name: str) -> Callable[[RunRecord], Any]:
    return lambda record: record.config.get(name)


# What must be the same in all shards: in words, and how it is read from the record.
_ALIKE: dict[str, Callable[[RunRecord], Any]] = {
    "number of shards": lambda r: r.shard and r.shard.count,
    "network (its weights)": lambda r: r.model.weights_sha256,
    "network": lambda r: r.model.spec if r.model.weights_sha256 == "unknown" else None,
    "shape of the network": lambda r: (r.model.parameters, r.model.input_shape, r.model.num_classes, r.demo),
    "normalisation": lambda r: (r.model.mean, r.model.std),
    "images": lambda r: (r.data.manifest_sha256, r.data.n_asked, r.shard and r.shard.n_whole),
    "classes": lambda r: r.data.class_names,
    "groups": lambda r: r.data.n_groups,
    "image shape": lambda r: r.data.image_shape,
    "usual budgets": lambda r: r.data.eps,
    "--split": lambda r: r.data.split,
    **{f"--{name.replace('_', '-')}": _given(name) for name in _INPUTS},
    "seed": lambda r: r.seed,
    "rounding to 8 bits": lambda r: r.as_8bit,
    "batch size": lambda r: r.config.get("batch_size"),
    "conditions": lambda r: [c.spec for c in r.conditions],
    "arguments of conditions": lambda r: [[getattr(c, name) for name in _OF_CONDITION] for c in r.conditions],
    "detector": lambda r: r.detector and r.detector.model_dump(exclude={"folder", "n_seen"}),
    "dtype": lambda r: r.dtype,
    "code": lambda r: r.code_sha256,
}
# Of those that are finished.
_FINISHED: dict[str, Callable[[RunRecord], Any]] = {
    "trust checks": lambda r: [_names(r.checks), *(_names(c.checks) for c in r.conditions)],
}

# What may differ: then that of the first shard stands in the whole, with a note.
_MAY_DIFFER: dict[str, Callable[[RunRecord], Any]] = {
    "command": lambda r: r.command,
    "suites": lambda r: r.suites,
    "git state": lambda r: r.git,
    "name of the network": lambda r: (r.model.spec, r.config.get("weights")),
    "name of the images": lambda r: (r.data.spec, r.config.get("data_root")),
    "folder of the detector": lambda r: r.detector and r.detector.folder,
}


def check_alike(first: Run, run: Run) -> None:
    """Raise InputError if two runs differ in what the shards of one run have in common."""
    others = list[str]()
    finished = all(one.record.status == "done" for one in (first, run))
    for what, said in (_ALIKE | (_FINISHED if finished else {})).items():
        one, other = said(first.record), said(run.record)
        if one != other:
            short = all(
                isinstance(value, str | int | float | None) and len(str(value)) <= 20 for value in (one, other)
            )
            others.append(f"{what} ({one}, {other})" if short else what)
    if others:
        one, other = (f"{shard.path}, shard {part(shard.record)}" for shard in (first, run))
        raise InputError(
            f"{one}, and {other}, are no shards of one run: they differ in {', '.join(others)}.",
            "Give the shards of one run.",
        )


def differing(records: Sequence[RunRecord]) -> list[str]:
    """What may differ among shards, and does."""
    first, *others = records
    return [what for what, said in _MAY_DIFFER.items() if any(said(r) != said(first) for r in others)]


def check_rows(shards: Sequence[Run]) -> None:
    """Raise InputError if a shard has not the rows that its record, and its place among the shards, say."""
    damaged = set.intersection(*(_skipped(run.record.data) for run in shards))  # found by all, before they began
    for run in shards:
        wrong = _wrong_rows(run)
        # Of one shard alone nobody can tell which damaged images are of its own batches.
        if not wrong and len(shards) > 1 and run.record.status == "done":
            wrong = _missing_images(run.record, len(damaged))
        if wrong:
            raise InputError(
                f"{run.path}, shard {part(run.record)}, is damaged: {wrong}.", "Run that shard again."
            )


def part(record: RunRecord) -> str:
    """Which shard it is, like ``2/4``."""
    return f"{record.shard.index}/{record.shard.count}" if record.shard else ""


def _wrong_rows(run: Run) -> str:
    """What is wrong with the rows of a shard; empty: nothing."""
    record = run.record
    size, most = record.config.get("batch_size"), record.config.get("max_damaged", 1.0)
    if not isinstance(size, int) or size < 1 or not isinstance(most, int | float):
        return "batch_size or max_damaged in run.json is no such number"
    rows = run.rows(["condition", "index"])
    counts = rows["condition"].value_counts()
    strange = set(counts.index) - {condition.spec for condition in record.conditions}
    if strange:
        return f"it has rows of {min(strange)}, which run.json does not name"
    for condition in record.conditions:
        there = int(counts.get(condition.spec, 0))
        if there != condition.n:
            return f"it has {there} rows of {condition.spec}, and run.json says {condition.n}"
        if record.status == "done" and there != record.data.n_used:
            return f"it has {there} rows of {condition.spec} for {record.data.n_used} images"
    if rows.duplicated().any():
        return f"it has the image {rows[rows.duplicated()]['index'].iloc[0]} twice"
    if shard := record.shard:
        others = rows["index"][(rows["index"] // size) % shard.count != shard.index - 1]
        if len(others):
            return f"it has the image {others.iloc[0]}, which is of another shard"
    return ""


def _missing_images(record: RunRecord, damaged: int) -> str:
    """Whether a finished shard has its images, but for the damaged ones; empty: it has."""
    assert record.shard is not None
    shard = Shard(record.shard.index, record.shard.count)
    whole = shard.images(record.data.n_asked - damaged, record.config["batch_size"])
    there, torn = record.data.n_used, record.data.n_skipped - damaged
    return "" if there + torn == whole else f"it has {there} images and {torn} that cannot be read, of {whole}"


def _skipped(data: DataRecord) -> set[tuple[str, str]]:
    return {(skipped["file"], skipped["reason"]) for skipped in data.skipped}


def _names(checks: Sequence[CheckRecord]) -> list[str]:
    return sorted(check.name for check in checks)
