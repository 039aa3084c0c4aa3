"""What ``run.json`` holds, field by field."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 6
LEFT_OUT = "left out with --no-checks."  # what a check that was not made has seen


def command_line(argv: Sequence[str]) -> str:
    """The line to type, whatever place ``rb`` was started from; empty if it was another program."""
    started = bool(argv) and Path(argv[0]).name in ("rb", "rb.exe", "__main__.py")
    return shlex.join(["rb", *argv[1:]]) if started else ""


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
    ci_low: float
    ci_high: float


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
    skipped: list[Annotated[dict[Literal["file", "reason"], str], Field(min_length=2)]]
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
    false_alarms_promised: float  # the share that was promised
    false_alarms_promised_low: float  # where 95 % of the realised shares lie, for thresholds from so many images
    false_alarms_promised_high: float
    n_calibrated: int
    n_seen: int  # images of this run that it was fitted to or calibrated on
    without_gradient: list[str]  # scores that an attack can only follow through the others


class BreakingPoint(_Strict):
    """Where a shift takes an accuracy below a share of the clean one, as far as a search has found it.

    The severities are those that were evaluated, so the truth lies up to the tolerance below ``severity`` and
    ``ci_high``, and above ``ci_low``.
    """

    shift: str  # the spec without its severity
    share: float  # of the clean accuracy
    tolerance: float
    severity: float | None  # the mildest at which the accuracy is below; None: it is at none
    ci_low: float  # the strongest before which it is significantly above
    ci_high: float | None  # the mildest at which it is significantly below; None: at none
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


class ShardRecord(_Strict):
    """Which part of the images a run has: the ``index``-th of ``count``, counted from 1."""

    index: int
    count: int
    n_whole: int  # images of all parts together


class RunRecord(_Strict):
    """All of ``run.json``."""

    schema_version: int = SCHEMA_VERSION
    id: str
    command: str
    status: Literal["done", "interrupted", "failed"]
    created: str  # UTC, ISO 8601
    argv: list[str]
    config: dict[str, Any]
    origins: dict[str, str] = {}  # of the values in config: option, --set, RB_MODEL, rb.toml, default
    suites: dict[str, list[str]] = {}  # named lists of conditions that were asked for
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
    code_sha256: str = ""  # of the code that made the rows
    resumed: int = 0  # how often the run was taken up again
    unfinished: str = ""  # the folder beside it that --resume goes on from; empty: there is none
    shard: ShardRecord | None = None
    merged: list[str] = []  # ids of the shards that it was put together from
    rows_sha256: str = ""  # of the numbers in the rows
