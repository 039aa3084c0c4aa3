"""Which images a network learns from, and which it is judged on, several times over.

scikit-learn's splitters divide. What is divided are units: an image together with all that are equal to it, and
with its group where there are groups; so no unit is ever on two sides of a fold.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.data.groups import units
from robustbench_lite.errors import InputError

INNER = 5
"""One part in so many of the images that are not held out chooses the epoch."""

_FORMS = "holdout, kfold:5, kfold:5x3, group:5 or time:5"
_MOST = 100  # trainings

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Protocol:
    """How images are divided: ``repeats`` times into ``folds`` parts; ``holdout`` as the data come.

    Args:
        kind: ``kfold`` by class, ``group`` by group and as far as possible by class, ``time`` by moments.
        folds: parts that are held out one after another.
        repeats: times that all images are divided anew.
    """

    kind: Literal["holdout", "kfold", "group", "time"]
    folds: int = 1
    repeats: int = 1

    def __str__(self) -> str:
        if self.kind == "holdout":
            return self.kind
        return f"{self.kind}:{self.folds}" + (f"x{self.repeats}" if self.repeats > 1 else "")


class Fold(NamedTuple):
    """Places of the images that are learnt from, that choose the epoch, and that are held out; each in order.

    ``number`` counts from 1 over all repeats. ``left_out`` images are on no side, to keep equal ones and groups
    whole.
    """

    number: int
    train: Indices
    val: Indices
    held_out: Indices
    repeat: int = 1
    left_out: int = 0


def parse_protocol(text: str) -> Protocol:
    """``holdout``, ``kfold:5``, ``kfold:5x3``, ``group:5`` or ``time:5``.

    Raises:
        InputError: anything else, fewer than 2 folds, or more than 100 trainings.
    """
    match = re.fullmatch(r"(kfold|group|time):(\d+)(?:x(\d+))?", text.strip())
    if text.strip() == "holdout":
        return Protocol("holdout")
    if match is None:
        raise InputError(f"--protocol {text} is none.", f"Write {_FORMS}.")
    kind, folds, repeats = match[1], int(match[2]), int(match[3] or 1)
    if kind == "time" and match[3]:
        raise InputError(f"--protocol {text}: there is one order of time.", f"Write time:{folds}.")
    if folds < 2 or repeats < 1 or folds * repeats > _MOST:
        raise InputError(f"--protocol {text} is out of range.", f"From 2 folds to {_MOST} trainings.")
    return Protocol(kind, folds, repeats)  # type: ignore[arg-type]


def make_folds(
    protocol: Protocol,
    labels: npt.NDArray[np.int64],
    ids: Sequence[str],
    groups: Sequence[str] | None = None,
    moments: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Fold]:
    """The folds of a protocol other than ``holdout``.

    Of what is not held out, a fifth chooses the epoch: divided by the same rule, and for ``time`` the latest.

    - ``kfold``, ``group``: in every repeat each image is held out once. Without equal images, ``kfold`` is
      scikit-learn's RepeatedStratifiedKFold. With groups it is ``group``, StratifiedGroupKFold.
    - ``time``: scikit-learn's TimeSeriesSplit of the moments, which are never cut: what was before is learnt
      from, the next part is held out; the first part never is. An image from before that is equal to one held
      out, or of its group, is left out.

    Args:
        protocol: how.
        labels: (N,) classes.
        ids: the same for equal images.
        groups: one per image, or None.
        moments: of ``time``: one per image, equal for images that are not to be parted.
        seed: of the division.

    Raises:
        InputError: too few groups, images or moments, or a side that holds nothing, or one class to learn from.
    """
    keys = pd.factorize(np.array(units(ids, groups), dtype=object), sort=True)[0]
    if protocol.kind == "group" and groups is None:
        raise InputError("--protocol group: the data have no groups.", "Give --group, or take kfold.")
    if protocol.kind == "time":
        if moments is None:
            raise InputError("--protocol time needs the order of the images.", "Give --order.")
        folds = _by_time(protocol, keys, ranks(moments))
    else:
        folds = _by_class(protocol, labels, keys, grouped=groups is not None, seed=seed)
    for fold in folds:
        _check(fold, labels)
    return folds


def _by_class(
    protocol: Protocol, labels: npt.NDArray[np.int64], keys: Indices, *, grouped: bool, seed: int
) -> list[Fold]:
    from sklearn.utils import check_random_state

    random = check_random_state(seed % 2**32)
    folds: list[Fold] = []
    for repeat in range(1, protocol.repeats + 1):
        for held in _parts(labels, keys, protocol.folds, grouped, random):
            rest = np.setdiff1d(np.arange(len(labels)), held)
            inner = check_random_state(seed % 2**32)
            most = int(np.bincount(labels[rest]).max())
            val = rest[_parts(labels[rest], keys[rest], min(INNER, most), grouped, inner)[0]]
            folds.append(Fold(len(folds) + 1, np.setdiff1d(rest, val), val, held, repeat))
    return folds


def _parts(
    labels: npt.NDArray[np.int64],
    keys: Indices,
    count: int,
    grouped: bool,
    random: Any,  # scikit-learn's kind of generator
) -> list[Indices]:
    """The places in each of so many parts, every unit in one of them."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    codes, found = pd.factorize(keys, sort=True)
    what = "groups" if grouped else "different images"
    if len(found) < count:
        raise InputError(f"{len(found)} {what} cannot be divided into {count} parts.", "Give fewer folds.")
    # Without groups a unit is an image and its copies, which are of its class: the first stands for all.
    first = np.arange(len(codes)) if grouped else np.sort(np.unique(codes, return_index=True)[1])
    if np.bincount(labels[first]).max() < count:
        raise InputError(f"no class has {count} {what}, which is as many as there are parts.", "Give fewer folds.")
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(count, shuffle=True, random_state=random)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than parts: ``gaps`` names them
        parts = [held for _, held in splitter.split(first, labels[first], codes[first])]
    return [np.flatnonzero(np.isin(codes, codes[first[part]])) for part in parts]


def _by_time(protocol: Protocol, keys: Indices, rank: Indices) -> list[Fold]:
    from sklearn.model_selection import TimeSeriesSplit

    count = int(rank.max()) + 1
    if count < protocol.folds + 1:
        raise InputError(
            f"--protocol {protocol} needs {protocol.folds + 1} moments, and there are {count}.",
            "Give fewer folds, or another --order.",
        )
    folds = []
    for number, (before, after) in enumerate(TimeSeriesSplit(protocol.folds).split(np.arange(count)), start=1):
        held = np.isin(rank, after)
        rest = np.isin(rank, before) & ~np.isin(keys, keys[held])
        known = np.unique(rank[rest])
        latest = known[-max(1, len(known) // INNER) :]
        val = rest & np.isin(rank, latest)
        train = rest & ~val & ~np.isin(keys, keys[val])
        left_out = int((np.isin(rank, before) & ~train & ~val).sum())
        places = [np.flatnonzero(side) for side in (train, val, held)]
        folds.append(Fold(number, places[0], places[1], places[2], left_out=left_out))
    return folds


def ranks(moments: Sequence[str]) -> Indices:
    """The place in time of every moment, from 0: by their numbers, if all are numbers; else as people sort names.

    >>> ranks(["day 10", "day 9", "day 10"]).tolist()
    [1, 0, 1]
    >>> ranks(["0.5", "0.25"]).tolist()
    [1, 0]
    """
    try:
        return np.unique(np.array([float(moment) for moment in moments]), return_inverse=True)[1]
    except ValueError:
        order = {moment: i for i, moment in enumerate(sorted(set(moments), key=_natural))}
        return np.array([order[moment] for moment in moments], dtype=np.intp)


def _natural(text: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], text


def _check(fold: Fold, labels: npt.NDArray[np.int64]) -> None:
    for what, side in (("learn from", fold.train), ("choose by", fold.val), ("hold out", fold.held_out)):
        if not len(side):
            raise InputError(
                f"fold {fold.number} has no image to {what}.", "Give fewer folds, or more images or groups."
            )
    if len(np.unique(labels[fold.train])) < 2:
        raise InputError(f"fold {fold.number} has one class to learn from.", "Give fewer folds, or take kfold.")


def gaps(folds: Sequence[Fold], labels: npt.NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """What is to be said of classes that a side lacks, and of images that a fold leaves out."""
    told = []
    for fold in folds:
        sides = (("to learn from", fold.train), ("to choose the epoch by", fold.val), ("held out", fold.held_out))
        for what, side in sides:
            lacking = np.setdiff1d(np.unique(labels), labels[side])
            if len(lacking):
                names = ", ".join(class_names[label] for label in lacking)
                told.append(f"fold {fold.number}: no image of {names} {what}")
        if fold.left_out:
            told.append(
                f"fold {fold.number}: {fold.left_out} images left out: equal to later ones, or of their group"
            )
    return told
