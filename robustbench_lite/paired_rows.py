"""The numbers of two runs' rows side by side, without their texts: they take longer than all the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from robustbench_lite.errors import InputError
from robustbench_lite.pairing import pairs
from robustbench_lite.runs import Run

COLUMNS = ("index", "correct", "prediction", "confidence", "succeeded", "outlier", "flagged")

Columns = dict[str, npt.NDArray[Any]]


class PairedRows(NamedTuple):
    """One condition on the images that both runs have under it, in the order of the run."""

    condition: str
    before: Columns  # of the baseline, (N,) each
    after: Columns
    labels: npt.NDArray[np.int32]
    groups: npt.NDArray[Any] | None


def paired_rows(
    run: Run, baseline: Run, conditions: Sequence[str], more: Iterable[str] = ()
) -> Iterator[PairedRows]:
    """Both runs' rows of each of these conditions; of those that they have no image under in common, none.

    Every file is read once: a run of many conditions is read quicker whole than one by one.

    Args:
        run: the one that is judged.
        baseline: what it is compared with, on the same images (``pairing.check_pairs``).
        conditions: specs that both have.
        more: columns beside ``COLUMNS``.

    Raises:
        InputError: a file is damaged, or has an image twice.
    """
    if not conditions:
        return
    mine, theirs = (_by_condition(one, [*COLUMNS, *more]) for one in (run, baseline))
    conditions = [spec for spec in conditions if spec in mine and spec in theirs]
    if not conditions:
        return
    # Where one was stopped, the clean images are at least as many as those of any other condition.
    longest = max(conditions, key=lambda spec: min(len(mine[spec]["index"]), len(theirs[spec]["index"])))
    images = pairs(run, baseline, longest)
    places, places_before = images["index"].to_numpy(), images["index_before"].to_numpy()
    labels = images["label"].to_numpy()
    groups = None if run.record.data.n_groups is None else images["group"].to_numpy()
    for spec in conditions:
        rows, rows_before = (
            _found(mine[spec], places, run, spec),
            _found(theirs[spec], places_before, baseline, spec),
        )
        both = (rows >= 0) & (rows_before >= 0)
        if both.any():
            yield PairedRows(
                spec,
                {name: values[rows_before[both]] for name, values in theirs[spec].items()},
                {name: values[rows[both]] for name, values in mine[spec].items()},
                labels[both],
                None if groups is None else groups[both],
            )


def _by_condition(run: Run, columns: Sequence[str]) -> dict[str, Columns]:
    import pandas as pd

    rows = run.rows([*columns, "condition"])
    codes, names = pd.factorize(rows["condition"])
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
    parts = {name: np.split(rows[name].to_numpy()[order], ends) for name in columns}
    return {str(spec): {name: parts[name][i] for name in columns} for i, spec in enumerate(names)}


def _found(rows: Columns, wanted: npt.NDArray[Any], run: Run, spec: str) -> npt.NDArray[np.intp]:
    """Which rows the images with these places in the data have; -1: none."""
    import pandas as pd

    if np.array_equal(rows["index"], wanted):
        return np.arange(len(wanted))
    index = pd.Index(rows["index"])
    if not index.is_unique:
        raise InputError(f"{run.path} has an image twice under {spec}.", "Run it again.")
    found: npt.NDArray[np.intp] = index.get_indexer(pd.Index(wanted))
    return found
