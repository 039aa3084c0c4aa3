"""Which images are one piece of evidence: those of one group, and equal ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def fingerprints(images: Tensor) -> list[str]:
    """One hash per image of its pixels, whatever its file or its class is called."""
    found = []
    for image in images.detach():  # one by one: all together would take three times their memory
        rounded = (image.cpu().float() * 65535).round().to(torch.int32).numpy()
        found.append(hashlib.sha256(rounded.tobytes()).hexdigest()[:16])
    return found


def units(marks: Sequence[str], groups: Sequence[str] | None) -> list[str]:
    """One key per image: the same for images of one group, for equal images, and for groups that share an image.

    >>> units(["x", "y", "x", "z"], ["part 1", "part 1", "part 2", "part 3"])
    ['part 1', 'part 1', 'part 1', 'part 3']

    Args:
        marks: fingerprints.
        groups: one per image, or None.
    """
    if groups is None:
        return list(marks)
    above: dict[str, str] = {}  # group → a group that it is one with
    first: dict[str, str] = {}  # fingerprint → the group that it was first met in

    def top(group: str) -> str:
        while above.get(group, group) != group:
            group = above[group]
        return group

    for mark, group in zip(marks, groups, strict=True):
        one, other = top(first.setdefault(mark, group)), top(group)
        if one != other:
            above[other] = one
    return [top(group) for group in groups]
