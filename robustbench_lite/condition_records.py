"""What a run says of each of its conditions: what it was, and what it cost."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd

from robustbench_lite.applying import by_severity
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.guarding import GuardedClassifier, means_both
from robustbench_lite.metrics import robustness_curve
from robustbench_lite.records import CheckRecord, ConditionRecord, CurvePoint, ThreatModel
from robustbench_lite.registry import spec
from robustbench_lite.scoring import Tally, severity
from robustbench_lite.specs import format_value
from robustbench_lite.types import Attack, Shift, Traced


def condition_record(tally: Tally, dataset: Dataset, guard: GuardedClassifier | None = None) -> ConditionRecord:
    """What a run says of a condition when it is over; ``guard`` is the detector beside the classifier, if any."""
    warnings = []
    if tally.not_finite:
        warnings.append(
            f"the network returned NaN or infinity for {tally.not_finite} changed images; they count as wrong."
        )
    attacks = [
        member for attack in tally.condition.attacks for member in (attack, *getattr(attack, "attacks", ()))
    ]
    warnings += [sentence for attack in attacks for sentence in getattr(attack, "warnings", ())]
    if guard and guard.opaque and any(map(means_both, attacks)):
        warnings.append(
            f"{', '.join(guard.opaque)} of the detector has no gradient: the attack followed the other scores, so "
            "the detector may look better than it is."
        )
    return ConditionRecord(
        spec=tally.spec,
        kind=tally.condition.kind,  # type: ignore[arg-type]
        severity=severity(tally.condition),
        parameters=[_parameters(part) for part in tally.condition.parts],
        **by_severity(tally.condition, dataset.image_shape),
        threat_model=[_threat_model(attack) for attack in tally.condition.attacks],
        members=[
            name for attack in tally.condition.attacks if isinstance(attack, Traced) for name in attack.members
        ],
        n=sum(map(len, tally.rows)),
        forwards=tally.forwards,
        gradients=tally.gradients,
        seconds=round(tally.seconds, 3),
        warnings=warnings,
        curve=_curve(tally, dataset),
        checks=[CheckRecord(**check._asdict()) for check in tally.checks],
        check_passes=tally.check_passes,
        detector_forwards=tally.detector.forwards,
        detector_gradients=tally.detector.gradients,
    )


def _parameters(part: Attack | Shift) -> dict[str, Any]:
    """The name and every argument, defaults included; the attacks of a portfolio as specs.

    What a calibration found out follows, as ``reference.slope``.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return spec(value) if dataclasses.is_dataclass(value) else value

    given: dict[str, Any] = {"name": spec(part).partition("(")[0]}
    for field_ in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, field_.name)
        if field_.compare:
            given[field_.name] = plain(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):  # found out on a sample of the data
            given |= {f"{field_.name}.{key}": found for key, found in dataclasses.asdict(value).items()}
    return given


def _curve(tally: Tally, dataset: Dataset) -> list[CurvePoint]:
    """Of an attack that looks for the smallest perturbation, and is alone."""
    attacks = tally.condition.attacks
    if tally.condition.kind != "attack" or not getattr(attacks[0], "minimal", False) or not tally.rows:
        return []
    norm = attacks[0].norm
    rows = pd.concat(tally.rows)
    return robustness_curve(rows, norm, dataset.eps.get(norm), grouped=dataset.groups is not None)


def _threat_model(attack: Attack) -> ThreatModel:
    target = getattr(attack, "target", None)
    return ThreatModel(
        norm=attack.norm,
        eps=getattr(attack, "eps", None),
        target=None if target is None else format_value(target),
        minimal=getattr(attack, "minimal", False),
    )
