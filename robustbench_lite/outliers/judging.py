"""A detector on labelled images: does it tell outliers, is its promise kept, what is an alarm worth?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import betabinom

from robustbench_lite.data.groups import units
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.intervals import Groups, proportion_interval
from robustbench_lite.outliers.conformal import Threshold
from robustbench_lite.outliers.detector import Detector
from robustbench_lite.outliers.measures import Estimate, Scores, alarm_value, with_interval
from robustbench_lite.outliers.metadata import MetadataNormals
from robustbench_lite.outliers.presets import BASELINE
from robustbench_lite.outliers.scored import Scored

METADATA = "metadata"
SURE = 0.01
"""Where the images keep to the promise, the chance that they are said to break it."""


class Judged(NamedTuple):
    """Labelled images with their scores: which are outliers, of which class, and of which part."""

    table: pd.DataFrame
    outlying: npt.NDArray[np.bool_]
    groups: Groups
    metadata: Scores | None
    marks: list[str]

    def with_interval(self, scores: Scores, chosen: npt.NDArray[np.bool_], seed: int) -> dict[str, Estimate]:
        """Measures of the normal images against some of the outliers."""
        return with_interval(
            scores[~self.outlying],
            scores[chosen],
            normal_groups=None if self.groups is None else self.groups[~self.outlying],
            outlying_groups=None if self.groups is None else self.groups[chosen],
            seed=seed,
        )

    def share(self, values: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_]) -> Estimate:
        """Share of some images of which something holds."""
        found = values[chosen]
        interval = proportion_interval(found, None if self.groups is None else self.groups[chosen])
        return Estimate(float(found.mean()), *interval)


def unseen(detector: Detector, scored: Scored, calibration_groups: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which images, (N,), are new to the detector: not seen in fitting or calibration, nor their part."""
    known = detector.used | detector.calibrated_on
    found = np.array([mark not in known for mark in scored.marks], dtype=bool)
    table = scored.table()
    if "group" in table:
        found &= ~table["group"].isin([*detector.groups, *calibration_groups]).to_numpy()
    return found


def judged(
    scored: Scored, keep: npt.NDArray[np.bool_], normal: Sequence[str], known: MetadataNormals | None
) -> Judged:
    """Sort the images that are kept into normal ones and outliers.

    Raises:
        UnknownNameError: no image is of a normal class.
        InputError: no normal image, or no outlier, is left.
    """
    whole = scored.table()
    classes = whole["class_name"].to_numpy()
    for name in normal:
        if name not in classes:
            raise UnknownNameError("class among the images", name, sorted(set(classes)))
    outlying = ~np.isin(classes, list(normal))
    for what, of_kind in (("outlier", outlying), ("normal image", ~outlying)):
        if not of_kind.any():
            named = ", ".join(sorted(set(classes)))
            raise InputError(
                f"there is no {what} among the images (classes: {named}).", "Give such data, and --normal."
            )
        if not (of_kind & keep).any():
            raise InputError(f"every {what}, or its part, was used for fitting or calibration.", "Give others.")
    scores = known.scores(scored.metadata) if known is not None else None
    table = whole[keep].reset_index(drop=True)
    return Judged(
        table,
        outlying[keep],
        table["group"].to_numpy() if "group" in table else None,
        None if scores is None else scores[keep],
        [mark for mark, kept in zip(scored.marks, keep, strict=True) if kept],
    )


def judge(detector: Detector, images: Judged, *, defect_rate: float = 0.01, seed: int = 0) -> dict[str, Any]:
    """All that is printed of it, as one JSON document; ``None`` where there is nothing to say.

    Args:
        detector: whose scores these are.
        images: with their scores.
        defect_rate: share of outliers in operation, for the value of an alarm.
        seed: of the bootstrap.

    Raises:
        InputError: no share.
    """
    if not 0 < defect_rate < 1:
        raise InputError(f"--defect-rate {defect_rate:g} is refused.", "Give a share, such as 0.01.")
    every = images.outlying
    scores = images.table["score"].to_numpy(dtype=np.float64)
    found = images.with_interval(scores, every, seed)
    members = {
        member.spec: images.with_interval(images.table[member.spec].to_numpy(dtype=np.float64), every, seed)
        for member in detector.members
    }
    metadata = None if images.metadata is None else images.with_interval(images.metadata, every, seed)
    aurocs = {name: measures["auroc"] for name, measures in members.items()}
    baselines = {BASELINE: aurocs.get(BASELINE), METADATA: metadata and metadata["auroc"]}
    reversed_ = [name for name, e in {"detector": found["auroc"], **aurocs}.items() if e.value < 0.5]
    return {
        "n_normal": int((~every).sum()),
        "n_outliers": int(every.sum()),
        "parts": None if images.groups is None else len(set(images.groups.tolist())),
        **flat(found),
        **_alarms(detector, images, defect_rate),
        "pixel_auroc": None,
        "per_class": _classes(images, scores, seed),
        "scores": {name: e.value for name, e in aurocs.items()},
        "score_intervals": {name: [e.ci_low, e.ci_high] for name, e in aurocs.items()},
        "weights": {member.spec: member.weight for member in detector.members},
        "baselines": {name: e and e._asdict() for name, e in baselines.items()},
        "prefers_outliers": reversed_,
    }


def flat(estimates: dict[str, Estimate]) -> dict[str, float | None]:
    """``name``, ``name_low`` and ``name_high`` of each; an end that is not known is None."""
    result: dict[str, float | None] = {}
    for name, e in estimates.items():
        result |= {name: _known(e.value), f"{name}_low": _known(e.ci_low), f"{name}_high": _known(e.ci_high)}
    return result


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _alarms(detector: Detector, images: Judged, defect_rate: float) -> dict[str, Any]:
    """What becomes of the images at the threshold."""
    found = detector.threshold
    shares = ("tpr", "false_alarm_rate", "alarm_value")
    if found is None:
        nothing = {f"{name}{end}": None for name in shares for end in ("", "_low", "_high")}
        return {**nothing, "defect_rate": defect_rate, "false_alarms_promised": None, "promise": None}
    alarm = images.table["alarm"].to_numpy(dtype=bool)
    tpr, rate = images.share(alarm, images.outlying), images.share(alarm, ~images.outlying)
    # The ends are those of both shares at once: wider than 95 %, never narrower.
    value = Estimate(
        alarm_value(tpr.value, rate.value, defect_rate),
        alarm_value(tpr.ci_low, rate.ci_high, defect_rate),
        alarm_value(tpr.ci_high, rate.ci_low, defect_rate),
    )
    return {
        **flat(dict(zip(shares, (tpr, rate, value), strict=True))),
        "defect_rate": defect_rate,
        "false_alarms_promised": found.rate,
        "promise": promise_kept(found, *_counted(images, alarm)),
    }


def _counted(images: Judged, alarm: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """False alarms and normal images, of each part the one picture that calibration would take."""
    normal = np.flatnonzero(~images.outlying)
    keys = units(images.marks, None if images.groups is None else images.groups.tolist())
    one = {keys[i]: i for i in sorted(normal, key=lambda i: images.marks[i], reverse=True)}
    return int(alarm[list(one.values())].sum()), len(one)


def promise_kept(found: Threshold, alarms: int, n: int) -> dict[str, Any]:
    """Whether so many false alarms in n independent normal images go with the promise.

    If they come as those of calibration came, their number is beta-binomial (Vovk, ACML 2012). ``p_more`` and
    ``p_fewer`` are its tails; below 0.01 the images are of another kind.
    """
    law = betabinom(n, found.n + 1 - found.rank, found.rank)
    more, fewer = float(law.sf(alarms - 1)), float(law.cdf(alarms))
    verdict = "broken" if more < SURE else "fewer" if fewer < SURE else "kept"
    return {"n_false_alarms": alarms, "n": n, "p_more": more, "p_fewer": fewer, "verdict": verdict}


def _classes(images: Judged, scores: Scores, seed: int) -> dict[str, dict[str, Any]]:
    """The same of each class of outliers, against all normal images."""
    classes = images.table["class_name"].to_numpy()
    result: dict[str, dict[str, Any]] = {}
    for name in sorted(set(classes[images.outlying])):
        chosen = classes == name
        found = {"auroc": images.with_interval(scores, chosen, seed)["auroc"]}
        if "alarm" in images.table:
            found["tpr"] = images.share(images.table["alarm"].to_numpy(dtype=bool), chosen)
        result[str(name)] = {"n": int(chosen.sum()), **flat(found)}
    return result
