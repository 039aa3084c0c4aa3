"""Two runs on the same images: what each made of every one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.errors import InputError
from robustbench_lite.runs import Run

if TYPE_CHECKING:
    import pandas as pd


def check_pairs(run: Run, baseline: Run) -> None:
    """Raise InputError unless both runs are about the same images, with the same labels of the same classes."""
    mine, theirs = run.record.data, baseline.record.data
    if mine.manifest_sha256 != theirs.manifest_sha256:
        raise InputError(
            f"{baseline.path} is about other images than {run.path} ({theirs.spec}, {theirs.n_asked} images; "
            f"{mine.spec}, {mine.n_asked} images).",
            "Compare runs on the same data, split and --limit: run the baseline again on these images.",
        )
    if mine.class_names != theirs.class_names:
        raise InputError(
            f"{baseline.path} and {run.path} have other classes, or in another order.",
            "Give networks for the same classes, with their names in the checkpoint.",
        )


def paired(run: Run, baseline: Run, condition: str, columns: Sequence[str] = ("correct",)) -> pd.DataFrame:
    """The images that both have under a condition, one row each, in the order of the run.

    An image is found by its content's hash; the k-th of several equal images is paired with the k-th.

    Args:
        run: the one that is judged.
        baseline: what it is compared with, on the same images (``check_pairs``).
        condition: a spec that both have rows of; without rows in one of them nothing is paired.
        columns: of the rows, wanted from both.

    Returns:
        ``index`` and ``sample_id`` of the run, ``group``, ``label``, and each column twice: ``NAME_before`` of the
        baseline, ``NAME`` of the run.
    """
    mine = _numbered(run.rows(["index", "sample_id", "group", "label", *columns], [condition]))
    theirs = _numbered(baseline.rows(["index", "sample_id", *columns], [condition]))
    # The usual case, and a merge of a million texts is not free.
    if np.array_equal(mine["sample_id"].to_numpy(), theirs["sample_id"].to_numpy()):
        before = theirs[list(columns)].add_suffix("_before")
        return mine.drop(columns="nth").join(before)
    theirs = theirs.drop(columns="index").rename(columns={name: f"{name}_before" for name in columns})
    return mine.merge(theirs, on=["sample_id", "nth"]).drop(columns="nth")


def pairs(run: Run, baseline: Run, condition: str) -> pd.DataFrame:
    """Which place in the data an image has in either run; of the images that both have under a condition.

    Returns:
        ``index``, ``group`` and ``label`` of the run, ``index_before`` of the baseline, in the order of the run.
    """
    mine = _numbered(run.rows(["index", "sample_id", "group", "label"], [condition]))
    theirs = _numbered(baseline.rows(["index", "sample_id"], [condition]))
    if np.array_equal(mine["sample_id"].to_numpy(), theirs["sample_id"].to_numpy()):
        found = mine.assign(index_before=theirs["index"])
    else:
        found = mine.merge(theirs.rename(columns={"index": "index_before"}), on=["sample_id", "nth"])
    return found[["index", "index_before", "group", "label"]]


def _numbered(rows: pd.DataFrame) -> pd.DataFrame:
    """In the order of the data, each with its place among the images of equal content."""
    ordered = rows.sort_values("index", kind="stable", ignore_index=True)
    return ordered.assign(nth=ordered.groupby("sample_id", sort=False).cumcount())
