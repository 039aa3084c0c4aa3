"""Image folders: one folder per class, directly or under train/, val/ and test/; or images without classes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robustbench_lite.data.dataset import DamagedImageError
from robustbench_lite.data.decoding import SUFFIXES, decode, header
from robustbench_lite.data.source import RawPixels, Shape, Source
from robustbench_lite.errors import InputError

_SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LAYOUT = "Put the images into one folder per class, like good/1.png and scratch/2.png."


class _File(NamedTuple):
    class_name: str
    path: str  # absolute
    file: str  # below the folder
    name: str  # below the split's folder
    split: str  # empty if there are no split folders


def folder(path: str, *, channels: int | None = None) -> Source:
    """Images in one folder per class, directly or under train/ val/ test/.

    Hidden files and files that are no images are passed over. Classes are in the order of their names, files
    in the order of their paths, byte by byte.

    Args:
        path: the folder.
        channels: 4 keeps opacity; otherwise it is dropped.

    Raises:
        InputError: the folder is missing, holds no class folders, or one of them holds no image.
    """
    root = Path(path).expanduser().absolute()
    if not root.is_dir():
        raise InputError(f"no such folder: {path}.", f"Check the path; it was looked for at {root}.")
    found = [file for split, place in _split_folders(root) for file in _class_files(root, place, split)]
    return _source(found, keep_alpha=channels == 4)


def images(path: str, *, channels: int | None = None) -> Source:
    """All images below a folder, at any depth, as one class, ``image``.

    Args:
        path: the folder.
        channels: 4 keeps opacity; otherwise it is dropped.

    Raises:
        InputError: the folder is missing, or holds no image.
    """
    root = Path(path).expanduser().absolute()
    if not root.is_dir():
        raise InputError(f"no such folder: {path}.", f"Check the path; it was looked for at {root}.")
    files = [found[len(str(root)) :].strip(os.sep).replace(os.sep, "/") for found in _images(root, frozenset())]
    if not files:
        raise InputError(f"the folder {path} holds no image.", f"Fill it ({_endings()}).")
    # Named as if below a class's folder, so that level:1 is the first folder here as it is there.
    found = [_File("image", str(root / file), file, f"image/{file}", "") for file in files]
    return _source(found, keep_alpha=channels == 4)


def _source(found: list[_File], *, keep_alpha: bool) -> Source:
    found.sort(key=lambda f: (os.fsencode(f.class_name), os.fsencode(f.file)))
    class_names = list(dict.fromkeys(f.class_name for f in found))
    number = {name: label for label, name in enumerate(class_names)}
    files = [_printable(f.file) for f in found]

    def read(i: int) -> RawPixels:
        return decode(found[i].path, files[i], keep_alpha)

    def header_of(i: int) -> Shape:
        return header(found[i].path, files[i], keep_alpha)

    def digest(i: int) -> bytes:
        try:
            with open(found[i].path, "rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise DamagedImageError(f"{files[i]}: {error.strerror}.", "Delete or replace the file.") from error

    def file_bytes(i: int) -> int:
        try:
            return os.stat(found[i].path).st_size
        except OSError as error:
            raise DamagedImageError(f"{files[i]}: {error.strerror}.", "Delete or replace the file.") from error

    return Source(
        labels=np.array([number[f.class_name] for f in found], dtype=np.int64),
        class_names=tuple(map(_printable, class_names)),
        files=tuple(files),
        read=read,
        splits=tuple(f.split for f in found) if found[0].split else None,
        names=tuple(_printable(f.name) for f in found),
        header=header_of,
        digest=digest,
        file_bytes=file_bytes,
    )


def _printable(name: str) -> str:
    """A file name as text. Bytes that are no UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _split_folders(root: Path) -> list[tuple[str, Path]]:
    """(split, folder) pairs; the folder itself, under an empty name, if it is not divided."""
    found: dict[str, Path] = {}
    for place in _folders(root):
        split = _SPLIT_FOLDERS.get(place.name.lower())
        if split in found:
            raise InputError(f"{root} holds both {found[split].name}/ and {place.name}/.", "Keep one of them.")
        if split:
            found[split] = place
    return list(found.items()) or [("", root)]


def _class_files(root: Path, place: Path, split: str) -> Iterator[_File]:
    classes = _folders(place)
    if not classes:
        raise InputError(f"{place} holds no class folders.", _LAYOUT)
    for class_folder in classes:
        empty = True
        for path in _images(class_folder, frozenset()):
            empty = False
            file, name = (path[len(str(top)) :].strip(os.sep).replace(os.sep, "/") for top in (root, place))
            yield _File(class_folder.name, path, file, name, split)
        if empty:
            raise InputError(
                f"the class folder {class_folder} holds no image.",
                f"Delete it, or fill it ({_endings()}).",
            )


def _endings() -> str:
    return " ".join(sorted(suffix[1:] for suffix in SUFFIXES))


def _entries(place: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"cannot list {place}: {error.strerror}.", "Check its permissions.") from error


def _folders(place: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in _entries(place) if entry.is_dir())


def _images(place: str | Path, above: frozenset[str]) -> Iterator[str]:
    """Paths of all images below a folder, in no order. A link that leads back up is not followed."""
    here = os.path.realpath(place)
    if here in above:
        return
    for entry in _entries(place):
        if entry.is_dir():
            yield from _images(entry.path, above | {here})
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield entry.path
