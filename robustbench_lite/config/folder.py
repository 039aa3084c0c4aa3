"""What a user's folder holds that a configuration can name: a network and images. Nothing is loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NOT_OURS = ("runs", "venv", "env", "node_modules", "site-packages", "__pycache__", "build", "dist")
_DEEPEST, _MOST = 2, 2000  # folders below, and folders looked at in all
_LONGEST_HEADER = 50_000_000  # bytes


class Network(NamedTuple):
    """A checkpoint. ``classes`` is None if it does not say what network its weights are of."""

    path: str
    classes: int | None


class Images(NamedTuple):
    """A folder of images with a folder per class, or with those below train/, test/ …"""

    path: str
    classes: int
    images: int
    splits: tuple[str, ...]


def find_network(folder: Path) -> Network | None:
    """The newest classifier that describes itself, as ``rb train`` writes it; else the newest weights."""
    files = [file for place in _folders(folder) for file in _files(place, (".safetensors",))]
    newest = sorted(files, key=lambda file: (-file.stat().st_mtime, str(file)))
    found = [(file, _description(file)) for file in newest]
    known = [(file, info) for file, info in found if info and info.get("kind", "classifier") == "classifier"]
    for file, info in known:
        return Network(_named(file, folder), len(info["class_names"]))
    return next((Network(_named(file, folder), None) for file, info in found if info is None), None)


def find_images(folder: Path) -> Images | None:
    """The folder with most images in class folders."""
    found = [images for place in _folders(folder) if (images := _as_images(place, folder))]
    return max(found, key=lambda images: (images.images, -len(images.path)), default=None)


def class_names(place: Path) -> list[str]:
    """Names of the class folders, directly in a folder or below its ``train/``, ``test/`` …; [] if unreadable."""
    try:
        below = [inner for inner in place.iterdir() if inner.is_dir()]
        splits = [inner for inner in below if inner.name.lower() in _SPLITS]
        inner = [inner for split in splits for inner in split.iterdir() if inner.is_dir()] if splits else below
    except OSError:
        return []
    return sorted({folder.name for folder in inner if not folder.name.startswith(".")})


def splits_of(place: Path) -> set[str]:
    """Splits that a folder of images is divided into; none if it is not, or if that cannot be looked at."""
    found = {_SPLITS[inner.name.lower()] for inner in _below(place) if inner.name.lower() in _SPLITS}
    return found | ({"val"} if "train" in found else set())  # carved out


def _as_images(place: Path, folder: Path) -> Images | None:
    below = _below(place)
    splits = [inner for inner in below if inner.name.lower() in _SPLITS]
    counts: dict[str, int] = {}
    for top in splits or [place]:
        for inner in _below(top):
            if n := len(_files(inner, _IMAGES)):
                counts[inner.name] = counts.get(inner.name, 0) + n
    if len(counts) < 2 or (not splits and len(counts) < len(below)):  # a class folder without an image is refused
        return None
    names = tuple(inner.name.lower() for inner in splits)
    return Images(_named(place, folder), len(counts), sum(counts.values()), names)


def _folders(folder: Path) -> Iterator[Path]:
    """The folder and those below, the nearer first."""
    waiting, seen = [(folder, 0)], 0
    while waiting and seen < _MOST:
        place, depth = waiting.pop(0)
        seen += 1
        yield place
        if depth < _DEEPEST:
            waiting += [(inner, depth + 1) for inner in _below(place)]


def _below(place: Path) -> list[Path]:
    """Folders in it that are not hidden, and whose names can be written as text."""
    try:
        with os.scandir(place) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    return [place / name for name in names if name not in _NOT_OURS and _is_text(name)]


def _files(place: Path, endings: tuple[str, ...]) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith(endings) and entry.is_file()]
    except OSError:
        return []
    return [place / name for name in sorted(names) if not name.startswith(".") and _is_text(name)]


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8, as TOML has to be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _named(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _description(file: Path) -> dict[str, Any] | None:
    """What a checkpoint says of itself, from the header of the safetensors format; None: it does not."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if length <= _LONGEST_HEADER else {}
        info = json.loads(header["__metadata__"]["robustbench_lite"])
        return info if isinstance(info["class_names"], list) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
