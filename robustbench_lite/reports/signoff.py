"""The end of the page: what is signed, and by whom."""

from __future__ import annotations

from robustbench_lite.config.schema import ReportConfig
from robustbench_lite.reports.view import Values, View


def values(views: list[View], about: ReportConfig) -> Values:
    """What identifies the thing that is signed, and one line for each who signs."""
    identity = [
        ("Organisation", about.organisation),
        ("Product", about.product),
        ("Intended use and its limits", about.intended_use or "not stated"),
    ]
    for view in views:
        verdict = view.gates.verdict if view.gates else "not judged"
        weights = view.record.model.weights_sha256[:12]
        identity.append((f"Run {view.mark}".strip(), f"{view.record.id}, weights {weights}…, {verdict}"))
    return {"identity": [pair for pair in identity if pair[1]], "sign": list(about.sign) or ["Signed by"]}
