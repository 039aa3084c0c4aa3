"""Which network and which images, as a few strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from robustbench_lite.errors import InputError
from robustbench_lite.specs import parse_number

DEMO_MODEL, DEMO_DATA = "demo", "digits"


@dataclass(frozen=True)
class Inputs:
    """Which network, which images, and how. The fields are the options of the command line.

    ``origins`` says of each who chose it: ``option``, ``--set``, ``RB_DATA``, ``rb.toml``, ``default``.
    """

    model: str = DEMO_MODEL
    weights: Path | None = None
    mean: str | None = None
    std: str | None = None
    data: str = DEMO_DATA
    data_root: Path | None = None
    download: bool = False
    split: str = "test"
    limit: int | None = None
    first: int | None = None
    group: str | None = None
    input_size: str | None = None
    resize: int | None = None
    channels: int | None = None
    max_damaged: float = 0.01
    seed: int = 0
    batch_size: int | None = None
    device: str = "auto"
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def options(self) -> dict[str, Any]:
        """The fields that are options."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "origins"}

    def fewer(self, n: int) -> tuple[str, ...]:
        """A note if there are only ``n`` images, fewer than asked for."""
        asked, option = (self.first, "--first") if self.first else (self.limit, "--limit")
        return (f"there are only {n} images: {option} {asked} takes them all",) if asked and asked > n else ()

    @property
    def demo(self) -> bool:
        """Whether this is the embedded default network."""
        return self.model == DEMO_MODEL


def check_demo(model: str, data: str, *, known: bool) -> None:
    """Raise InputError if the demo network is given images other than the digits that it knows."""
    if model == DEMO_MODEL and not known:
        raise InputError(
            f"the demo network knows the digits only, not {data}.",
            f"Give --model, or train one: rb train --data {data} --out net.safetensors.",
        )


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``96`` or ``96x128`` (height x width) as (H, W)."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise InputError(f"--input-size {text} is no size.", "Write it like 96 or 96x128 (height x width).")
    return int(sides[0]), int(sides[-1])


def normalisation(mean: str | None, std: str | None) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """``--mean`` and ``--std`` as numbers; ``--mean imagenet`` names both."""
    from robustbench_lite.classifiers.loading import NORMALISATIONS

    if mean in NORMALISATIONS and std in (None, mean):
        return NORMALISATIONS[mean]
    if (mean is None) != (std is None):
        raise InputError("--mean and --std belong together.", "Give both, or --mean imagenet for both.")

    def numbers(text: str | None) -> tuple[float, ...] | None:
        return None if text is None else tuple(parse_number(part) for part in text.split(","))

    means = numbers(mean)
    if means and max(means) > 1:
        raise InputError(
            f"--mean {mean} is out of range: images are in [0, 1].", "Divide --mean and --std by 255."
        )
    return means, numbers(std)
