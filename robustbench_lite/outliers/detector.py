"""The detector: scores on one scale, added up, and a threshold with a promise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robustbench_lite import registry
from robustbench_lite.data.groups import units
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.conformal import Threshold, threshold
from robustbench_lite.outliers.mapscale import MapScale, map_scale
from robustbench_lite.outliers.score import Maps, Normals, Parts, Score, Scorer, Shape, in_batches
from robustbench_lite.outliers.tails import Tail
from robustbench_lite.outliers.units import fingerprints
from robustbench_lite.rng import stable_hash

TAIL_SHARE = 0.2
"""Share of the normal images that no score is fitted to: they tell how each score spreads."""


@dataclass(frozen=True)
class Member:
    """One score of a detector.

    Args:
        spec: of the score; its name in tables.
        scorer: the fitted score.
        tail: how it spreads on normal images.
        weight: in the sum; 0: only looked at beside it.
    """

    spec: str
    scorer: Scorer
    tail: Tail
    weight: float


@dataclass(frozen=True)
class Detector:
    """A fitted outlier detector. The score of an image is the weighted sum of its members' −log p, in nats.

    Args:
        shape: (C, H, W) of the images that it takes.
        members: its scores.
        parts: the networks that they ask.
        threshold: above it is an alarm; None: not calibrated.
        used: fingerprints of the images that it was fitted to.
        calibrated_on: fingerprints of the images that the threshold was chosen with.
        groups: of the images that it was fitted to.
        map_scale: of its maps; None: it has none.
    """

    shape: Shape
    members: tuple[Member, ...]
    parts: Parts = field(default_factory=Parts)
    threshold: Threshold | None = None
    used: frozenset[str] = field(default=frozenset(), repr=False)
    calibrated_on: frozenset[str] = field(default=frozenset(), repr=False)
    groups: frozenset[str] = field(default=frozenset(), repr=False)
    map_scale: MapScale | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (N,) of images (N, C, H, W) in [0, 1], in nats; higher is more outlying; gradients flow.

        Raises:
            InputError: images of another shape, or not finite.
        """
        self._check(images)
        total = images.new_zeros(len(images))
        for member in self.members:
            if member.weight:
                total = total + member.weight * member.tail(member.scorer(images).to(images.device))
        return total

    def each(self, images: Tensor) -> dict[str, Tensor]:
        """The raw score (N,) of every member, by spec; those of weight 0 too."""
        self._check(images)
        return {member.spec: member.scorer(images).to(images.device) for member in self.members}

    def combined(self, each: dict[str, Tensor]) -> Tensor:
        """The score of the detector, (N,), of the scores of its members."""
        parts = [m.weight * m.tail(each[m.spec]) for m in self.members if m.weight]
        return torch.stack(parts).sum(0)

    def maps(self, images: Tensor) -> Tensor | None:
        """Where each image is outlying, (N, H, W), by the heaviest member that can tell; None if none can."""
        self._check(images)
        able = [m for m in self.members if isinstance(m.scorer, Maps)]
        if not able:
            return None
        scorer = max(able, key=lambda m: m.weight).scorer
        assert isinstance(scorer, Maps)
        return scorer.maps(images)

    def alarms(self, scores: Tensor) -> Tensor:
        """Which scores (N,) are above the threshold; one that is no number is an alarm too."""
        if self.threshold is None:
            raise InputError("the detector has no threshold.", "Calibrate it: rb outliers calibrate.")
        return ~(scores <= self.threshold.value)

    def calibrated(self, images: Tensor, rate: float, groups: Sequence[str] | None = None) -> Detector:
        """The detector with a threshold that promises a share of false alarms.

        Args:
            images: (N, C, H, W), normal, and used for nothing else.
            rate: share of normal images that may cause an alarm.
            groups: one per image, of pictures of one part; of each group one image is used, for pictures of one
                part are no independent evidence. Groups that share an equal image count as one.

        Raises:
            InputError: too few images for the rate, or images (or groups) that it was fitted to.
        """
        marks = fingerprints(images)
        seen = [i for i, mark in enumerate(marks) if mark in self.used]
        if seen:
            raise InputError(
                f"{len(seen)} of {len(images)} calibration images were used for fitting (first: {seen[0]}).",
                "Give images that it has not seen.",
            )
        if groups is not None and (known := sorted(self.groups & set(groups))):
            raise InputError(
                f"{len(known)} groups of the calibration images were used for fitting (first: {known[0]}).",
                "Give images of other parts.",
            )
        if groups is not None:
            keys = units(marks, groups)
            first = {keys[i]: i for i in sorted(range(len(marks)), key=lambda i: marks[i], reverse=True)}
            images = images[sorted(first.values())]
        found = threshold(in_batches(self, images).double().numpy(), rate)  # type: ignore[arg-type]
        return replace(self, threshold=found, calibrated_on=frozenset(marks))

    def _check(self, images: Tensor) -> None:
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"the images have the shape {tuple(images.shape[1:])}, the detector was fitted to {self.shape}.",
                "Give --input-size and --channels, or images like those.",
            )
        if not images.isfinite().all():
            raise InputError("an image holds NaN or infinity.", "Check the images.")


def fit_detector(
    normals: Normals,
    members: Sequence[tuple[Score, float]],
    parts: Parts | None = None,
    *,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Detector:
    """Fit every member to most of the images, and its tail to the others; the threshold comes later.

    Args:
        normals: normal images only.
        members: scores and their weights; weight 0: fitted, shown, not added.
        parts: the networks that the scores ask.
        on_progress: done, total, what comes next.

    Raises:
        InputError: too few images, images that are not finite, a score without the network that it asks, a score
            that is given twice, or weights that make no sum.
    """
    parts = parts or Parts()
    _check_members(members)
    if not normals.images.isfinite().all():
        raise InputError("a normal image holds NaN or infinity.", "Check the images.")
    for score, _ in members:
        if score.needs and getattr(parts, score.needs) is None:
            raise InputError(f"{registry.spec(score)} asks a {score.needs}, and none was given.", "Give one.")
    marks = fingerprints(normals.images)
    fit_on, tail_on = divided(normals, marks)
    kept = normals.select(tail_on).images
    fitted = []
    for done, (score, weight) in enumerate(members):
        name = registry.spec(score)
        on_progress(done, len(members), name)
        told = replace(normals, on_progress=_within(on_progress, done, len(members), name))
        scorer = score.fit(told.select(fit_on), parts)
        fitted.append(Member(name, scorer, Tail.of(in_batches(scorer, kept)), weight))
    on_progress(len(members), len(members), "")
    detector = Detector(
        normals.shape, tuple(fitted), parts, used=frozenset(marks), groups=frozenset(normals.groups or ())
    )
    return replace(detector, map_scale=_map_scale(detector, kept))


def _check_members(members: Sequence[tuple[Score, float]]) -> None:
    names, weights = [registry.spec(score) for score, _ in members], [weight for _, weight in members]
    if len(set(names)) < len(names):
        raise InputError("a score is given twice.", "Give each once, with its weight.")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise InputError(f"the weights {weights} are refused.", "Give 0 (looked at only) or more.")
    if not any(weights):
        raise InputError("no score has a weight above 0.", "Give one score more.")


@torch.no_grad()
def _map_scale(detector: Detector, images: Tensor, batch_size: int = 64) -> MapScale | None:
    """On the images that no score was fitted to."""
    maps = [detector.maps(batch) for batch in torch.split(images, batch_size)]
    found = [batch for batch in maps if batch is not None]
    return map_scale(found) if found else None


def _within(
    on_progress: Callable[[int, int, str], None], done: int, total: int, name: str
) -> Callable[[float], None]:
    """Tells of a score that takes long how far it is."""
    return lambda share: on_progress(done, total, f"{name}, {share:.0%} done")


def divided(normals: Normals, marks: Sequence[str]) -> tuple[list[int], list[int]]:
    """Images for the scores and images for their tails; a group is on one side only, and so are equal images.

    Args:
        normals: all images.
        marks: their fingerprints.

    Raises:
        InputError: too few to divide.
    """
    keys = units(marks, normals.groups)
    order = sorted(set(keys), key=lambda key: stable_hash("tail", normals.seed, key))
    wanted, tail, count = round(TAIL_SHARE * len(normals)), set(), 0
    sizes: dict[str, int] = {}
    for key in keys:
        sizes[key] = sizes.get(key, 0) + 1
    for key in order:
        if count >= wanted:
            break
        tail.add(key)
        count += sizes[key]
    fit_on = [i for i, key in enumerate(keys) if key not in tail]
    tail_on = [i for i, key in enumerate(keys) if key in tail]
    if len(fit_on) < 2 or not tail_on:
        what = "different images" if normals.groups is None else "groups"
        raise InputError(f"{len(order)} {what} are too few to fit a detector.", "Give more normal images.")
    return fit_on, tail_on
