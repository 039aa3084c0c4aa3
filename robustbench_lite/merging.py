"""One run from its shards: the rows that an unsharded run would have, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.agreeing import check_alike, check_rows, part
from robustbench_lite.errors import InputError
from robustbench_lite.merged_record import merged_record, missing_shards
from robustbench_lite.run_folder import RunFolder, new_id
from robustbench_lite.runs import Run, read_run

if TYPE_CHECKING:
    import pandas as pd


def merge(runs: Sequence[Run | Path | str], out: Path | str, *, allow_missing: bool = False) -> Run:
    """Put the shards of a run together, and write the whole as a run.

    The rows are those of the unsharded run, in its order. Counts and seconds are added up; a check that triggered
    in one shard is triggered; what follows from the rows is computed from all of them.

    Args:
        runs: run folders, in any order.
        out: the folder of the whole.
        allow_missing: merge what is there, with the status ``interrupted``, which no gate passes.

    Raises:
        InputError: a run is no shard, or unfinished; two differ in what they ran, or overlap; one is missing, or
            has not the rows that its record says; a folder is damaged, or ``out`` is taken.
    """
    opened = [run if isinstance(run, Run) else read_run(run) for run in runs]
    shards = _checked(opened, allow_missing=allow_missing)
    folder = RunFolder(Path(out))
    try:
        samples = _rows(shards)
        pictures: dict[str, bytes] = {}
        record = merged_record(shards, samples, new_id(shards[0].record.command))
        for example in record.examples:
            owner = next(run for run in shards if example in run.record.examples)
            pictures |= {name: _picture(owner, name) for name in (example.clean, example.changed)}
        folder.commit(record, samples, pictures)
    except BaseException:
        folder.discard()
        raise
    return read_run(out)


def _checked(runs: Sequence[Run], *, allow_missing: bool) -> list[Run]:
    """The shards in their order, if they are those of one run.

    Raises:
        InputError: as ``merge``.
    """
    if not runs:
        raise InputError("nothing was given to merge.", "Give the run folders of the shards.")
    for run in runs:
        if run.record.shard is None:
            what = "has been merged already" if run.record.merged else "is no shard: it has all images"
            raise InputError(f"{run.path} {what}.", "Shards are made with --shard 1/4 and so on.")
        if run.record.searches or run.record.breaking_points:
            raise InputError(
                f"{run.path} is of a search, which looks at all images together.", "Search without --shard."
            )
    seen: dict[str, Run] = {}
    for run in runs:
        if run.record.id in seen:
            raise InputError(
                f"{seen[run.record.id].path} and {run.path} are the same run, {run.record.id}.", "Give it once."
            )
        seen[run.record.id] = run
    first, *others = runs
    for run in others:
        check_alike(first, run)
    places = [(run.record.shard.index, run) for run in runs if run.record.shard]
    placed: dict[int, Run] = {}
    for index, run in sorted(places, key=lambda place: place[0]):
        if index in placed:
            raise InputError(
                f"{placed[index].path} and {run.path} overlap: both are shard {part(run.record)}.",
                "Leave one out.",
            )
        placed[index] = run
    shards = list(placed.values())
    if not allow_missing:
        _check_complete(shards)
    check_rows(shards)
    return shards


def _check_complete(shards: Sequence[Run]) -> None:
    missing = missing_shards([run.record for run in shards])
    if missing:
        raise InputError(
            f"missing: shard {', '.join(missing)}.",
            "Give them too, or merge what is there with --allow-missing: no gate passes that.",
        )
    for run in shards:
        if run.record.status != "done":
            raise InputError(
                f"{run.path}, shard {part(run.record)}, is unfinished ({run.record.status}).",
                "Finish it with --resume, or merge what is there with --allow-missing: no gate passes that.",
            )


def _rows(shards: Sequence[Run]) -> pd.DataFrame:
    """All rows, condition by condition, in the order of the images.

    Raises:
        InputError: two shards have the same row.
    """
    import numpy as np
    import pandas as pd

    place = {c.spec: number for number, c in enumerate(shards[0].record.conditions)}
    rows = pd.concat([run.samples for run in shards], ignore_index=True)
    conditions, index = rows["condition"].map(place).to_numpy(), rows["index"].to_numpy()
    order = np.lexsort((index, conditions))
    twice = (np.diff(conditions[order]) == 0) & (np.diff(index[order]) == 0)
    if twice.any():
        row = rows.iloc[order[int(np.argmax(twice))]]
        raise InputError(
            f"shards overlap: two have the image {row['file']} under {row['condition']}.", "Run them again."
        )
    return rows.iloc[order].reset_index(drop=True)


def _picture(run: Run, name: str) -> bytes:
    """A picture of a run, which must lie in its folder: a record that was sent may name any file.

    Raises:
        InputError: it is not there, or elsewhere.
    """
    file = run.path / name
    try:
        if not file.resolve().is_relative_to(run.path.resolve() / "images"):
            raise InputError(f"{run.path / 'run.json'} is damaged: a picture is not in images/.", "Run it again.")
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}.", "Run that shard again.") from None
