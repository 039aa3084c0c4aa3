"""Which images broke and which were mended, between two runs on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robustbench_lite.paired_rows import PairedRows, paired_rows
from robustbench_lite.pairing import check_pairs
from robustbench_lite.runs import Run


class ChangedImage(NamedTuple):
    """An image that one network gets right and the other wrong. Classes are indices; -1: no finite answer."""

    place: int  # in the data of the run
    sample_id: str
    file: str
    label: int
    before: int  # prediction of the baseline
    after: int  # and of the run
    confidence_before: float  # softmax probability of that prediction; may be NaN
    confidence_after: float


class Changed(NamedTuple):
    """Of one condition: newly broken and newly mended images, those first whose wrong answer is the surest."""

    broken: list[ChangedImage]
    mended: list[ChangedImage]


def changed_images(
    run: Run, baseline: Run, conditions: Sequence[str], limit: int | None = None
) -> dict[str, Changed]:
    """The images that changed under each of these conditions that both have rows of.

    Args:
        run: the one that is judged.
        baseline: what it is compared with.
        conditions: specs.
        limit: at most so many broken, and so many mended, of each condition; None: all.

    Raises:
        InputError: they are on other images or classes.
    """
    check_pairs(run, baseline)
    chosen = [(rows, *_chosen(rows, limit)) for rows in paired_rows(run, baseline, conditions)]
    wanted = {int(rows.after["index"][i]) for rows, *kinds in chosen for kind in kinds for i in kind}
    names = _names(run, wanted, [rows.condition for rows, *_ in chosen])
    return {
        rows.condition: Changed(*([_image(rows, i, names) for i in kind] for kind in kinds))
        for rows, *kinds in chosen
    }


def _chosen(rows: PairedRows, limit: int | None) -> tuple[list[int], list[int]]:
    was, now = rows.before["correct"] == 1, rows.after["correct"] == 1
    found = []
    for changed, wrong in ((was & ~now, rows.after), (~was & now, rows.before)):
        places = np.flatnonzero(changed)
        surest = np.argsort(-np.nan_to_num(wrong["confidence"][places]), kind="stable")
        found.append(places[surest][:limit].tolist())
    return found[0], found[1]


def _names(run: Run, wanted: set[int], conditions: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Id and file of these images: those of the clean images, and of others if that is not all."""
    names: dict[int, tuple[str, str]] = {}
    for spec in conditions:
        if wanted <= names.keys():
            break
        rows = run.rows(["index", "sample_id", "file"], [spec])
        rows = rows[rows["index"].isin(wanted)]
        names |= {int(i): (str(s), str(f)) for i, s, f in rows.itertuples(index=False)}
    return names


def _image(rows: PairedRows, i: int, names: dict[int, tuple[str, str]]) -> ChangedImage:
    index = int(rows.after["index"][i])
    sample_id, file = names[index]
    return ChangedImage(
        place=index,
        sample_id=sample_id,
        file=file,
        label=int(rows.labels[i]),
        before=int(rows.before["prediction"][i]),
        after=int(rows.after["prediction"][i]),
        confidence_before=float(rows.before["confidence"][i]),
        confidence_after=float(rows.after["confidence"][i]),
    )
