"""``surfaces``: drawn pictures of parts as an inspection line sees them, with defects whose pixels are known.

Plates of brushed metal, cast iron and paint, with two holes and a printed number; a scratch, a dent, a stain, a
crack, or print that is missing. Each picture follows from its name and the seed alone, so it is the same in a set
of ten and in one of a thousand.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robustbench_lite.data.source import RawPixels, Source
from robustbench_lite.data.surfaces_render import coloured, draw, mask_of
from robustbench_lite.data.surfaces_scene import (
    DEFECTS,
    PICTURES,
    SURFACES,
    Part,
    Picture,
    draw_part,
    draw_picture,
)
from robustbench_lite.errors import InputError

GOOD = "good"
CLASSES = tuple(sorted((GOOD, *DEFECTS)))
_SIDE, _COUNT = 128, 1000
_LEAST, _MOST = 16, 2048  # pixels
_VERSION = 1  # another one when the same name gives another picture


class _Set(NamedTuple):
    """What the argument of the spec says."""

    side: int = _SIDE
    size: int = _COUNT
    seed: int = 0


class _Name(NamedTuple):
    """``test/scratch/0007_1``: the second picture of that part."""

    split: str
    label: str
    part: int
    picture: int

    @property
    def part_name(self) -> str:
        return f"{self.split}/{self.label}/{self.part:04d}"

    def __str__(self) -> str:
        return f"{self.part_name}_{self.picture}"


def surfaces(argument: str = f"{_SIDE}x{_COUNT}", *, channels: int | None = None) -> Source:
    """Drawn parts, brushed, cast and painted: normal ones for train and val, and with five defects for test.

    Args:
        argument: ``SIDE``, ``SIDExCOUNT`` or ``SIDExCOUNTxSEED``: pixels of a side (16 to 2048), pictures in
            train, and another seed for other parts.
        channels: 3 draws in colour; otherwise grey.

    Raises:
        InputError: the argument is none of these.
    """
    of = _parsed(argument)
    names = list(_names(of.size))
    made = {name: draw_part(of.seed, name, surface, defect) for name, surface, defect in _parts(names)}
    taken = [draw_picture(of.seed, name.part_name, name.picture) for name in names]
    in_colour = channels == 3

    def read(i: int) -> RawPixels:
        part = made[names[i].part_name]
        grey = draw(part, taken[i], of.side)
        return np.rint((coloured(grey, part, taken[i]) if in_colour else grey) * 255).astype(np.uint8)

    def digest(i: int) -> bytes:
        return hashlib.sha256(f"surfaces {_VERSION} {of.seed} {of.side} {in_colour} {names[i]}".encode()).digest()

    return Source(
        labels=np.array([CLASSES.index(name.label) for name in names], dtype=np.int64),
        class_names=CLASSES,
        files=tuple(map(str, names)),
        read=read,
        splits=tuple(name.split for name in names),
        groups=tuple(name.part_name for name in names),
        columns=_columns([made[name.part_name] for name in names], taken),
        names=tuple(str(name).partition("/")[2] for name in names),
        header=lambda i: (of.side, of.side, 3 if in_colour else 1),
        digest=digest,
    )


def surfaces_masks(spec: str, files: Sequence[str]) -> list[npt.NDArray[np.bool_]]:
    """Where the defects are: (H, W) bool per picture, all False without a defect.

    Args:
        spec: of the data set, such as ``surfaces:128x500``.
        files: names of its pictures, as in ``Dataset.files``.

    Raises:
        InputError: another data set, or no such picture.
    """
    kind, _, argument = spec.partition(":")
    if kind.strip().lower() != "surfaces":
        raise InputError(f"{spec} has no masks of its own.", "Only surfaces has; give a folder of masks.")
    of = _parsed(argument) if argument else _Set()
    return [mask_of(*_scene(of, file), of.side) for file in files]


def scene(spec: str, file: str) -> tuple[Part, Picture]:
    """What is in a picture: everything that was varied.

    Raises:
        InputError: no such picture.
    """
    argument = spec.partition(":")[2]
    return _scene(_parsed(argument) if argument else _Set(), file)


def write_folder(folder: Path, argument: str = f"{_SIDE}x{_COUNT}", *, bits: int = 8, colour: bool = False) -> int:
    """The pictures as PNG files: ``train/good/…``, ``val/good/…``, ``test/CLASS/…``; ``masks/CLASS/…_mask.png``.

    A file is called as its picture is, with ``_`` for ``/``: no two parts, of any split, share what stands before
    the last ``_``, and so ``--group '(.+)_'`` keeps the pictures of a part together, and nothing else.

    Args:
        folder: a new one.
        argument: as for ``surfaces``.
        bits: 8 or 16 per value; 16 in grey only.
        colour: three channels.

    Returns:
        How many pictures were written.

    Raises:
        InputError: the folder is there already, or 16 bits in colour.
    """
    from PIL import Image

    if bits not in (8, 16) or (bits == 16 and colour):
        raise InputError(f"{bits} bits{' in colour' if colour else ''} are not written.", "Give 8, or 16 in grey.")
    if folder.exists():
        raise InputError(f"{folder} exists already.", "Choose another folder.")
    of = _parsed(argument)
    top, kind = 2**bits - 1, np.uint8 if bits == 8 else np.uint16
    names = list(_names(of.size))
    for name in names:
        part, picture = _scene(of, str(name))
        image = draw(part, picture, of.side)
        pixels = np.rint((coloured(image, part, picture) if colour else image) * top).astype(kind)
        place = folder / name.split / name.label / f"{_stem(name)}.png"
        for file, array in ((place, pixels), *_mask_files(folder, name, part, picture, of.side)):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(file)
    return len(names)


def _stem(name: _Name) -> str:
    return str(name).replace("/", "_")


def _mask_files(
    folder: Path, name: _Name, part: Part, picture: Picture, side: int
) -> list[tuple[Path, npt.NDArray[np.uint8]]]:
    if not part.defect:
        return []
    file = folder / "masks" / name.label / f"{_stem(name)}_mask.png"
    return [(file, mask_of(part, picture, side).astype(np.uint8) * 255)]


def _parsed(argument: str) -> _Set:
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,6}))?(?:x(\d{1,9}))?", argument.strip())
    of = _Set(*(int(number) for number in found.groups() if number is not None)) if found else None
    if of is None or not _LEAST <= of.side <= _MOST or of.size < 1:
        raise InputError(
            f"surfaces:{argument} is refused.",
            f"Write surfaces:SIDE, surfaces:SIDExCOUNT or surfaces:SIDExCOUNTxSEED, such as surfaces:128x500; "
            f"SIDE from {_LEAST} to {_MOST}.",
        )
    return of


def _names(count: int) -> Iterator[_Name]:
    """All pictures of a set with that many in train: half as many in val, and in test good ones and defects."""
    half = max(1, count // 2)
    sizes = [("train", GOOD, count), ("val", GOOD, half), ("test", GOOD, half)]
    sizes += [("test", defect, max(1, half // len(DEFECTS))) for defect in DEFECTS]
    for split, label, size in sizes:
        for i in range(size):
            yield _Name(split, label, *divmod(i, PICTURES))


def _parts(names: Sequence[_Name]) -> Iterator[tuple[str, str, str]]:
    """Name, surface and defect of every part; the surfaces take turns in every class."""
    for name in dict.fromkeys(name._replace(picture=0) for name in names):
        yield name.part_name, SURFACES[name.part % len(SURFACES)], "" if name.label == GOOD else name.label


def _scene(of: _Set, file: str) -> tuple[Part, Picture]:
    found = re.fullmatch(r"(train|val|test)/(\w+)/(\d{4,})_(\d)(?:\.png)?", file)
    if not found or found[2] not in CLASSES:
        raise InputError(f"surfaces has no picture {file!r}.", "Names look like test/scratch/0007_1.")
    name = _Name(found[1], found[2], int(found[3]), int(found[4]))
    ((part, surface, defect),) = _parts([name])
    return draw_part(of.seed, part, surface, defect), draw_picture(of.seed, part, name.picture)


def _columns(parts: Sequence[Part], taken: Sequence[Picture]) -> dict[str, tuple[str, ...]]:
    """The known factors, one text per picture."""
    found: dict[str, tuple[str, ...]] = {
        name: tuple(str(getattr(part, name)) for part in parts) for name in ("surface", "defect", "text")
    }
    for name in ("texture_scale", "tone", "ink", "print_x", "print_y"):
        found[name] = tuple(f"{getattr(part, name):.4f}" for part in parts)
    for name in (
        "light_azimuth_deg",
        "light_elevation_deg",
        "light_level",
        "light_gradient",
        "shift_x",
        "shift_y",
    ):
        found[name] = tuple(f"{getattr(picture, name):.4f}" for picture in taken)
    for name in ("rotation_deg", "blur", "noise"):
        found[name] = tuple(f"{getattr(picture, name):.4f}" for picture in taken)
    return found
