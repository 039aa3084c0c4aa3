"""The search for a shift's breaking point: which severities to look at next, and what they have shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from robustbench_lite.intervals import Score, retention_score
from robustbench_lite.records import BreakingPoint

_DIGITS = 4  # of a severity


class _Seen(NamedTuple):
    below: bool  # whether the accuracy is below the share of the clean one
    score: Score


class Search:
    """First a scan over the whole scale, then the middle of every interval that still hides an end.

    Three places are sought: where the accuracy falls below the share of the clean one, and the ends of the
    interval, where it stops being significantly above and begins to be significantly below. Of each it is the
    first from severity 0. A shift draws the same random numbers at every severity, so these are of one curve.

    Args:
        shift: the spec without its severity.
        clean: rows of the clean images.
        share: of the clean accuracy, between 0 and 1.
        scan: severities above 0, ascending.
        tolerance: how near the places are to be known.
        grouped: whether the images have groups.
    """

    def __init__(
        self,
        shift: str,
        clean: pd.DataFrame,
        share: float,
        scan: Sequence[float],
        tolerance: float,
        *,
        grouped: bool,
    ) -> None:
        self._shift, self._share, self._scan, self._tolerance = shift, share, list(scan), tolerance
        self._clean = clean.set_index("index")
        self._grouped = grouped
        self._seen = {0.0: self._look(self._clean["correct"])}

    def wanted(self) -> list[float]:
        """The severities to evaluate next; none when everything is known."""
        if not self._clean["correct"].any():
            return []
        if missing := [severity for severity in self._scan if severity not in self._seen]:
            return missing
        found = []
        for sought in (_not_above, _below, _far_below):
            crossing = self._crossing(sought)
            if crossing is not None and crossing[1] - crossing[0] > self._tolerance:
                found.append(round(sum(crossing) / 2, _DIGITS))
        return sorted({severity for severity in found if severity not in self._seen})

    def add(self, severity: float, rows: pd.DataFrame) -> None:
        """What came of a severity."""
        self._seen[severity] = self._look(rows.set_index("index")["correct"])

    def result(self) -> BreakingPoint:
        """What is known now."""
        severities = sorted(self._seen)
        first, falls, last = (self._crossing(sought) for sought in (_not_above, _below, _far_below))
        return BreakingPoint(
            shift=self._shift,
            share=self._share,
            tolerance=self._tolerance,
            severity=None if falls is None else falls[1],
            ci_low=severities[-1] if first is None else first[0],
            ci_high=None if last is None else last[1],
            scan=self._scan,
            severities=severities[1:],
            notes=self._notes(severities, None if falls is None else falls[1]),
        )

    def _look(self, correct: pd.Series[int]) -> _Seen:
        both = self._clean.loc[correct.index]
        before, after = both["correct"].to_numpy(float), correct.to_numpy(float)
        groups = both["group"].to_numpy() if self._grouped else None
        below = after.mean() < self._share * before.mean() - 1e-12
        return _Seen(bool(below), retention_score(before, after, self._share, groups))

    def _crossing(self, sought: Callable[[_Seen], bool]) -> tuple[float, float] | None:
        """The first severity of which it is true and the one before; None if it is true of none."""
        before = 0.0
        for severity in sorted(self._seen):
            if sought(self._seen[severity]):
                return before, severity
            before = severity
        return None

    def _notes(self, severities: list[float], falls: float | None) -> list[str]:
        if not self._clean["correct"].any():
            return ["no image is right as it is: nothing can fall"]
        notes = []
        if self.wanted():
            notes.append("the search was stopped before its end")
        if falls is None:
            notes.append(f"does not fall below until severity {severities[-1]:g}")
        elif falls <= self._tolerance:
            notes.append(f"already below at severity {falls:g}")
        again = [s for s in severities if falls is not None and s > falls and not self._seen[s].below]
        if again:
            notes.append(f"not monotone: no longer below at severity {again[0]:g}; the first fall is told")
        if self._seen[0.0].score.quantile == 0:
            notes.append("one group of images alone allows no interval")
        elif not self._seen[0.0].score.above:
            notes.append("too few images: not even the clean accuracy is significantly above")
        return notes


def _not_above(seen: _Seen) -> bool:
    return not seen.score.above


def _below(seen: _Seen) -> bool:
    return seen.below


def _far_below(seen: _Seen) -> bool:
    return seen.score.below
