"""Groups: images that belong together, such as pictures of one part, taken on one day, or by one camera.

Pictures of one part are near copies. If some are in train and some in test, the test is too easy; and a
hundred pictures of one part are not a hundred independent samples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from robustbench_lite.data.source import Source
from robustbench_lite.errors import InputError, UnknownNameError


def grouping(source: Source, spec: str, group: str | None) -> Callable[[int], str] | None:
    """The function from an image's index to its group, or None if there are no groups.

    Args:
        source: the data set.
        spec: its name in errors.
        group: a regular expression with at most one capture group, searched in the file's path below the
            split's folder; or ``level:N``, the name of the N-th folder below the class's; or ``column:NAME``.

    Raises:
        InputError: the data set has no file names or no such column, or the expression is none. The function
            raises it for a file that belongs to no group.
    """
    if group is None:
        return source.groups.__getitem__ if source.groups is not None else None
    if group.startswith("column:"):
        column = group.removeprefix("column:")
        if not source.columns:
            raise InputError(f"{spec} has no columns, so --group {group} finds nothing.", "Leave it out.")
        if column not in source.columns:
            raise UnknownNameError(f"column of {spec}", column, source.columns)
        return source.columns[column].__getitem__
    names = source.names
    if names is None:
        raise InputError(
            f"{spec} has no file names, so --group {group} finds nothing.",
            "Take --group column:NAME if it has columns, or leave it out.",
        )
    find = _level(group) if re.fullmatch(r"level:\d+", group) else _pattern(group)

    def group_of(i: int) -> str:
        found = find(names[i])
        if found is None:
            raise InputError(
                f"--group {group} finds no group in {names[i]}.", "Change it so that every file has one."
            )
        return found

    return group_of


def _level(group: str) -> Callable[[str], str | None]:
    level = int(group.removeprefix("level:"))
    if level < 1:
        raise InputError(f"--group {group} is refused.", "level:1 is the first folder below the class's.")

    def find(name: str) -> str | None:
        folders = name.split("/")[1:-1]  # without the class and the file
        return folders[level - 1] if len(folders) >= level else None

    return find


def _pattern(group: str) -> Callable[[str], str | None]:
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise InputError(
            f"--group {group} is no regular expression: {error}.", r"Write it like 'part(\d+)'."
        ) from None
    if pattern.groups > 1:
        raise InputError(
            f"--group {group} has {pattern.groups} capture groups.", "Keep one; write the others as (?:…)."
        )

    def find(name: str) -> str | None:
        match = pattern.search(name)
        return match.group(pattern.groups) if match else None

    return find


def units(marks: Sequence[str], groups: Sequence[str] | None) -> list[str]:
    """One key per image: the same for images of one group, for equal images, and for groups that share an image.

    >>> units(["x", "y", "x", "z"], ["part 1", "part 1", "part 2", "part 3"])
    ['part 1', 'part 1', 'part 1', 'part 3']

    Args:
        marks: the same for equal images: fingerprints, or sample ids.
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
