"""The record of an evaluation: what was asked, what was used, what came out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite import provenance, records
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.evaluation import Evaluation
from robustbench_lite.followup import with_commands
from robustbench_lite.identity import code_sha256
from robustbench_lite.registry import spec
from robustbench_lite.sharding import WHOLE

if TYPE_CHECKING:
    from robustbench_lite.runner import Prepared
    from robustbench_lite.search import Found
    from robustbench_lite.unfinished import Store


def n_asked(dataset: Dataset) -> int:
    """How many images were asked for, readable or not."""
    return len(dataset) + len(dataset.skipped)


def record(
    prepared: Prepared,
    result: Evaluation,
    identity: str,
    command: str,
    argv: Sequence[str],
    as_8bit: bool,
    searched: Sequence[Found] = (),
    store: Store | None = None,
) -> records.RunRecord:
    """All of ``run.json``.

    Args:
        prepared: what was to be evaluated.
        result: what came of it.
        identity: the run's name.
        command: a word for what was done.
        argv: the command line; empty: that of this process.
        as_8bit: adversarial images were rounded to 8 bits.
        searched: what was searched for the conditions.
        store: where its finished batches are, if they are kept.
    """
    classifier, dataset = prepared.classifier, prepared.dataset
    inputs = replace(prepared.inputs, batch_size=result.batch_size)
    return records.RunRecord(
        id=identity,
        command=command,
        status=result.status,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        argv=list(argv or sys.argv),
        config={key: str(v) if isinstance(v, Path) else v for key, v in inputs.options().items()},
        origins=dict(inputs.origins),
        suites={name: list(specs) for name, specs in prepared.suites.items()},
        demo=prepared.inputs.demo,
        seed=prepared.inputs.seed,
        as_8bit=as_8bit,
        packages=provenance.package_versions(),
        git=provenance.git_state(Path.cwd()),
        model=records.ModelRecord(
            spec=classifier.spec,
            weights_sha256=classifier.weights_sha256,
            parameters=classifier.num_parameters,
            input_shape=None if classifier.input_shape is None else list(classifier.input_shape),
            num_classes=len(dataset.class_names),
            mean=list(classifier.mean),
            std=list(classifier.std),
            notes=list(classifier.notes),
        ),
        data=records.DataRecord(
            spec=dataset.spec,
            split=dataset.split,
            class_names=list(dataset.class_names),
            manifest_sha256=dataset.manifest_hash,
            image_shape=list(dataset.image_shape),
            n_asked=n_asked(dataset),
            n_used=result.conditions[0].n,
            n_skipped=len(result.skipped),
            skipped=[{"file": s.file, "reason": s.reason} for s in result.skipped],
            n_groups=None if dataset.groups is None else len(set(dataset.groups)),
            notes=[*dataset.notes, *prepared.notes],
            eps=dict(dataset.eps),
        ),
        device=str(classifier.device),
        dtype="float32",
        seconds=round(result.seconds, 3),
        conditions=[
            c.model_copy(update={"checks": with_commands(c.checks, prepared.inputs)}) for c in result.conditions
        ],
        detector=_detector(result.detector, prepared.detector_folder),
        checks=with_commands(result.checks, prepared.inputs),
        breaking_points=result.breaking_points,
        examples=[example.model_copy(update={"how": _how(example, searched)}) for example in result.examples],
        searches=[_search(found) for found in searched],
        code_sha256=code_sha256(classifier, prepared.conditions),
        resumed=store.times if store else 0,
        shard=None
        if prepared.shard == WHOLE
        else records.ShardRecord(**vars(prepared.shard), n_whole=n_asked(dataset)),
        unfinished=store.name if store and result.status != "done" else "",
    )


def _detector(found: records.GuardRecord | None, folder: Path | None) -> records.GuardRecord | None:
    """With the place it came from, and a fingerprint of the files there."""
    if found is None or folder is None:
        return found
    return found.model_copy(update={"folder": str(folder), "sha256": detector_sha256(folder)})


def detector_sha256(folder: Path) -> str:
    """Of the names and contents of the files in it."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _how(example: records.Example, searched: Sequence[Found]) -> str:
    """The condition that a search found for the image of an example."""
    found = next((found for found in searched if spec(found.each) == example.condition), None)
    chosen = found and (found.each.chosen or {}).get(example.sample_id)
    return spec(chosen) if chosen else ""


def _search(found: Found) -> records.SearchRecord:
    return records.SearchRecord(
        ranges=found.space.text,
        tries=found.tries,
        method=found.method,  # type: ignore[arg-type]
        together=spec(found.together),
        each=spec(found.each),
        forwards=found.forwards,
        gradients=found.gradients,
        seconds=round(found.seconds, 3),
    )
