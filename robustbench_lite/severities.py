"""Severities that are calibrated on one's own images: those at which a shift changes them by a stated PSNR."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from robustbench_lite import __version__
from robustbench_lite.applying import check_fits, shifted
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.registry import make, severity_of, spec, without_severity
from robustbench_lite.shifts.scale import STRONGEST, ScaledShift, begins_clean, with_severity
from robustbench_lite.specs import parse
from robustbench_lite.types import Condition, Shift, is_shift

PSNR_DB = (30.0, 26.0, 22.0, 19.0, 16.0)
"""The default levels in decibels; docs/shifts.md says why."""

_LOOKED_AT = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)  # before bisection: brackets, and whether the PSNR falls
_TOLERANCE_DB, _FINEST = 0.05, 1e-3  # where bisection stops: this near, or this small a step of severity
_MISSED_DB = 0.5  # a level that is farther off is said
_MOST_VALUES = 2**27  # of the images, which are kept: half a gigabyte


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Level(_Strict):
    """One level of one shift. Of a level that no severity up to 5 reaches, only ``wanted_db`` is known."""

    wanted_db: float
    severity: float | None = None
    psnr_db: float | None = None
    values: dict[str, float] = {}  # the physical arguments at this severity, for images of this size


class Calibrated(_Strict):
    """The levels 1, 2, … of one shift."""

    levels: list[Level]
    monotone: bool  # whether the PSNR never rose, by more than 0.05 dB, where it was looked at


class Scale(_Strict):
    """What ``calibrate`` found, and on what. ``shifts`` are named by their spec without the severity."""

    schema_version: int = 1
    version: str
    data: str
    split: str
    manifest_sha256: str
    n: int
    image_shape: list[int]
    seed: int
    psnr_db: list[float]
    shifts: dict[str, Calibrated]

    def severity(self, shift: str, level: float) -> float | None:
        """The severity on the built-in scale that a level stands for, linear between levels; level 0 is 0.

        None: the shift does not reach the level.

        Raises:
            InputError: the shift was not calibrated, or there is no such level.
        """
        if shift not in self.shifts:
            raise InputError(
                f"{shift} was not calibrated; the scale has {', '.join(self.shifts)}.",
                "Calibrate it: rb shift --calibrate.",
            )
        known: list[float | None] = [0.0, *(found.severity for found in self.shifts[shift].levels)]
        if not 0 <= level <= len(known) - 1:
            raise InputError(
                f"level {level:g} is out of range: the scale has {len(known) - 1}.", "Give another --severity."
            )
        low, high = known[math.floor(level)], known[math.ceil(level)]
        return None if low is None or high is None else round(low + (high - low) * (level % 1), 4)

    def remarks(self) -> list[str]:
        """What is to be said of the shifts: levels out of reach, steps in the scale, a PSNR that rises."""
        told = []
        for name, found in self.shifts.items():
            beyond = [f"{level.wanted_db:g}" for level in found.levels if level.severity is None]
            if beyond:
                told.append(f"{name} does not reach {', '.join(beyond)} dB up to severity {STRONGEST}")
            told += [
                f"{name} jumps over {level.wanted_db:g} dB: {level.psnr_db:.2f} is the nearest"
                for level in found.levels
                if level.psnr_db is not None and abs(level.psnr_db - level.wanted_db) > _MISSED_DB
            ]
            if not found.monotone:
                told.append(f"the PSNR of {name} does not fall everywhere; the first severity that fits is taken")
        return told

    def doubts(self, dataset: Dataset) -> list[str]:
        """Why the scale may not hold for these images: another size, other data, or other contents."""
        size, here = _size(self.image_shape), _size(dataset.image_shape)
        told = [f"the scale was calibrated on images of {size}, these are {here}"] if size != here else []
        if (self.data, self.split) != (dataset.spec, dataset.split):
            told.append(f"the scale was calibrated on {self.data}, {self.split}: not on these images")
        elif self.n == len(dataset) and self.manifest_sha256 != dataset.manifest_hash:
            told.append(f"the scale was calibrated on other images of {self.data}")
        return told


def calibrate(
    dataset: Dataset,
    shifts: Sequence[str | Condition | Shift],
    *,
    psnr_db: Sequence[float] = PSNR_DB,
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] = lambda done, total, shift: None,
) -> Scale:
    """The severities at which every shift changes these images by the stated PSNR.

    The PSNR is that of the mean squared error over all images. A mean of PSNRs would be infinite as soon as one
    image is not changed at all.

    Args:
        dataset: images of one shape, which are kept in memory.
        shifts: single shifts without a severity.
        psnr_db: of the levels 1, 2, … in decibels, falling.
        seed: of all random streams.
        on_progress: called before every shift with how many are done, of how many, and its spec.

    Raises:
        InputError: something that is no such shift or does not fit the images; or no such list of levels.
    """
    wanted = [float(level) for level in psnr_db]
    if not wanted or not all(0 < level <= 99 for level in wanted) or wanted != sorted(set(wanted), reverse=True):
        raise InputError(
            f"psnr={wanted} is no scale.", "Give falling numbers of decibels, such as 30,26,22,19,16."
        )
    parts = [_single(given) for given in shifts]
    conditions = [Condition((part,)) for part in parts]
    shape = dataset.image_shape
    check_fits(conditions, dataset.spec, dataset.labels, len(dataset.class_names), shape)
    if len(dataset) * math.prod(shape) > _MOST_VALUES:
        raise InputError(
            f"{len(dataset)} images of {_size(shape)} are too many to calibrate on.", "Give --limit 64."
        )
    (batch,) = dataset.batches(max(1, len(dataset)))
    found = {}
    for i, (part, condition) in enumerate(zip(parts, conditions, strict=True)):
        on_progress(i, len(parts), without_severity(condition))
        found[without_severity(condition)] = _calibrated(part, wanted, batch.images, batch.sample_ids, seed)
    return Scale(
        version=__version__,
        data=dataset.spec,
        split=dataset.split,
        manifest_sha256=dataset.manifest_hash,
        n=len(batch.labels),
        image_shape=list(shape),
        seed=seed,
        psnr_db=wanted,
        shifts=found,
    )


def checked_levels(psnr_db: Sequence[float]) -> list[float]:
    """The levels, if they can be a scale: falling, from 99 to above 0 dB; InputError if not."""
    wanted = [float(level) for level in psnr_db]
    if not wanted or not all(0 < level <= 99 for level in wanted) or wanted != sorted(set(wanted), reverse=True):
        levels = ",".join(f"{level:g}" for level in wanted)
        raise InputError(
            f"psnr {levels} is no scale.", "Give falling numbers of decibels, such as 30,26,22,19,16."
        )
    return wanted


def _single(given: str | Condition | Shift) -> Shift:
    if isinstance(given, str) and any("severity" in call.arguments for call in parse(given)):
        raise InputError(f"{given} says its severity: nothing is left to calibrate.", "Leave the severity out.")
    made = make(given) if isinstance(given, str) else given
    parts = made.parts if isinstance(made, Condition) else (made,)
    if len(parts) != 1 or not is_shift(parts[0]) or severity_of(parts[0]) is None:
        name = spec(Condition(parts))
        raise InputError(
            f"{name} is no single shift with a severity: there is nothing to calibrate.", "Leave it out."
        )
    if not begins_clean(parts[0]):
        raise InputError(
            f"{spec(parts[0])} changes the images at severity 0 already: no severity can make it weak.",
            "Leave out what the severity sets.",
        )
    return parts[0]


def _calibrated(
    part: Shift, wanted: Sequence[float], images: Tensor, ids: tuple[str, ...], seed: int
) -> Calibrated:
    seen = {0.0: math.inf}

    def psnr(severity: float) -> float:
        if severity not in seen:
            seen[severity] = psnr_between(
                images, shifted(Condition((with_severity(part, severity),)), images, ids, seed)
            )
        return seen[severity]

    for known in _LOOKED_AT:
        psnr(known)
    levels = []
    for level in wanted:
        severity = _bisected(psnr, seen, level)
        if severity is None:
            levels.append(Level(wanted_db=level))
        else:
            values = _values(with_severity(part, severity), images)
            levels.append(
                Level(wanted_db=level, severity=severity, psnr_db=round(psnr(severity), 3), values=values)
            )
    rises = np.diff([seen[severity] for severity in sorted(seen)][1:])  # the first is infinite
    return Calibrated(levels=levels, monotone=bool((rises < _TOLERANCE_DB).all()))


def _bisected(psnr: Callable[[float], float], seen: dict[float, float], wanted: float) -> float | None:
    """The lowest severity at which the PSNR is the wanted one, as near as can be; None if it stays above.

    A severity of 0 is no level, so the lowest one that is returned is _FINEST.
    """
    severities = sorted(seen)
    high = next((severity for severity in severities if seen[severity] <= wanted), None)
    if high is None:
        return None
    low = severities[severities.index(high) - 1]
    while high - low > _FINEST and abs(psnr(high) - wanted) > _TOLERANCE_DB:
        middle = round((low + high) / 2, 4)
        if psnr(middle) <= wanted + _TOLERANCE_DB:
            high = middle
        else:
            low = middle
    return low if low and abs(psnr(low) - wanted) < abs(psnr(high) - wanted) else high


def psnr_between(images: Tensor, changed: Tensor) -> float:
    """Peak signal-to-noise ratio in decibels, for images in [0, 1]: of the mean squared error over all of them."""
    error = torch.mean((changed - images).double() ** 2).item()
    return -10 * math.log10(error) if error else math.inf


def _values(part: Shift, images: Tensor) -> dict[str, float]:
    if not isinstance(part, ScaledShift):
        return {}
    scaled = [name for name, argument in part.arguments().items() if argument.levels is not None]
    values = vars(part.values(images))
    return {name: float(values[name]) for name in scaled if math.isfinite(values[name])}


def _size(shape: Sequence[int]) -> str:
    channels, height, width = shape
    return f"{height} × {width} pixels, {channels} channel(s)"


def read_scale(path: Path | str) -> Scale:
    """The scale in a file that ``rb shift --calibrate`` has written: ``Scale.model_dump_json``.

    Raises:
        InputError: no such file, or one that holds something else.
    """
    path = Path(path)
    try:
        return Scale.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.", "Make one: rb shift --calibrate.") from None
    except (ValidationError, UnicodeDecodeError):
        raise InputError(f"{path} holds no scale of severities.", "Make one: rb shift --calibrate.") from None
