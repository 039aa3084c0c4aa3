"""The JSON document that ``--json`` prints."""

from __future__ import annotations

from typing import Any

from robustbench_lite.metrics import summarise
from robustbench_lite.runs import Run
from robustbench_lite.sweeps import sweeps


def document(run: Run) -> dict[str, Any]:
    """Path, network, data, one entry per condition and one per shift, as plain values."""
    return {
        "run": str(run.path),
        "status": run.record.status,
        "model": run.record.model.spec,
        "data": run.record.data.spec,
        "checks": [check.model_dump() for check in run.record.checks],
        "results": summarise(run),
        "sweeps": [{**s._asdict(), "levels": [level._asdict() for level in s.levels]} for s in sweeps(run)],
    }
