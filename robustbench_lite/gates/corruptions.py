"""Metrics of the published sets: mean corruption error, alone and as a share of that of another network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robustbench_lite.corruption_error import ImageErrors, image_errors
from robustbench_lite.corruption_sets import missing_from, suites_of
from robustbench_lite.errors import InputError
from robustbench_lite.gates.bounds import Change, Estimate, fall, share
from robustbench_lite.gates.matching import fits
from robustbench_lite.gates.metric import Metric, Subject, Unmeasured
from robustbench_lite.gates.ratios import mean_of_ratios
from robustbench_lite.gates.rule import GateSettings, Where
from robustbench_lite.gates.tables import Table


@dataclass(frozen=True)
class CorruptionMean(Metric):
    """One of the means of ``corruption_error.suite_errors``, over all 15 corruptions at all severities.

    Of a part of them the number would be another one of the same name: there is none.
    """

    which: Literal["mean_error", "mce", "relative_mce"] = "mean_error"

    def needs(self) -> tuple[str, ...]:
        """As ``Metric.needs``."""
        return ()

    def subjects(self, table: Table, where: Where, reference: Table | None) -> list[Subject]:
        """As ``Metric.subjects``: one per set; ``where.condition`` is its spec without corruption and severity.

        Raises:
            Unmeasured: a set lacks a corruption, or a severity of one.
        """
        known, found = suites_of(table.run), []
        for suite, missing in missing_from(table.run).items():
            if where.condition is not None and not fits(where.condition, suite):
                continue
            if missing:
                raise Unmeasured(
                    f"{self.name} is over 15 corruptions at the severities 1 to 5, and {suite} lacks {missing}.",
                    "Run the whole set: rb shift --suite.",
                )
            found.append(Subject(suite, ("clean", *known[suite])))
        return found

    def estimate(
        self, table: Table, subject: Subject, settings: GateSettings, reference: Table | None
    ) -> Estimate:
        """As ``Metric.estimate``."""
        found = _errors(table, reference, subject)
        if self.which == "mean_error":
            return share(found.own[:, 1:].mean(axis=1), found.groups, settings.proportion)
        if found.reference is None:
            raise Unmeasured(
                f"{self.name} is a share of another network's errors, and there is none to compare with.",
                "Give a baseline with the same set: baseline in the rule, or --baseline.",
            )
        own, theirs = found.own[:, 1:], found.reference[:, 1:]
        if self.which == "relative_mce":
            own, theirs = own - found.own[:, :1], theirs - found.reference[:, :1]
        if (theirs.mean(axis=0) <= 0).any():
            what = "makes no error" if self.which == "mce" else "loses nothing"
            raise Unmeasured(
                f"the other network {what} under some corruption: there is no {self.name}.", "Take another."
            )
        return mean_of_ratios(own, theirs, found.groups, self.limits)

    def change(self, table: Table, baseline: Table, subject: Subject, settings: GateSettings) -> Change:
        """As ``Metric.change``, of the mean error alone: the others are changes already."""
        if self.which != "mean_error":
            raise Unmeasured(f"{self.name} compares two networks already.", "Give max, and the baseline.")
        found = _errors(table, baseline, subject)
        assert found.reference is not None
        before, after = (side[:, 1:].mean(axis=1) for side in (found.reference, found.own))
        return Change(
            fall(before, after, found.groups),
            fall(after, before, found.groups),
            float(before.mean()),
            float(after.mean()),
        )


def _errors(table: Table, reference: Table | None, subject: Subject) -> ImageErrors:
    try:
        return image_errors(table.run, subject.name, None if reference is None else reference.run)
    except InputError as error:
        raise Unmeasured(error.what, error.remedy) from None
