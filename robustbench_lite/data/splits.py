"""Which images belong to train, val and test, and which few of them are taken.

Where a data set comes without a split, the content of each image decides, for ever and on every machine:
SHA-256 of the content (or of the group's name) is a number in [0, 1); below 0.6 is train, below 0.8 val, the
rest test. So equal images never stand on both sides, nor do images of one group, and adding or renaming
files moves no other. The same number carves val out of a train split that comes without one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from robustbench_lite.data.source import Source
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.rng import stable_hash
from robustbench_lite.types import SPLITS

_TRAIN_BELOW, _VAL_BELOW = 0.6, 0.8


def position(key: bytes) -> float:
    """Where a content or a group stands: a number in [0, 1), evenly spread."""
    return int.from_bytes(hashlib.sha256(key).digest()[:8]) / 2**64


def hash_split(key: bytes) -> str:
    """``train``, ``val`` or ``test``."""
    where = position(key)
    return "train" if where < _TRAIN_BELOW else "val" if where < _VAL_BELOW else "test"


def is_val(key: bytes) -> bool:
    """Whether it is carved out of a train split."""
    return _TRAIN_BELOW <= position(key) < _VAL_BELOW


def split_indices(
    source: Source,
    spec: str,
    split: str,
    group_of: Callable[[int], str] | None,
    digests_of: Callable[[Sequence[int]], list[bytes]],
) -> list[int]:
    """The images of a split, in data order.

    Args:
        source: the data set.
        spec: its name in errors.
        split: ``train``, ``val``, ``test`` or ``all``.
        group_of: the group of an image, or None.
        digests_of: hashes of images' content; called only if the split depends on them.

    Raises:
        UnknownNameError: no such split is known.
        InputError: the data set has no such split, or it is empty.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)

    def keys(indices: Sequence[int]) -> list[bytes]:
        if group_of is None:
            return digests_of(indices)
        return [group_of(i).encode("utf-8", "surrogatepass") for i in indices]

    everything = range(len(source))
    if split == "all" or source.sample_ids is not None:  # that source was split before
        chosen = list(everything)
    elif source.splits is None:
        chosen = [i for i, key in zip(everything, keys(everything), strict=True) if hash_split(key) == split]
    else:
        chosen = _given(source, spec, split, keys)
    if not chosen:
        where = "by group" if group_of else "by content"
        raise InputError(
            f"the split {split!r} of {spec} holds no image"
            + (f": its {len(source)} images were split {where}." if len(source) else "."),
            "Take --split all, or give more images (or groups), or folders train/ val/ test/.",
        )
    return chosen


def _given(source: Source, spec: str, split: str, keys: Callable[[Sequence[int]], list[bytes]]) -> list[int]:
    """The images of a split that the data set comes with, or that is carved out of its train split."""
    splits = source.splits or ()
    known = set(splits)
    carved = "train" in known and "val" not in known and split in ("train", "val")
    if not carved and split not in known:
        has = [name for name in SPLITS if name in known] + (["val"] if known == {"train"} else [])
        raise InputError(
            f"{spec} has no split {split!r}.", f"It has {' and '.join(has)}: choose with --split, or all."
        )
    chosen = [i for i, name in enumerate(splits) if name == ("train" if carved else split)]
    if carved:
        chosen = [i for i, k in zip(chosen, keys(chosen), strict=True) if is_val(k) == (split == "val")]
    return chosen


def stratified(
    indices: Sequence[int],
    labels: npt.NDArray[np.int64],
    files: Sequence[str],
    limit: int,
    seed: int,
) -> list[int]:
    """At most ``limit`` of the images, every class in proportion, in data order.

    Within a class the images are drawn in the order of hash(seed, file name), so that a larger limit keeps
    what a smaller one took, up to rounding, and nothing has to be read.

    Args:
        indices: images to choose from.
        labels: label of every image of the data set.
        files: name of every image of the data set.
        limit: how many.
        seed: another seed takes others.
    """
    by_class: dict[int, list[int]] = {}
    for i in indices:
        by_class.setdefault(int(labels[i]), []).append(i)
    shares = allocate({label: len(members) for label, members in by_class.items()}, limit, seed)
    chosen: list[int] = []
    for label, members in by_class.items():
        members.sort(key=lambda i: (stable_hash(seed, files[i]), i))
        chosen += members[: shares[label]]
    return sorted(chosen)


def allocate(counts: dict[int, int], limit: int, seed: int) -> dict[int, int]:
    """How many of each class: in proportion, by largest remainder, and at least one if the limit allows.

    Args:
        counts: images per class, each at least 1.
        limit: how many in all; if there are fewer, all are taken.
        seed: decides between equal remainders.
    """
    total = sum(counts.values())
    if limit >= total:
        return dict(counts)
    shares = {label: limit * n // total for label, n in counts.items()}
    remainder_first = sorted(
        counts, key=lambda label: (-(limit * counts[label] % total), stable_hash(seed, label), label)
    )
    for label in remainder_first[: limit - sum(shares.values())]:
        shares[label] += 1
    if limit >= len(counts):
        for label in sorted(label for label, share in shares.items() if share == 0):
            richest = max(shares, key=lambda other: (shares[other], -other))
            shares[richest] -= 1
            shares[label] = 1
    return shares
