"""The JSON document that ``--json`` prints."""

from __future__ import annotations

from typing import Any

from robustbench_lite.corruption_error import Estimate, SuiteError, suite_errors
from robustbench_lite.metrics import summarise
from robustbench_lite.runs import Run
from robustbench_lite.sweeps import sweeps


def document(run: Run, baseline: Run | None = None) -> dict[str, Any]:
    """Path, network, data, one entry per condition, one per shift and one per published set, as plain values.

    Args:
        run: what is told.
        baseline: what its published sets are compared with.
    """
    return {
        "run": str(run.path),
        "status": run.record.status,
        "model": run.record.model.spec,
        "data": run.record.data.spec,
        "detector": None if run.record.detector is None else run.record.detector.model_dump(),
        "checks": [check.model_dump() for check in run.record.checks],
        "searches": [search.model_dump() for search in run.record.searches],
        "results": summarise(run),
        "sweeps": [{**s._asdict(), "levels": [level._asdict() for level in s.levels]} for s in sweeps(run)],
        "suites": [_suite(found) for found in suite_errors(run, baseline)],
        "breaking_points": [point.model_dump() for point in run.record.breaking_points],
    }


def _suite(found: SuiteError) -> dict[str, Any]:
    plain = {
        key: _estimate(value) if isinstance(value, Estimate) else value for key, value in found._asdict().items()
    }
    return {**plain, "corruptions": [corruption._asdict() for corruption in found.corruptions]}


def _estimate(found: Estimate) -> dict[str, float | None]:
    return {"value": found.value, "ci_low": found.low, "ci_high": found.high}
