"""From a data set to a detector with a promise, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.outliers import detector as members_fitted
from robustbench_lite.outliers.default_generator import default_generator
from robustbench_lite.outliers.detector import Detector
from robustbench_lite.outliers.gathering import Division, Gathered, divide, gather, of_classes
from robustbench_lite.outliers.presets import preset
from robustbench_lite.outliers.score import Parts, Score
from robustbench_lite.outliers.units import fingerprints

Progress = Callable[[int, int, str], None]


def fit_detector(
    dataset: Dataset,
    scores: str | Sequence[tuple[Score, float]] = "objects",
    *,
    normal: Sequence[str] = (),
    false_alarms: float = 0.01,
    calibration: float = 0.25,
    parts: Parts | None = None,
    seed: int = 0,
    on_progress: Progress = lambda done, total, what: None,
) -> Detector:
    """Fit a detector to most of the normal images, and choose its threshold with the others.

    Args:
        dataset: images; those of one group stay together.
        scores: a preset, ``objects`` or ``surfaces``, or scores with their weights.
        normal: the normal classes; by default all.
        false_alarms: share of normal images that may cause an alarm.
        calibration: share of the images that is kept for the threshold; 0: no threshold.
        parts: the networks that the scores ask; a generator that is asked and not given is trained.
        seed: of the division and of everything random in fitting.
        on_progress: done, total, what comes next.

    Raises:
        InputError: too few images, images of several shapes or not finite, or a score without its network.
    """
    gathered = gather(of_classes(dataset, normal))
    division = divide(gathered, false_alarms, calibration, seed)
    members = preset(scores) if isinstance(scores, str) else list(scores)
    return fit_divided(gathered, division, members, false_alarms, parts=parts, seed=seed, on_progress=on_progress)


def fit_divided(
    gathered: Gathered,
    division: Division,
    members: Sequence[tuple[Score, float]],
    false_alarms: float,
    *,
    parts: Parts | None = None,
    seed: int = 0,
    on_progress: Progress = lambda done, total, what: None,
) -> Detector:
    """The same of images that are in memory, and divided already."""
    normals, parts = gathered.normals(division.fit, seed), parts or Parts()
    if parts.generator is None and any(score.needs == "generator" for score, _ in members):
        parts = replace(parts, generator=default_generator(normals, on_progress).network)
    fitted = members_fitted.fit_detector(normals, members, parts, on_progress=on_progress)
    return calibrated(fitted, gathered, division.calibrate, false_alarms) if division.calibrate else fitted


def calibrated(detector: Detector, gathered: Gathered, chosen: Sequence[int], false_alarms: float) -> Detector:
    """The detector with a threshold chosen with some of the images; of equal ones one is used.

    Raises:
        InputError: as ``Detector.calibrated``.
    """
    kept = gathered.normals(chosen, 0)
    groups = kept.groups or tuple(fingerprints(kept.images))
    return detector.calibrated(kept.images, false_alarms, groups)
