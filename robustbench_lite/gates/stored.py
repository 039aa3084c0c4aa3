"""``gate.json`` of a run folder, read again."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from robustbench_lite.errors import InputError
from robustbench_lite.gates.verdict import GATE_SCHEMA_VERSION, GateReport

GATE_FILE = "gate.json"


def read_gate(folder: Path | str) -> GateReport | None:
    """What came of the rules that a run was judged by; None if it was not judged.

    Raises:
        InputError: the file is damaged, or of another version.
    """
    file = Path(folder) / GATE_FILE
    if not file.is_file():
        return None
    remedy = "Judge the run again with rb gate."
    try:
        report = GateReport.model_validate_json(file.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError):
        raise InputError(f"{file} is damaged, or of another version.", remedy) from None
    if report.schema_version != GATE_SCHEMA_VERSION:
        raise InputError(f"{file} has schema version {report.schema_version}, not {GATE_SCHEMA_VERSION}.", remedy)
    return report
