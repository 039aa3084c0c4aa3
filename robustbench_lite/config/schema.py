"""What may stand in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from robustbench_lite.gates.rule import GateSettings, Rule


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_text(value: Any) -> Any:
    """``96`` and ``[0.485, 0.456, 0.406]`` as the option would be written."""
    many = value if isinstance(value, list) else [value]
    plain = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in many)
    return ",".join(map(str, many)) if many and plain else value


_NUMBERS = {"type": "array", "items": {"type": "number"}}
Numbers = Annotated[
    str, BeforeValidator(_as_text), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, _NUMBERS]})
]


class ModelConfig(_Section):
    """Which network: as the options of these names."""

    spec: str = "demo"
    weights: Path | None = None
    mean: Numbers | None = None
    std: Numbers | None = None


class DataConfig(_Section):
    """Which images: as the options of these names."""

    spec: str = "digits"
    root: Path | None = None
    download: bool = False
    split: str = "test"
    limit: int | None = Field(default=None, ge=1)
    first: int | None = Field(default=None, ge=1)
    group: str | None = None
    input_size: Numbers | None = None
    resize: int | None = Field(default=None, ge=1)
    channels: int | None = Field(default=None, ge=1)
    max_damaged: float = Field(default=0.01, ge=0, le=1)


class RunConfig(_Section):
    """How: as the options of these names."""

    seed: int = 0
    batch_size: int | None = Field(default=None, ge=1)
    device: str = "auto"
    suite: str | None = None  # of rb eval, where neither --on nor --suite is given
    detector: Path | None = None  # folder of the outlier detector beside the network


class SuiteConfig(_Section):
    """A named list of conditions, and of other suites."""

    conditions: tuple[str, ...] = ()
    include: tuple[str, ...] = ()  # names of suites
    about: str = ""


class ReportConfig(_Section):
    """What the page of an inspection team says beside the numbers."""

    title: str = ""
    product: str = ""
    intended_use: str = ""  # domain and limits of use, in words
    organisation: str = ""
    sign: tuple[str, ...] = ("Tested by", "Released by")  # one line each in the sign-off box


class Config(_Section):
    """All of ``rb.toml``."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    run: RunConfig = RunConfig()
    suites: dict[str, SuiteConfig] = {}
    gates: GateSettings = GateSettings()
    gate: tuple[Rule, ...] = ()  # [[gate]]
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _ids_differ(self) -> Config:
        ids = [rule.id for rule in self.gate]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"two gates have the id {twice[0]!r}")
        return self
