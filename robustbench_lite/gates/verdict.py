"""What came of the rules: ``gate.json``, and what every other output of a gate is made from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from robustbench_lite.gates.rule import GateSettings, Rule

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
GATE_SCHEMA_VERSION = 2


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Match(_Strict):
    """What a rule found under one condition of one run."""

    run: str  # path, as it was given
    condition: str  # its spec; of a metric over several conditions, what they have in common
    class_name: str = ""  # of images of one class alone
    metric: str
    bound: Literal["min", "max", "max_drop", "max_rise"] | None = None  # which of the rule's limits it is about
    limit: float | None = None
    n: int
    value: float | None  # of the run; of a fall or rise: how far the metric is from the baseline's
    ci_low: (
        float | None
    )  # one-sided bounds that the verdict rests on: the one of a FAIL is corrected for their number
    ci_high: float | None
    before: float | None = None  # the metric of the baseline, and of the run, where these are compared
    after: float | None = None
    p: float | None = None  # of what was seen, or more of it, if the limit is kept; before the correction
    p_change: float | None = None  # of a change of accuracy without groups: McNemar's exact test of no change
    broken: int | None = None  # images that were right in the baseline and are wrong now; and the other way
    mended: int | None = None
    verdict: Verdict
    words: str  # one sentence with the numbers


class GateResult(_Strict):
    """One rule's verdict: that of its worst match."""

    rule: Rule
    verdict: Verdict
    words: str  # one sentence
    remedy: str = ""  # what to do next, unless it passed
    needed: int | None = None  # images that an inconclusive rule would take, about
    matches: list[Match] = []


class GateReport(_Strict):
    """All of ``gate.json``."""

    schema_version: int = GATE_SCHEMA_VERSION
    verdict: Verdict  # of the rules of level fail together; INCONCLUSIVE without any
    exit_code: int
    created: str  # UTC, ISO 8601
    runs: list[str]
    run_ids: list[str]
    baseline_ids: list[str] = []  # of all that were compared with
    weights_sha256: list[str] = []  # of the runs' networks
    manifest_sha256: list[str] = []  # of the runs' images
    settings: GateSettings
    results: list[GateResult]
    warnings: list[str] = []
