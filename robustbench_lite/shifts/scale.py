"""What all shifts share: the severity scale, range checks, and the walk over a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams

STRONGEST = 5


def check_severity(severity: float) -> None:
    """Raise InputError unless the severity is a number from 0 to 5."""
    check_range("severity", severity, 0, STRONGEST, "0 changes nothing, 5 is the strongest; fractions are allowed")


def check_range(name: str, value: float | None, low: float, high: float, meaning: str) -> None:
    """Raise InputError unless the value is None or low <= value <= high.

    Args:
        name: the argument, as the caller writes it.
        value: what was given; None stands for "take it from the severity scale".
        low: the smallest allowed value.
        high: the largest allowed value.
        meaning: unit and meaning, for the message.
    """
    if value is not None and not low <= value <= high:
        raise InputError(
            f"{name}={value:g} is out of range.", f"Give a number from {low:g} to {high:g} ({meaning})."
        )


def at_severity(severity: float, levels: Sequence[float]) -> float:
    """The value of a scale at a severity: linear between the levels 0, 1, … 5; level 0 changes nothing."""
    return float(np.interp(severity, range(len(levels)), levels))


def at_size(severity: float, scales: Mapping[int, Sequence[float]], images: Tensor) -> float:
    """The value of a scale that depends on the size of the image.

    Between the sides that have a table, linear in the logarithm of the image's side; beyond them, the nearest
    table. The side of an image that is not square is that of the square with as many pixels.

    Args:
        severity: 0 to 5.
        scales: side in pixels, ascending -> values at the severities 0 to 5.
        images: (N, C, H, W).
    """
    side = math.sqrt(images.shape[-2] * images.shape[-1])
    values = [at_severity(severity, levels) for levels in scales.values()]
    return float(np.interp(math.log(side), [math.log(known) for known in scales], values))


def each_sample(images: Tensor, streams: Streams, change: Callable[[Tensor, Streams], Tensor]) -> Tensor:
    """The changed images, cut off at [0, 1]; ``change`` sees one image at a time, as (1, C, H, W).

    One at a time, because the last bits of a power, a sum or a matrix product depend on the size of the
    tensor and on where it starts in memory: the vector units treat the ends of an array differently. So
    an image gets the same bits in every batch. The copy gives every image the same alignment, and keeps
    the input untouched.

    Raises:
        InputError: the images are not (N, C, H, W), or there is not one stream per image.
    """
    if images.dim() != 4:
        raise InputError(f"images have the shape {tuple(images.shape)}.", "Give them as (N, C, H, W).")
    if len(images) != len(streams):
        raise InputError(f"{len(images)} images, but {len(streams)} sample ids.", "Give one id per image.")
    if not len(images):
        return images.clone()
    singles = (image.unsqueeze(0).clone(memory_format=torch.contiguous_format) for image in images)
    return torch.cat([change(single, streams[[i]]) for i, single in enumerate(singles)]).clamp(0, 1)
