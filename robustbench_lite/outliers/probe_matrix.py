"""What a detector sees and what it does not: every score against every probe, worst case first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import default_rng
from torch import Tensor

from robustbench_lite.errors import InputError
from robustbench_lite.outliers.complexity import png_nats
from robustbench_lite.outliers.detector import Detector
from robustbench_lite.outliers.presets import BASELINE
from robustbench_lite.outliers.probe_images import Probe
from robustbench_lite.outliers.units import fingerprints
from robustbench_lite.rng import Streams

DETECTOR = "detector"
"""The name of the sum of all members in the matrix."""
LEAST = 20
_TOLD_APART = 0.9
_DRAWS = 400
_BATCH = 64
_SIDE = 16  # of the image that a supervised classifier sees

Array = npt.NDArray[np.float64]


class Cell(NamedTuple):
    """How well a score tells a probe from the normal images: AUROC with its 95 % interval."""

    auroc: float
    auroc_low: float
    auroc_high: float

    @property
    def prefers_outliers(self) -> bool:
        """Whether the score holds the probe for more normal than normal images."""
        return self.auroc_high < 0.5


class Row(NamedTuple):
    """One probe: its cells by score, and whether it can be told from normal images at all.

    Args:
        probe: what was tried.
        cells: by score, the detector's first.
        supervised: AUROC, cross-validated, of a logistic regression that was shown normal images and probes.
        symmetry: the data look the same under it: not even the regression tells it apart.
    """

    probe: Probe
    cells: dict[str, Cell]
    supervised: float
    symmetry: bool

    @property
    def auroc(self) -> float:
        """Of the detector."""
        return self.cells[DETECTOR].auroc


@dataclass(frozen=True)
class Matrix:
    """All probes, worst first, symmetries of the data last; the scores of the normal images and of the probes.

    Args:
        rows: of the table.
        n: normal images, and as many of each probe.
        scores: (n,) by probe (``""``: the normal images) and score.
        pictures: a few images (k, C, H, W) by probe; ``""``: normal ones.
        complexity: PNG bits per value (n,) by probe, as ``scores``.
    """

    rows: tuple[Row, ...]
    n: int
    scores: dict[str, dict[str, Array]]
    pictures: dict[str, Tensor]
    complexity: dict[str, Array]

    @property
    def worst(self) -> Row:
        """The probe that the detector sees least, among those that are no symmetry of the data."""
        return min((row for row in self.rows if not row.symmetry), key=lambda row: row.auroc)


def probe_matrix(
    detector: Detector,
    images: Tensor,
    probes: Sequence[Probe],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Matrix:
    """Try a detector on every probe.

    Args:
        detector: fitted; it needs no threshold.
        images: (N, C, H, W), normal, and not used for fitting: the probes are made of them.
        probes: what to try.
        groups: one per image, of pictures of one part, which stay together in intervals.
        seed: of the probes.
        on_progress: done, total, what comes next.

    Raises:
        InputError: fewer than 20 images, or images that the detector was fitted to.
    """
    if len(images) < LEAST:
        raise InputError(f"{len(images)} normal images are too few to probe with.", f"Give {LEAST} or more.")
    marks = fingerprints(images)
    if seen := sum(mark in detector.used for mark in marks):
        raise InputError(f"{seen} of {len(images)} images were used for fitting.", "Give images it has not seen.")
    cluster = np.unique(list(groups) if groups is not None else marks, return_inverse=True)[1]
    streams = Streams(seed, "probe", tuple(f"{mark}#{i}" for i, mark in enumerate(marks)))
    on_progress(0, len(probes), "normal images")
    weights = _resamples(cluster, seed)
    normal, seen_normal = _scores(detector, images), _small(images)
    rows, scores = [], {"": normal}
    pictures, complexity = {"": images[:8]}, {"": _png_bits(images)}
    for done, probe in enumerate(probes):
        on_progress(done, len(probes), probe.name)
        made = torch.cat(
            [
                probe.make(images[start : start + _BATCH], streams[range(start, min(start + _BATCH, len(images)))])
                for start in range(0, len(images), _BATCH)
            ]
        )
        found = _scores(detector, made)
        scores[probe.name], pictures[probe.name] = found, made[:8]
        complexity[probe.name] = _png_bits(made)
        cells = {name: _cell(normal[name], found[name], weights) for name in normal}
        supervised = _supervised(seen_normal, _small(made), cluster)
        rows.append(Row(probe, cells, supervised, probe.maybe_symmetry and supervised < _TOLD_APART))
    on_progress(len(probes), len(probes), "")
    rows.sort(key=lambda row: (row.symmetry, row.auroc))
    return Matrix(tuple(rows), len(images), scores, pictures, complexity)


@torch.no_grad()
def _scores(detector: Detector, images: Tensor) -> dict[str, Array]:
    """(N,) by score: the detector, its members, the baseline last."""
    parts: dict[str, list[Tensor]] = {}
    for batch in torch.split(images, _BATCH):
        each = detector.each(batch)
        for name, values in {DETECTOR: detector.combined(each), **each}.items():
            parts.setdefault(name, []).append(values.double().cpu())
    order = sorted(parts, key=lambda name: (name != DETECTOR, name == BASELINE))
    found = {name: torch.cat(parts[name]).numpy() for name in order}
    # A score may overflow on what no one has foreseen; that is no normal image.
    return {name: np.nan_to_num(values, nan=np.inf, posinf=np.inf) for name, values in found.items()}


def _resamples(cluster: npt.NDArray[np.intp], seed: int) -> Array:
    """How often each image is drawn in each of the bootstrap samples of clusters, (draws, N)."""
    random = default_rng(seed)
    count = int(cluster.max()) + 1
    drawn: Array = random.multinomial(count, np.full(count, 1 / count), _DRAWS).astype(np.float64)
    return drawn[:, cluster]


def _cell(normal: Array, probe: Array, weights: Array) -> Cell:
    """AUROC and its bootstrap interval; a normal image and the probe made of it are drawn together."""
    above = (probe[None, :] > normal[:, None]).astype(np.float64) + 0.5 * (probe[None, :] == normal[:, None])
    drawn = ((weights @ above) * weights).sum(1) / weights.sum(1) ** 2
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Cell(float(above.mean()), float(low), float(high))


def _supervised(normal: Array, probe: Array, cluster: npt.NDArray[np.intp]) -> float:
    """AUROC of a logistic regression that is shown both, in five folds of whole clusters."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values = np.concatenate([normal, probe])
    truth = np.repeat([0, 1], [len(normal), len(probe)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    folds = GroupKFold(min(5, int(cluster.max()) + 1))
    told = cross_val_predict(
        model, values, truth, groups=np.concatenate([cluster, cluster]), cv=folds, method="decision_function"
    )
    return float(roc_auc_score(truth, told))


def _small(images: Tensor) -> Array:
    """What the regression sees: the image at 16×16 pixels, and how much it changes there, (N, D)."""
    grey = images.mean(1, keepdim=True)
    down, across = grey.diff(dim=2)[..., 1:], grey.diff(dim=3)[:, :, 1:]
    seen = torch.cat([down.abs(), across.abs(), down * across], 1)
    small = [torch.nn.functional.adaptive_avg_pool2d(x, _SIDE).flatten(1) for x in (grey, seen)]
    return torch.cat(small, 1).double().cpu().numpy()


def _png_bits(images: Tensor) -> Array:
    """Bits per value of each image as a PNG of 8 bits: how complex it is, (N,)."""
    found: Array = png_nats(images).double().cpu().numpy() / (math.log(2) * images[0].numel())
    return found
