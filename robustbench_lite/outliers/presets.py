"""Which scores a detector is made of, if nothing else is asked for."""

from __future__ import annotations

from robustbench_lite import registry
from robustbench_lite.errors import UnknownNameError
from robustbench_lite.outliers.score import Score

PRESETS: dict[str, tuple[tuple[str, float], ...]] = {
    # Surfaces: defects are small and local. Objects: an outlier differs in its whole shape.
    "surfaces": (
        ("synthetic_defects", 0.5),
        ("hog", 0.3),
        ("image_statistics", 0.1),
        ("nearest_statistics", 0.1),
    ),
    "objects": (("hog", 0.4), ("image_statistics", 0.1), ("nearest_statistics", 0.3), ("pca", 0.2)),
}
BASELINE = "pca"
"""Always fitted beside, with weight 0, where it is no member."""

_OF_OBJECTS = {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn"}


def usual_preset(data: str) -> str:
    """For known pictures of objects ``objects``, for all else ``surfaces``."""
    return "objects" if data in _OF_OBJECTS else "surfaces"


def preset(name: str) -> list[tuple[Score, float]]:
    """The scores and weights of a preset, and the linear baseline beside them.

    Raises:
        UnknownNameError: no such preset.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return with_baseline([(registry.make_one("score", spec), weight) for spec, weight in PRESETS[name]])


def with_baseline(members: list[tuple[Score, float]]) -> list[tuple[Score, float]]:
    """The members, and the linear baseline with weight 0 if it is not among them."""
    baseline = registry.make_one("score", BASELINE)
    return members if any(score == baseline for score, _ in members) else [*members, (baseline, 0.0)]
