"""Mean corruption error of the published sets: pure functions of a run's rows.

Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.random import PCG64, Generator

from robustbench_lite.corruption_sets import Corruptions, sets_of
from robustbench_lite.errors import InputError
from robustbench_lite.runs import Run
from robustbench_lite.shifts.published_tables import MAIN
from robustbench_lite.specs import parse

# Mean top-1 error of AlexNet over the five severities of the published files of ImageNet-C, from the code of
# AugMix (google-research/augmix), and its clean error, from table 1 of the paper.
ALEXNET = dict(
    zip(
        MAIN,
        (
            *(0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360, 0.866816),
            *(0.826572, 0.819324, 0.564592, 0.853204, 0.646056, 0.717840, 0.606500),
        ),
        strict=True,
    )
)
ALEXNET_CLEAN = 0.435

_RESAMPLES = 1000
_AT_ONCE = 4_000_000  # draws: 32 MB
_ENDS = (2.5, 97.5)

Array = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A value and its 95 % interval, from resampled images; the ends are None where they cannot be told."""

    value: float
    low: float | None
    high: float | None


class CorruptionError(NamedTuple):
    """One corruption: its error over the five severities, and that as a share of the reference's."""

    corruption: str
    in_mean: bool  # one of the 15 that the means are over
    error: float
    ce: float | None
    relative_ce: float | None


class SuiteError(NamedTuple):
    """A published set in a run.

    The means are over those of the 15 corruptions that the run has at all five severities; the other four are
    listed only. ``mce`` and ``relative_mce`` are None without a reference, and where the reference makes no error,
    or loses nothing by a corruption, and there is nothing to divide by.
    """

    suite: str  # the spec without corruption and severity
    n: int  # images that were seen under all of its conditions
    measured: int  # of the 15
    reference: str | None
    mean_error: Estimate
    mce: Estimate | None
    relative_mce: Estimate | None
    corruptions: list[CorruptionError]


def suite_errors(run: Run, baseline: Run | None = None) -> list[SuiteError]:
    """Mean corruption error, mCE and relative mCE of every published set of the run, in the order of the run.

    The reference is the baseline; without one it is AlexNet, but only for ImageNet-C on images of 224 pixels in
    1,000 classes, which its errors were published for; else there is none.

    Args:
        run: any run; a set is found by its conditions.
        baseline: a run of another network on the same images, under the same conditions.

    Raises:
        InputError: the baseline saw other images or conditions, or there is no set to compare.
    """
    sets = sets_of(run)
    if baseline is not None:
        if not sets:
            raise InputError(
                f"{run.path} has no corruption of a published set at all five severities: there is no mCE.",
                "Leave --baseline out, or run the set: rb shift --suite imagenet_c.",
            )
        specs = [spec for corruptions in sets.values() for levels in corruptions.values() for spec in levels]
        data = run.record.data
        check_baseline(baseline, data.manifest_sha256, data.image_shape, run.record.seed, specs)
    return [_suite_error(run, suite, corruptions, baseline) for suite, corruptions in sets.items()]


class ImageErrors(NamedTuple):
    """What the means over the 15 corruptions of a set are of: a row for each image, the clean error first.

    ``own`` and ``reference`` are (N, 1 + corruptions) of the share of severities that are wrong, ``reference``
    those of the baseline, or in every row AlexNet's, or None; ``groups`` is (N,), or None.
    """

    own: Array
    reference: Array | None
    groups: npt.NDArray[np.int64] | None


def image_errors(run: Run, suite: str, baseline: Run | None = None) -> ImageErrors:
    """The errors of every image that the means of ``suite_errors`` are over.

    Args:
        run: a run that has the set.
        suite: as ``corruption_sets.suites_of`` names it.
        baseline: as for ``suite_errors``.

    Raises:
        InputError: the baseline saw other images or conditions.
    """
    corruptions = {name: levels for name, levels in sets_of(run)[suite].items() if name in MAIN}
    if baseline is not None:
        data, specs = run.record.data, [spec for levels in corruptions.values() for spec in levels]
        check_baseline(baseline, data.manifest_sha256, data.image_shape, run.record.seed, specs)
    errors, others = _errors_of_both(run, corruptions, baseline)
    reference = None if others is None else others.to_numpy()
    if baseline is None and _is_imagenet(run, suite):
        reference = np.tile([ALEXNET_CLEAN, *(ALEXNET[name] for name in corruptions)], (len(errors), 1))
    groups = None if run.record.data.n_groups is None else _units(run, errors)
    return ImageErrors(errors.to_numpy(), reference, groups)


def check_baseline(
    baseline: Run, manifest: str, image_shape: Sequence[int], seed: int, specs: Collection[str]
) -> None:
    """Raise InputError unless the baseline saw the same images, with the same draws, under these conditions.

    Args:
        baseline: the run to compare with.
        manifest: hash of the images.
        image_shape: (C, H, W) that the network saw.
        seed: of the random numbers.
        specs: the conditions that are to be compared.
    """
    theirs, remedy = baseline.record, "Run the baseline network with the same --data, --seed and --suite."
    if theirs.data.manifest_sha256 != manifest or list(theirs.data.image_shape) != list(image_shape):
        raise InputError(f"the baseline {baseline.path} saw other images than this run.", remedy)
    if theirs.seed != seed:
        raise InputError(f"the baseline {baseline.path} has the seed {theirs.seed}, this run {seed}.", remedy)
    known = {condition.spec for condition in theirs.conditions}
    missing = [spec for spec in specs if spec not in known]
    if missing:
        raise InputError(
            f"the baseline {baseline.path} lacks {missing[0]}"
            f"{f' and {len(missing) - 1} more conditions' if len(missing) > 1 else ''}.",
            remedy,
        )
    if theirs.status != "done":
        raise InputError(f"the baseline {baseline.path} is not complete: it was {theirs.status}.", remedy)


class _Measured(NamedTuple):
    """What the means are of: (1 + B, corruptions) each, the first row of the images as they are."""

    n: int
    units: npt.NDArray[np.int64]
    error: Array
    ce: Array
    relative: Array
    theirs: Array | None  # (…, 1 + corruptions), the clean error first
    reference: str | None
    inside: npt.NDArray[np.bool_]


def _measured(run: Run, suite: str, corruptions: Corruptions, baseline: Run | None) -> _Measured:
    errors, others = _errors_of_both(run, corruptions, baseline)
    units = _units(run, errors)
    mine, theirs, reference = _means(errors, units), None, None
    if baseline is not None and others is not None:
        theirs = _means(others, units)
        reference = f"{baseline.record.model.spec}, baseline run {baseline.record.id}"
    elif _is_imagenet(run, suite):
        theirs = np.array([[ALEXNET_CLEAN, *(ALEXNET.get(name, np.nan) for name in corruptions)]])
        reference = "AlexNet, its published errors"
    error = mine[:, 1:]
    ce = _ratio(error, theirs if theirs is None else theirs[:, 1:])
    relative = _ratio(error - mine[:, :1], theirs if theirs is None else theirs[:, 1:] - theirs[:, :1])
    inside = np.array([name in MAIN for name in corruptions])
    return _Measured(len(errors), units, error, ce, relative, theirs, reference, inside)


def _suite_error(run: Run, suite: str, corruptions: Corruptions, baseline: Run | None) -> SuiteError:
    found = _measured(run, suite, corruptions, baseline)
    error, ce, relative, inside = found.error, found.ce, found.relative, found.inside
    return SuiteError(
        suite=suite,
        n=found.n,
        measured=int(inside.sum()),
        reference=found.reference,
        mean_error=_estimate(error[:, inside]),
        mce=None if np.isnan(ce[0, inside]).any() else _estimate(ce[:, inside]),
        relative_mce=None if np.isnan(relative[0, inside]).any() else _estimate(relative[:, inside]),
        corruptions=[
            CorruptionError(name, name in MAIN, float(error[0, i]), _known(ce[0, i]), _known(relative[0, i]))
            for i, name in enumerate(corruptions)
        ],
    )


def _is_imagenet(run: Run, suite: str) -> bool:
    """Whether AlexNet's errors are those of this set on these images, as far as a run can tell."""
    data, classes = run.record.data, len(run.record.data.class_names)
    return parse(suite)[0].name == "imagenet_c" and list(data.image_shape) == [3, 224, 224] and classes == 1000


def _errors_of_both(
    run: Run, corruptions: Corruptions, baseline: Run | None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    errors = _errors(run, corruptions)
    if baseline is None:
        return errors, None
    others = _errors(baseline, corruptions)
    seen = errors.index.intersection(others.index)
    return errors.loc[seen], others.loc[seen]


def _errors(run: Run, corruptions: Corruptions) -> pd.DataFrame:
    """Whether each image is wrong when clean, and its share of wrong severities under each corruption."""
    specs = ["clean", *(spec for levels in corruptions.values() for spec in levels)]
    rows = run.samples[run.samples["condition"].isin(specs)]
    table = rows.astype({"condition": str}).pivot(index="index", columns="condition", values="correct").dropna()
    shares = {name: 1 - table[levels].astype(float).mean(axis=1) for name, levels in corruptions.items()}
    return pd.DataFrame({"clean": 1 - table["clean"].astype(float), **shares})


def _units(run: Run, errors: pd.DataFrame) -> npt.NDArray[np.int64]:
    """What is drawn together: the number of each image's group, or of the image where there are no groups."""
    if run.record.data.n_groups is None:
        return np.arange(len(errors))
    clean = run.samples[run.samples["condition"] == "clean"].set_index("index")
    codes, _ = pd.factorize(clean["group"].loc[errors.index], use_na_sentinel=False)
    return codes.astype(np.int64)


def _means(errors: pd.DataFrame, units: npt.NDArray[np.int64]) -> Array:
    """The mean of every column over all images, in the first row, and in the others over units drawn again."""
    sums = np.stack([np.bincount(units, column) for column in errors.to_numpy().T], axis=1)
    sizes = np.bincount(units)
    n, generator = len(sizes), Generator(PCG64(0))  # the same draws for two networks: the comparison is paired
    rows = [sums.sum(axis=0, keepdims=True) / sizes.sum()]
    step = max(1, _AT_ONCE // n)
    for start in range(0, _RESAMPLES if n > 1 else 0, step):  # one group alone says nothing about others
        draws = generator.multinomial(n, np.full(n, 1 / n), size=min(step, _RESAMPLES - start))
        rows.append((draws @ sums) / (draws @ sizes)[:, None])
    return np.concatenate(rows)


def _ratio(a: Array, b: Array | None) -> Array:
    """a / b, and NaN where there is nothing to divide by."""
    if b is None:
        return np.full_like(a, np.nan)
    return a / np.where(b > 0, b, np.nan)


def _estimate(values: Array) -> Estimate:
    """The mean of the first row, with the middle 95 % of the means of the others."""
    mean, *again = values.mean(axis=1)
    if not again or np.isnan(again).any():
        return Estimate(float(mean), None, None)
    low, high = np.percentile(again, _ENDS)
    return Estimate(float(mean), float(low), float(high))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
