"""A rule, as it is written in ``rb.toml`` or given from Python."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

RELATIVE = ("mce", "relative_mce")  # metrics that are shares of what the baseline's network has


class Where(BaseModel):
    """Which rows a rule is about. Texts may hold wildcards: ``*``, ``?``."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    condition: str | None = None  # a spec, such as "night(severity=3)" or "pgd(*)"
    kind: Literal["clean", "attack", "shift", "chain"] | None = None
    severity: float | None = Field(default=None, allow_inf_nan=False)
    class_: str | None = Field(default=None, alias="class")  # images of this class alone


class Rule(BaseModel):
    """What must hold of a run, or of a run beside its baseline.

    One of: ``min`` and/or ``max`` for the metric itself, or ``baseline`` with ``max_drop`` and/or ``max_rise``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    metric: str = "accuracy"
    where: Where = Where()
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    # A run folder, relative to the file's; of mce and relative_mce it is the reference, too.
    baseline: str | None = None
    max_drop: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_rise: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    min_n: int | None = Field(default=None, ge=1)  # fewer images: inconclusive, whatever they say
    level: Literal["fail", "warn"] = "fail"  # warn: told, and never stops a build
    note: str = ""  # why the rule is there, for the report

    @model_validator(mode="after")
    def _one_question(self) -> Rule:
        own = self.min is not None or self.max is not None
        change = self.max_drop is not None or self.max_rise is not None
        if own == change:
            raise ValueError("give min and/or max, or else max_drop and/or max_rise")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError("min is not below max")
        if self.baseline is not None and not change and self.metric not in RELATIVE:
            raise ValueError("baseline needs max_drop or max_rise")
        return self


class GateSettings(BaseModel):
    """What all rules share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    correction: Literal["holm", "none"] = "holm"
    proportion: Literal["wilson", "clopper-pearson"] = "clopper-pearson"
    inconclusive: Literal["fail", "warn"] = "fail"  # warn: exit code 0 if nothing failed
    allow_demo: bool = False
    allow_triggered: tuple[str, ...] = ()  # names of trust checks that may have triggered
