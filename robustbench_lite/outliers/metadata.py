"""What height, width and file length alone give away: a baseline that looks at no pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from robustbench_lite.data.dataset import Metadata

_LEAST_SPREAD = 0.01
"""1 %: images that are all of one size are no reason to call one pixel more an outlier of infinite distance."""


class MetadataNormals(BaseModel):
    """Mean and deviation of log height, log width and, where there are files, log length, of normal images."""

    model_config = ConfigDict(extra="forbid")

    mean: list[float]
    deviation: list[float]

    @classmethod
    def of(cls, known: Sequence[Metadata]) -> MetadataNormals | None:
        """Of normal images; None if nothing is known of them."""
        if not known:
            return None
        values = _logs(known, files=all(m.file_bytes for m in known))
        deviation = np.maximum(values.std(0), _LEAST_SPREAD)
        return cls(mean=values.mean(0).tolist(), deviation=deviation.tolist())

    def scores(self, known: Sequence[Metadata]) -> npt.NDArray[np.float64] | None:
        """Sum of squared standardised distances (N,); None if nothing is known of an image."""
        files = len(self.mean) == 3
        if not known or (files and not all(m.file_bytes for m in known)):
            return None
        scaled = (_logs(known, files=files) - self.mean) / self.deviation
        return np.asarray((scaled**2).sum(1), dtype=np.float64)


def _logs(known: Sequence[Metadata], *, files: bool) -> npt.NDArray[np.float64]:
    rows = [(m.height, m.width, m.file_bytes or 1) if files else (m.height, m.width) for m in known]
    return np.asarray(np.log(np.array(rows, dtype=np.float64)))
