"""The JSON document that ``--json`` prints."""

from __future__ import annotations

from typing import Any

from robustbench_lite.metrics import summarise
from robustbench_lite.runs import Run


def document(run: Run) -> dict[str, Any]:
    """Path, network, data and one entry per condition, as plain values."""
    return {
        "run": str(run.path),
        "status": run.record.status,
        "model": run.record.model.spec,
        "data": run.record.data.spec,
        "checks": [check.model_dump() for check in run.record.checks],
        "results": summarise(run),
    }
