"""The rows that rules ask for, read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from robustbench_lite.pairing import paired
from robustbench_lite.runs import Run

if TYPE_CHECKING:
    import pandas as pd


class Table:
    """A run, and those of its rows that were asked for already.

    Args:
        run: of which only the columns and conditions that are asked for are read.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.record = run.record
        self._known: dict[str, pd.DataFrame] = {}
        self._pairs: dict[tuple[str, str, tuple[str, ...]], pd.DataFrame] = {}

    @property
    def grouped(self) -> bool:
        """Whether images come in groups."""
        return self.record.data.n_groups is not None

    def read(self, columns: Sequence[str], conditions: Sequence[str]) -> None:
        """Have these columns of these conditions at hand: one look into the file instead of many."""
        wanted = list(dict.fromkeys([*columns, *(["group"] if self.grouped else [])]))
        missing = [spec for spec in dict.fromkeys(conditions) if not self._has(spec, wanted)]
        if not missing:
            return
        known = {name for spec in missing if spec in self._known for name in self._known[spec].columns}
        rows = self.run.rows([*dict.fromkeys(["condition", *wanted, *sorted(known)])], missing)
        empty = rows.iloc[:0].drop(columns="condition")
        self._known.update(dict.fromkeys(missing, empty))
        for spec, part in rows.groupby("condition", sort=False):
            self._known[str(spec)] = part.drop(columns="condition")

    def rows(self, columns: Sequence[str], condition: str) -> pd.DataFrame:
        """Some columns of the rows of a condition, and ``group`` where there are groups."""
        self.read(columns, [condition])
        return self._known[condition]

    def pairs(self, baseline: Table, condition: str, columns: Sequence[str]) -> pd.DataFrame:
        """The images that both have under a condition: ``pairing.paired``."""
        key = (baseline.record.id, condition, tuple(columns))
        if key not in self._pairs:
            self._pairs[key] = paired(self.run, baseline.run, condition, columns)
        return self._pairs[key]

    def _has(self, condition: str, columns: Sequence[str]) -> bool:
        return condition in self._known and set(columns) <= set(self._known[condition].columns)
