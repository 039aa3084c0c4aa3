"""What a metric is: which conditions of a run it is about, and what it makes of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from robustbench_lite.errors import InputError
from robustbench_lite.gates.bounds import Array, Change, Estimate
from robustbench_lite.gates.matching import fits, has_wildcard, matching
from robustbench_lite.gates.rule import GateSettings, Where
from robustbench_lite.gates.tables import Table
from robustbench_lite.records import ConditionRecord, RunRecord


class Unmeasured(InputError):
    """A metric that a run does not have: an ERROR of the rule, with what to do about it."""


class Subject(NamedTuple):
    """What one number is about.

    Args:
        name: the condition, or what several have in common.
        conditions: specs, whose rows are read.
        weights: of each in a mean over several.
        label: of images of one class alone; None: all.
        class_name: of that class.
    """

    name: str
    conditions: tuple[str, ...]
    weights: tuple[float, ...] = (1.0,)
    label: int | None = None
    class_name: str = ""


@dataclass(frozen=True)
class Metric:
    """A number of a run with its bounds. Subclasses say how it is found.

    Args:
        name: what a rule calls it.
        about: one line.
        unit: how it is written.
        usual: the kind of the conditions that a rule without filters is about.
        better: which way is better; empty: neither.
        takes: what the run must have.
        whole: filters that would choose a part of what the number is over, and why they cannot.
    """

    name: str
    about: str
    unit: Literal["share", "number", "severity"] = "share"
    usual: Literal["clean", "attack", "changed"] = "clean"
    limits: tuple[float, float] = (0.0, 1.0)  # what the number can be
    detector: bool = False  # whether it takes a run with one
    counts: bool = False  # whether it is the share of images of which something is true
    better: Literal["higher", "lower", ""] = "higher"
    takes: str = "any run"
    whole: tuple[tuple[str, str], ...] = ()

    def needs(self) -> tuple[str, ...]:
        """Columns of the rows."""
        raise NotImplementedError

    def suits(self, condition: ConditionRecord) -> str:
        """Why the metric says nothing about a condition; empty where it does."""
        return ""

    def subjects(self, table: Table, where: Where, reference: Table | None) -> list[Subject]:
        """What a rule with these filters is about, each judged for itself; empty if nothing fits.

        Raises:
            Unmeasured: the condition that is named has no such number.
        """
        found = self.conditions(table.record, where)
        labels = labels_of(table.record, where.class_)
        return [Subject(c.spec, (c.spec,), (1.0,), *label) for c in found for label in labels]

    def conditions(self, record: RunRecord, where: Where) -> list[ConditionRecord]:
        """The conditions that fit, less those that a wildcard takes along and the metric says nothing of."""
        found = matching(self.filters(where), record)
        reasons = {c.spec: self.suits(c) for c in found}
        kept = [c for c in found if not reasons[c.spec]]
        if found and not kept:
            spec, reason = next(iter(reasons.items()))
            raise Unmeasured(f"{self.name} says nothing about {spec}: {reason}.", "Choose another metric.")
        return kept

    def filters(self, where: Where) -> Where:
        """The filters, or the usual ones where neither condition nor kind nor severity is said."""
        if where.condition is not None or where.kind is not None or where.severity is not None:
            return where
        return where.model_copy(update={"kind": "clean"}) if self.usual == "clean" else where

    def looks_at(self, where: Where) -> str:
        """What a rule with these filters is about, as a whole: the condition that it names, or in words."""
        if where.condition is not None:
            return where.condition
        return "clean" if not self.whole and self.filters(where).kind == "clean" else "all conditions"

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """The number. ``reference`` is the run that a relative metric is a share of.

        Raises:
            Unmeasured: the rows do not have it.
        """
        raise NotImplementedError

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """How far it falls or rises, on the same images.

        Raises:
            Unmeasured: as ``estimate``.
        """
        raise NotImplementedError


def labels_of(record: RunRecord, pattern: str | None) -> list[tuple[int | None, str]]:
    """Numbers and names of the classes that a pattern stands for; no number for all images together."""
    if pattern is None:
        return [(None, "")]
    names = record.data.class_names
    chosen = [i for i, name in enumerate(names) if name == pattern]
    if not chosen and has_wildcard(pattern):
        chosen = [i for i, name in enumerate(names) if fits(pattern, name)]
    return [(i, names[i]) for i in chosen]


def of_class(rows: pd.DataFrame, label: int | None) -> pd.DataFrame:
    """The rows of the images of one class, or all."""
    return rows if label is None else rows[rows["label"] == label]


def groups_of(rows: pd.DataFrame, table: Table) -> npt.NDArray[Any] | None:
    """The images' groups, if they have any."""
    return rows["group"].to_numpy() if table.grouped else None


def checked(rows: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    """The same, if there are any.

    Raises:
        Unmeasured: there is none.
    """
    if len(rows):
        return rows
    of = f" of the class {subject.class_name!r}" if subject.label is not None else ""
    raise Unmeasured(f"there is no image{of} under {subject.name}.", "Run the condition again.")


def finite(values: Array, what: str) -> Array:
    """The same, if none is NaN.

    Raises:
        Unmeasured: some are.
    """
    bad = int(np.isnan(values).sum())
    if bad == 0:
        return values
    raise Unmeasured(f"{what} is NaN for {bad} of {len(values)} images.", "Check the network: rb doctor.")
