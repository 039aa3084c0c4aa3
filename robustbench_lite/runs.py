"""The record of a run: a folder with ``run.json``, ``samples.parquet`` and ``images/``.

Tables, gates and reports are made from it again without the network and without torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 4

COLUMNS = {
    "index": "int32",  # place of the image in the data set; with the condition it names the row
    "sample_id": "string",
    "file": "string",
    "group": "string",  # missing where the data have no groups
    "label": "int32",
    "condition": "string",
    "kind": "string",  # clean, attack, shift, chain
    "severity": "float32",  # missing where a condition has none
    "prediction": "int32",  # -1: the logits were not finite
    "correct": "int8",
    "attacked": "int8",  # 0: no attack was run on it, because it was wrong before or already at its target
    "succeeded": "int8",  # 1: the attack reached its goal
    "fools_8bit": "int8",  # 1: it did, and still does when the image is rounded to 8 bits within the budget
    "by": "string",  # which attack of a portfolio it was; missing where none, or no portfolio, fooled the network
    "confidence": "float32",  # softmax probability of the prediction
    "brier": "float32",  # squared distance of the softmax from the label as a vector of 0 and 1, 0 to 2
    "margin": "float32",  # logit of the label minus the largest other logit
    "l2": "float32",  # size of the change from the clean image
    "linf": "float32",
    "l1": "float32",
    "l0": "int32",  # values that changed, channels counted apart
    "filled": "float32",  # share of pixels that a shift invented; missing where none of the condition can
    "outlier": "float32",  # the detector's score of the image as it was classified; missing without a detector
    "flagged": "int8",  # 1: that is above the detector's threshold
}


class _Strict(BaseModel):
    # A confidence may be NaN and a parameter infinite; JSON has no numbers for them.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class ThreatModel(_Strict):
    """What an attack may do. ``eps`` is None for an attack that measures its budget otherwise, or has none."""

    norm: str
    eps: float | None
    target: str | None = None
    minimal: bool = False  # it looks for the smallest perturbation


class CurvePoint(_Strict):
    """Robust accuracy at one budget, with its 95 % interval."""

    eps: float
    accuracy: float
    low: float
    high: float


class CheckRecord(_Strict):
    """One trust check: what was seen, and what to do about it."""

    name: str
    status: Literal["passed", "triggered", "not run"]
    seen: str
    advice: str = ""
    next: str = ""  # a condition's spec, or doctor
    command: str = ""  # that as a whole line, for the run's own network and images


class ConditionRecord(_Strict):
    """One condition of a run: what it was, and what it cost."""

    spec: str
    kind: Literal["clean", "attack", "shift", "chain"]
    severity: float | None
    parameters: list[dict[str, Any]]
    values: dict[str, float] = {}  # of a shift: what the severity sets, for images of this size
    from_clean: bool = True  # false for a shift that changes images at severity 0 already
    threat_model: list[ThreatModel]
    members: list[str] = []  # of a portfolio: the attacks that the rows' ``by`` names, in order
    n: int
    forwards: int
    gradients: int
    seconds: float
    warnings: list[str]
    saved: str | None = None  # its images, a path below the run folder
    curve: list[CurvePoint] = []  # of an attack that looks for the smallest perturbation
    checks: list[CheckRecord] = []
    check_passes: int = 0  # forward passes and gradients that the checks took beside that
    detector_forwards: int = 0  # images sent through the detector, not counted above; likewise
    detector_gradients: int = 0


class ModelRecord(_Strict):
    """Which network was examined."""

    spec: str
    weights_sha256: str
    parameters: int
    input_shape: list[int] | None
    num_classes: int
    mean: list[float]
    std: list[float]
    notes: list[str]


class DataRecord(_Strict):
    """Which images were used."""

    spec: str
    split: str
    class_names: list[str]
    manifest_sha256: str
    image_shape: list[int]
    n_asked: int
    n_used: int
    n_skipped: int
    skipped: list[dict[str, str]]  # file, reason
    n_groups: int | None
    notes: list[str] = []
    eps: dict[str, float] = {}  # the usual budgets, by norm


class GuardRecord(_Strict):
    """The detector that stood beside the network."""

    folder: str = ""  # empty: it was given from Python
    sha256: str = ""  # of the files in it
    input_shape: list[int]
    members: dict[str, float]  # weight of every score; 0: only looked at
    threshold: float
    false_alarms: float  # the share that was promised
    false_alarms_low: float  # where 95 % of the realised shares lie, for thresholds from so many images
    false_alarms_high: float
    n_calibrated: int
    n_seen: int  # images of this run that it was fitted to or calibrated on
    without_gradient: list[str]  # scores that an attack can only follow through the others


class BreakingPoint(_Strict):
    """Where a shift takes an accuracy below a share of the clean one, as far as a search has found it.

    The severities are those that were evaluated, so the truth lies up to the tolerance below ``severity`` and
    ``high``, and above ``low``.
    """

    shift: str  # the spec without its severity
    share: float  # of the clean accuracy
    tolerance: float
    severity: float | None  # the mildest at which the accuracy is below; None: it is at none
    low: float  # the strongest before which it is significantly above
    high: float | None  # the mildest at which it is significantly below; None: at none
    scan: list[float]  # severities that were looked at first
    severities: list[float]  # all that were evaluated, ascending
    notes: list[str]


class Example(_Strict):
    """A sample under a condition, with its pictures (paths below the run folder)."""

    condition: str
    role: Literal["worst", "ordinary"]
    sample_id: str
    file: str
    label: int
    clean_prediction: int
    prediction: int
    confidence: float
    clean: str
    changed: str
    how: str = ""  # of the worst of each image in a range: the condition that was found for this one


class SearchRecord(_Strict):
    """A search for the worst case in a range; what it found for every image is in search.parquet."""

    ranges: str
    tries: int
    method: Literal["gradient", "evolution"]
    together: str  # the condition that is worst for all images together
    each: str  # the condition under which every image has its own worst values
    forwards: int
    gradients: int
    seconds: float


class RunRecord(_Strict):
    """All of ``run.json``."""

    schema_version: int = SCHEMA_VERSION
    id: str
    command: str
    status: Literal["done", "interrupted", "failed"]
    created: str  # UTC, ISO 8601
    argv: list[str]
    config: dict[str, Any]
    demo: bool  # the embedded default network and data: no statement about a network of anybody's
    seed: int
    as_8bit: bool  # adversarial images were rounded to 8 bits before they were scored
    packages: dict[str, str]
    git: dict[str, Any] | None
    model: ModelRecord
    data: DataRecord
    device: str
    dtype: str
    seconds: float
    conditions: list[ConditionRecord]
    detector: GuardRecord | None = None
    checks: list[CheckRecord] = []  # of the network
    breaking_points: list[BreakingPoint] = []
    examples: list[Example]
    searches: list[SearchRecord] = []


class Run(NamedTuple):
    """A run that was read back."""

    path: Path
    record: RunRecord
    samples: pd.DataFrame


def read_run(path: Path | str) -> Run:
    """Read a run folder.

    Raises:
        InputError: no such run, a damaged one, or one written by another version.
    """
    import pandas as pd

    record = read_record(path)
    folder = _folder(path)
    try:
        samples = pd.read_parquet(folder / "samples.parquet")
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:  # what pyarrow raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
        raise InputError(f"{folder / 'samples.parquet'} is damaged: {reason}.", "Run it again.") from None
    missing = [column for column in COLUMNS if column not in samples]
    if missing:
        raise InputError(f"{folder / 'samples.parquet'} lacks {', '.join(missing)}.", "Run it again.")
    return Run(folder, record, samples)


def read_record(path: Path | str) -> RunRecord:
    """Read ``run.json`` of a run folder alone.

    Raises:
        InputError: as ``read_run``.
    """
    folder = _folder(path)
    file = folder / "run.json"
    if not file.is_file():
        inside = sorted(found.parent.name for found in folder.glob("*/run.json"))
        remedy = f"Give one of the runs in it, such as {folder / inside[-1]}." if inside else ""
        raise InputError(
            f"{folder} is no run: it holds no run.json.", remedy or "Give the folder that a run printed."
        )
    try:
        text = file.read_text(encoding="utf-8")
        found = _Versioned.model_validate_json(text).schema_version
        if found != SCHEMA_VERSION:
            raise InputError(
                f"{file} has schema version {found}; this release reads {SCHEMA_VERSION}.",
                "Upgrade robustbench_lite." if found > SCHEMA_VERSION else "It is too old: run it again.",
            )
        record = RunRecord.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        reason = _first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise InputError(f"{file} is damaged: {reason}.", "Run it again.") from None
    return record


def _folder(path: Path | str) -> Path:
    folder = Path(path)
    return folder.parent if folder.name == "run.json" else folder


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg']}" if where else fault["msg"]


class _Versioned(BaseModel):
    schema_version: int
