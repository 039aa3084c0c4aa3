"""A detector as a folder: what it is in JSON, what it has learnt as safetensors. Nothing in it is executed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from robustbench_lite import __version__, registry
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.conformal import Threshold
from robustbench_lite.outliers.detector import Detector, Member
from robustbench_lite.outliers.mapscale import MapScale
from robustbench_lite.outliers.score import Parts
from robustbench_lite.outliers.tails import Tail

RECORD, TENSORS = "detector.json", "tensors.safetensors"
FORMAT = 1


class MemberRecord(BaseModel):
    """One score: its spec, its weight in the sum."""

    model_config = ConfigDict(extra="forbid")

    spec: str
    weight: float


class DetectorRecord(BaseModel):
    """All of ``detector.json``."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    version: str = __version__
    shape: tuple[int, int, int]
    members: list[MemberRecord]
    threshold: Threshold | None
    used: list[str]  # fingerprints of the images that it was fitted to
    calibrated_on: list[str]
    groups: list[str]
    map_scale: MapScale | None = None
    about: dict[str, Any] = {}  # how it was made: data, normal classes, networks, versions


def save_detector(
    detector: Detector,
    folder: Path,
    about: dict[str, Any] | None = None,
    files: Mapping[str, Path] | None = None,
) -> None:
    """Write a detector as a new folder, whole or not at all; one that is there is replaced.

    Args:
        detector: with or without a threshold.
        folder: its place.
        about: how it was made, for people and for ``rb outliers``; JSON.
        files: copied into the folder, by the name that they get there.

    Raises:
        InputError: the place cannot be written, or is taken by something that is no detector.
    """
    if folder.exists() and not (folder / RECORD).is_file():
        raise InputError(f"{folder} exists, and is no detector.", "Choose another --out.")
    tensors: dict[str, Tensor] = {}
    for i, member in enumerate(detector.members):
        for part, state in (("scorer", member.scorer.state()), ("tail", member.tail.state())):
            tensors |= {f"{i}.{part}.{name}": value.detach().cpu().contiguous() for name, value in state.items()}
    record = DetectorRecord(
        shape=detector.shape,
        members=[MemberRecord(spec=m.spec, weight=m.weight) for m in detector.members],
        threshold=detector.threshold,
        used=sorted(detector.used),
        calibrated_on=sorted(detector.calibrated_on),
        groups=sorted(detector.groups),
        map_scale=detector.map_scale,
        about=about or {},
    )
    with whole_folder(folder) as work:
        save_file({name: value.clone() for name, value in tensors.items()}, work / TENSORS)
        (work / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
        for name, source in (files or {}).items():
            shutil.copyfile(source, work / name)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``folder`` when all is written, or leaves it as it was.

    Raises:
        InputError: the place cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield work
            if folder.exists():
                shutil.rmtree(folder)
            work.chmod(0o755)
            work.rename(folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}.", "Choose another --out.") from None


def save_threshold(detector: Detector, folder: Path, about: dict[str, Any]) -> None:
    """Write another threshold into the folder of a detector, and what is to be said of it; the rest stays.

    Raises:
        InputError: no detector, or the place cannot be written.
    """
    record = read_detector_record(folder)
    changed = record.model_copy(
        update={
            "threshold": detector.threshold,
            "calibrated_on": sorted(detector.calibrated_on),
            "about": {**record.about, **about},
        }
    )
    draft = folder / f".{RECORD}.draft"
    try:
        draft.write_text(changed.model_dump_json(indent=1), encoding="utf-8")
        os.replace(draft, folder / RECORD)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}.", "Check its permissions.") from None
    finally:
        draft.unlink(missing_ok=True)


def read_detector_record(folder: Path) -> DetectorRecord:
    """What a detector's folder says of itself.

    Raises:
        InputError: no detector, a damaged one, or one of a newer version.
    """
    file = folder / RECORD
    if not file.is_file():
        raise InputError(f"{folder} is no detector: it holds no {RECORD}.", "Fit one: rb outliers fit.")
    try:
        text = file.read_text(encoding="utf-8")
        found = _Versioned.model_validate_json(text).format
        if found > FORMAT:
            raise InputError(f"{folder} has detector format {found}; this release reads {FORMAT}.", "Upgrade.")
        return DetectorRecord.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{file} is damaged: {reason}.", "Fit the detector again.") from None


def load_detector(folder: Path, parts: Parts | None = None) -> Detector:
    """Read a detector.

    Args:
        folder: what ``save_detector`` wrote.
        parts: the networks that its scores ask; one that is not given must not be asked.

    Raises:
        InputError: as ``read_detector_record``, or a network is missing.
    """
    record, parts = read_detector_record(folder), parts or Parts()
    try:
        tensors = load_file(folder / TENSORS)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{folder / TENSORS} is damaged: {error}.", "Fit the detector again.") from None
    members = []
    for i, found in enumerate(record.members):
        score = registry.make_one("score", found.spec)
        if score.needs and getattr(parts, score.needs) is None:
            raise InputError(f"{found.spec} of {folder} asks a {score.needs}, and none was given.", "Give one.")
        try:
            scorer = score.restore(_below(tensors, f"{i}.scorer."), record.shape, parts)
            tail = Tail(**_below(tensors, f"{i}.tail."))
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{folder} is damaged: {found.spec}: {error}.", "Fit it again.") from None
        members.append(Member(found.spec, scorer, tail, found.weight))
    return Detector(
        record.shape,
        tuple(members),
        parts,
        record.threshold,
        frozenset(record.used),
        frozenset(record.calibrated_on),
        frozenset(record.groups),
        record.map_scale,
    )


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class _Versioned(BaseModel):
    format: int
