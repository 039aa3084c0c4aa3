"""Runs on the same images, image by image: what changed against one of them, and what of it is beyond chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from robustbench_lite.errors import InputError
from robustbench_lite.intervals import paired_interval
from robustbench_lite.metrics import calibration_error
from robustbench_lite.paired_rows import Columns, PairedRows, paired_rows
from robustbench_lite.pairing import check_pairs
from robustbench_lite.records import ConditionRecord, RunRecord
from robustbench_lite.runs import Run
from robustbench_lite.significance import change_p, holm

ALPHA = 0.05  # of all differences of a comparison together


class Other(NamedTuple):
    """A number beside the accuracy, as it was and as it is; None where there is none. No interval, no test."""

    name: str  # ece, worst_class, median_l2, caught, false_alarm_rate, accuracy_passed
    before: float | None
    after: float | None
    note: str = ""  # which classes are the worst


class Difference(NamedTuple):
    """One condition, on the images that both runs have under it. Shares from 0 to 1; a rise is positive."""

    condition: str
    kind: str
    n: int
    before: float  # accuracy of the baseline
    after: float  # and of the run
    difference: float
    ci_low: float  # of its 95 % interval
    ci_high: float
    p_change: float  # that chance alone changes as much
    p_change_holm: float  # the same, where it is one of many differences
    broken: int  # images that were right and are wrong now
    mended: int  # and the other way
    others: tuple[Other, ...] = ()

    @property
    def beyond_chance(self) -> bool:
        """Whether the difference stands after Holm's correction, at 5 % for all differences together."""
        return self.p_change_holm <= ALPHA


class Compared(NamedTuple):
    """One run beside the baseline."""

    run: Run
    differences: list[Difference]
    only_run: list[str]  # conditions
    only_baseline: list[str]
    warnings: list[str]  # what the two do not share, and should


class Comparison(NamedTuple):
    """Any number of runs beside one."""

    baseline: Run
    compared: list[Compared]

    @property
    def tested(self) -> int:
        """How many differences there are."""
        return sum(len(one.differences) for one in self.compared)

    @property
    def beyond_chance(self) -> int:
        """How many of them stand after Holm's correction."""
        return sum(found.beyond_chance for one in self.compared for found in one.differences)


def compare(
    runs: Sequence[Run],
    baseline: Run | None = None,
    wanted: Callable[[str], bool] = lambda condition: True,
) -> Comparison:
    """What differs between runs on the same images.

    Args:
        runs: the first is the baseline, unless one is given. The baseline itself may be among them.
        baseline: what every run is compared with.
        wanted: which conditions, by their spec.

    Returns:
        Per run the conditions that it shares with the baseline, in the baseline's order. Every p is corrected for
        all of them together.

    Raises:
        InputError: less than two runs, one of them twice, or runs on other images or classes.
    """
    if baseline is None:
        baseline, others = (runs[0], list(runs[1:])) if runs else (None, [])
    else:
        own = baseline.record.id
        others = [run for run in runs if run.record.id != own]
    if baseline is None or not others:
        raise InputError("a comparison needs two runs.", "Give another run, on the same images.")
    check_ids([baseline, *others])
    found = [_compared(run, baseline, wanted) for run in others]
    corrected = iter(holm([d.p_change for one in found for d in one.differences]))
    return Comparison(
        baseline,
        [
            one._replace(differences=[d._replace(p_change_holm=next(corrected)) for d in one.differences])
            for one in found
        ],
    )


def differences(
    run: Run, baseline: Run, wanted: Callable[[str], bool] = lambda condition: True, *, others: bool = False
) -> list[Difference]:
    """The conditions that both runs have, in the order of the baseline; each p corrected for all of them.

    Args:
        run: the one that is judged.
        baseline: what it is compared with.
        wanted: which conditions, by their spec.
        others: whether numbers beside the accuracy are told, too.

    Raises:
        InputError: they are on other images or classes.
    """
    check_pairs(run, baseline)
    own = set(_specs(run, wanted))
    shared = [spec for spec in _specs(baseline, wanted) if spec in own]
    records = {c.spec: c for c in baseline.record.conditions}
    norms = {records[spec].threat_model[-1].norm for spec in shared if others and _minimal(records[spec])}
    names = run.record.data.class_names
    found = []
    for rows in paired_rows(run, baseline, shared, sorted(norms)):
        record = records[rows.condition]
        found.append(_difference(record, rows, _others(record, rows, names) if others else ()))
    corrected = holm([d.p_change for d in found])
    return [d._replace(p_change_holm=p) for d, p in zip(found, corrected, strict=True)]


def _difference(record: ConditionRecord, rows: PairedRows, others: tuple[Other, ...]) -> Difference:
    was, now = rows.before["correct"], rows.after["correct"]
    fall = paired_interval(was, now, rows.groups)
    p = change_p(was, now, rows.groups)
    return Difference(
        condition=record.spec,
        kind=record.kind,
        n=len(was),
        before=float(was.mean()),
        after=float(now.mean()),
        difference=(int(now.sum()) - int(was.sum())) / len(was),
        ci_low=-fall.high,
        ci_high=-fall.low,
        p_change=p,
        p_change_holm=p,
        broken=int(((was == 1) & (now == 0)).sum()),
        mended=int(((was == 0) & (now == 1)).sum()),
        others=others,
    )


def _others(record: ConditionRecord, rows: PairedRows, class_names: Sequence[str]) -> tuple[Other, ...]:
    before, after = (_numbers(record, side, rows.labels) for side in (rows.before, rows.after))
    worst = [_worst_class(side["correct"], rows.labels) for side in (rows.before, rows.after)]
    names = [class_names[label] if label < len(class_names) else f"class {label}" for label, _ in worst]
    note = names[0] if names[0] == names[1] else " → ".join(names)
    found = [Other("worst_class", worst[0][1], worst[1][1], note)]
    return (*found, *(Other(name, before.get(name), after.get(name)) for name in after | before))


def _numbers(record: ConditionRecord, rows: Columns, labels: npt.NDArray[Any]) -> dict[str, float | None]:
    correct, flagged = rows["correct"] == 1, rows["flagged"] == 1
    confidence = np.nan_to_num(rows["confidence"])
    found: dict[str, float | None] = {"ece": calibration_error(confidence, rows["prediction"] == labels).error}
    if _minimal(record):
        norm = record.threat_model[-1].norm
        sizes = rows[norm][rows["succeeded"] == 1]
        found[f"median_{norm}"] = float(np.median(sizes)) if len(sizes) else None
    if not np.isnan(rows["outlier"]).all():
        for name, of, among in (
            ("caught", flagged, ~correct),
            ("false_alarm_rate", flagged, correct),
            ("accuracy_passed", correct, ~flagged),
        ):
            found[name] = float(of[among].mean()) if among.any() else None
    return found


def _worst_class(correct: npt.NDArray[Any], labels: npt.NDArray[Any]) -> tuple[int, float]:
    counts = np.bincount(labels)
    shares = np.bincount(labels, correct) / np.maximum(counts, 1)
    shares[counts == 0] = np.inf
    worst = int(shares.argmin())
    return worst, float(shares[worst])


def _minimal(record: ConditionRecord) -> bool:
    return any(threat.minimal for threat in record.threat_model)


def _specs(run: Run, wanted: Callable[[str], bool]) -> list[str]:
    return [c.spec for c in run.record.conditions if c.n > 0 and wanted(c.spec)]


def check_ids(runs: Sequence[Run]) -> None:
    """Raise InputError if one run is there twice, also as a copy of it."""
    seen: dict[str, Run] = {}
    for run in runs:
        if run.record.id in seen:
            raise InputError(
                f"{seen[run.record.id].path} and {run.path} are the same run ({run.record.id}).",
                "Give each run once; a copy of it says nothing new.",
            )
        seen[run.record.id] = run


def _compared(run: Run, baseline: Run, wanted: Callable[[str], bool]) -> Compared:
    mine, theirs = _specs(run, wanted), _specs(baseline, wanted)
    return Compared(
        run=run,
        differences=differences(run, baseline, wanted, others=True),
        only_run=[spec for spec in mine if spec not in set(theirs)],
        only_baseline=[spec for spec in theirs if spec not in set(mine)],
        warnings=_warnings(run.record, baseline.record),
    )


def _warnings(run: RunRecord, baseline: RunRecord) -> list[str]:
    """What makes two runs differ beside the network."""
    both = (("The baseline", baseline.status), ("The run", run.status))
    found = [f"{name} is {status}: it has less than was asked for." for name, status in both if status != "done"]
    if run.seed != baseline.seed:
        found.append(
            f"Other seeds ({baseline.seed} and {run.seed}): noise and attacks drew differently, so that images "
            "change that the network has not changed for."
        )
    if run.as_8bit != baseline.as_8bit:
        found.append("Adversarial images of one of them alone were rounded to 8 bits before they were scored.")
    if run.code_sha256 != baseline.code_sha256:
        found.append("Other code made the rows: attacks or shifts of one name may not be the same.")
    torches = [record.packages.get("torch", "unknown") for record in (baseline, run)]
    if torches[0] != torches[1]:
        found.append(
            f"Other versions of torch ({torches[0]} and {torches[1]}): logits may differ in the last digits."
        )
    devices = [f"{record.device}, {record.dtype}" for record in (baseline, run)]
    if devices[0] != devices[1]:
        found.append(f"Other devices ({devices[0]} and {devices[1]}): last digits of logits may differ.")
    conditions = {c.spec: c.parameters for c in baseline.conditions}
    changed = [c.spec for c in run.conditions if conditions.get(c.spec, c.parameters) != c.parameters]
    found += [f"{spec} had other arguments, of which its name does not tell." for spec in changed]
    return found
