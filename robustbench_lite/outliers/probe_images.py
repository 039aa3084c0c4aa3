"""The fixed set of probes: images that no normal image looks like, made of normal images, or of other sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_lite.applying import apply, needing_colour, resolve, shifted
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.registry import make, names, spec
from robustbench_lite.rng import Streams

SHIFTS = (
    "night(severity=5)",
    "overexposed(severity=5)",
    "gaussian_blur(severity=5)",
    "motion_blur(severity=5)",
    "gaussian_noise(severity=5)",
    "impulse_noise(severity=5)",
    "fog(severity=5)",
    "contrast(severity=5)",
    "jpeg(severity=5)",
    "elastic(severity=5)",
    "occlusion(severity=5)",
)
"""One or two of every risk, at the strongest of the usual severities."""

OTHERS = ("digits", "surfaces")
"""Embedded data sets: a detector of parts must not take a digit for one."""

_GRID = 4  # patches along each side of the shuffled image
_PATCH = 6  # the inverted square takes this part of the shorter side

Make = Callable[[Tensor, Streams], Tensor]


@dataclass(frozen=True)
class Probe:
    """One kind of image that should be an alarm.

    Args:
        name: in tables.
        what: what it is, for people.
        make: normal images (N, C, H, W) in [0, 1] and one stream per image → probes, same shape.
        maybe_symmetry: many data look the same under it; then nothing can, or should, tell it apart.
    """

    name: str
    what: str
    make: Make
    maybe_symmetry: bool = False


def probes(
    shape: tuple[int, int, int],
    *,
    data: str = "",
    shifts: Sequence[str] = (),
    classifier: Classifier | None = None,
    eps: dict[str, float] | None = None,
) -> list[Probe]:
    """All probes for images of a shape.

    Args:
        shape: (C, H, W).
        data: what the normal images were asked for as; that set is no probe.
        shifts: further shifts, or chains of them, as specs.
        classifier: with one, adversarial images of it are a probe.
        eps: the usual budget per norm; without one 8/255.

    Raises:
        UnknownNameError: no such shift.
        InputError: something that is no shift.
    """
    conditions = [make(text) for text in dict.fromkeys((*SHIFTS, *shifts))]
    for condition in conditions:
        if condition.kind == "clean" or condition.attacks:
            raise InputError(f"{spec(condition)} is no shift.", "A probe is a shift, or a chain of shifts.")
    missing = needing_colour(conditions, shape[0])
    others = [name for name in OTHERS if name != data.partition(":")[0] and name in names("data")]
    found = [
        Probe("constant", "one grey level all over", _constant),
        Probe("noise", "every value drawn at random", _noise),
        Probe("inverted", "black and white exchanged", lambda i, s: 1 - i, maybe_symmetry=True),
        Probe("shuffled", f"cut into {_GRID}×{_GRID} patches, which change places", _shuffled),
        Probe("patch", f"a square of 1/{_PATCH} of the side, inverted at full contrast", _patched),
        Probe("rotated 90°", "turned by a quarter", _rotated, maybe_symmetry=True),
        Probe("rotated 180°", "turned by a half", lambda i, s: i.flip(2, 3), maybe_symmetry=True),
        Probe("mirrored", "left and right exchanged", lambda i, s: i.flip(3), maybe_symmetry=True),
        *(Probe(spec(c), "a shift", _shift(spec(c))) for c in conditions if c not in missing),
        *(Probe(f"{name} images", "another data set", _other(name)) for name in others),
    ]
    if classifier is not None:
        found.append(Probe("adversarial", "pgd against the classifier", _adversarial(classifier, eps or {})))
    return found


def _constant(images: Tensor, streams: Streams) -> Tensor:
    return streams.uniform((1, 1, 1), "level", like=images).expand_as(images).clone()


def _noise(images: Tensor, streams: Streams) -> Tensor:
    return streams.uniform(images.shape[1:], "noise", like=images)


def _rotated(images: Tensor, streams: Streams) -> Tensor:
    turned = images.rot90(1, (2, 3))
    size = (images.shape[2], images.shape[3])
    return turned if size[0] == size[1] else _resized(turned, size)


def _shuffled(images: Tensor, streams: Streams) -> Tensor:
    height, width = (side // _GRID for side in images.shape[2:])
    order = streams.uniform((_GRID**2,), "order", like=images).argsort(1).tolist()
    out = images.clone()
    for n, places in enumerate(order):
        for to, of in enumerate(places):
            (a, b), (c, d) = divmod(to, _GRID), divmod(of, _GRID)
            piece = images[n, :, c * height : (c + 1) * height, d * width : (d + 1) * width]
            out[n, :, a * height : (a + 1) * height, b * width : (b + 1) * width] = piece
    return out


def _patched(images: Tensor, streams: Streams) -> Tensor:
    height, width = images.shape[2:]
    side = max(2, min(height, width) // _PATCH)
    where = streams.uniform((2,), "place", like=images)
    out = images.clone()
    for n, (a, b) in enumerate(where.tolist()):
        # In the middle half, where the part is.
        top = int((0.25 + 0.5 * a) * (height - side))
        left = int((0.25 + 0.5 * b) * (width - side))
        piece = images[n, :, top : top + side, left : left + side]
        low, high = piece.min(), piece.max()
        stretched = (piece - low) / (high - low) if high > low else piece.round()
        out[n, :, top : top + side, left : left + side] = 1 - stretched
    return out


def _shift(text: str) -> Make:
    condition = make(text)
    return lambda images, streams: shifted(condition, images, streams.sample_ids, streams.seed)


def _other(name: str) -> Make:
    def images_of(images: Tensor, streams: Streams) -> Tensor:
        found = _resized(_some(name, len(images)).to(images), (images.shape[2], images.shape[3]))
        grey = found.mean(1, keepdim=True)
        return found if found.shape[1] == images.shape[1] else grey.expand_as(images).clone()

    return images_of


def _adversarial(classifier: Classifier, eps: dict[str, float]) -> Make:
    condition = resolve(make("pgd"), {"linf": 8 / 255, **eps})

    def attacked(images: Tensor, streams: Streams) -> Tensor:
        given = images.to(classifier.device)
        with classifier.frozen():
            clean = classifier(given)
            outcome = apply(condition, classifier, given, clean.argmax(1), clean, streams.sample_ids, streams.seed)
        return outcome.images.to(images)

    return attacked


def _some(name: str, n: int) -> Tensor:
    """The first n images (n, C, H, W) of a data set, from the beginning again if there are fewer."""
    found = load_dataset(name, split="test", limit=n, seed=0)
    images = torch.cat([batch.images for batch in found.batches(128)])
    return images.repeat(-(-n // len(images)), 1, 1, 1)[:n]


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    smaller = size[0] < images.shape[2] or size[1] < images.shape[3]
    mode = {"mode": "area"} if smaller else {"mode": "bilinear", "align_corners": False}
    return F.interpolate(images, size, **mode).clamp(0, 1)
