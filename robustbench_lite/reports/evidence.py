"""Section 9 of the page: what was run on what, and how to run it again."""

from __future__ import annotations

import json
from typing import Any

from robustbench_lite.records import RunRecord, command_line
from robustbench_lite.reports.view import Values, View

_SKIPPED_SHOWN = 20


def values(view: View) -> Values:
    """Headings with pairs of names and values, and the images that were skipped."""
    return {"evidence": _evidence(view.record), "skipped": view.record.data.skipped[:_SKIPPED_SHOWN]}


def _evidence(record: RunRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headings, and under each one pairs of a name and what is known."""
    model, data = record.model, record.data
    groups = [] if data.n_groups is None else [("groups", f"{data.n_groups}")]
    return [
        (
            "Network",
            [
                ("spec", model.spec),
                ("weights, SHA-256", model.weights_sha256),
                ("parameters", f"{model.parameters:,}".replace(",", " ")),
                ("input shape", _shape(model.input_shape)),
                ("classes", f"{model.num_classes}"),
                ("mean", _numbers(model.mean)),
                ("standard deviation", _numbers(model.std)),
            ],
        ),
        (
            "Images",
            [
                ("spec", data.spec),
                ("split", data.split),
                ("manifest, SHA-256", data.manifest_sha256),
                ("image shape", _shape(data.image_shape)),
                ("images", f"{data.n_asked} asked for, {data.n_used} used, {data.n_skipped} skipped"),
                *groups,
            ],
        ),
        *_detector(record),
        *_searches(record),
        (
            "Run",
            [
                ("id", record.id),
                ("status", record.status),
                ("created", record.created),
                ("took", f"{record.seconds:.1f} s"),
                ("seed", f"{record.seed}"),
                *_pieces(record),
                ("device and number format", f"{record.device}, {record.dtype}"),
                ("packages", ", ".join(f"{k} {v}" for k, v in record.packages.items()) or "–"),
                ("code, SHA-256", record.code_sha256 or "–"),
                ("git", _git(record.git)),
                ("to repeat", command_line(record.argv) or "not started from the command line"),
            ],
        ),
        *_configuration(record),
    ]


def _pieces(record: RunRecord) -> list[tuple[str, str]]:
    """How the run was put together, where it was not made in one piece."""
    found = []
    if record.suites:
        found.append(("suites", "; ".join(f"{name}: {', '.join(specs)}" for name, specs in record.suites.items())))
    if record.resumed:
        found.append(("taken up again", f"{record.resumed} times"))
    if record.shard is not None:
        found.append(("shard", f"{record.shard.index} of {record.shard.count}"))
    if record.merged:
        found.append(("merged from", ", ".join(record.merged)))
    return found


def _configuration(record: RunRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was asked for, and where each value came from as far as that is known."""
    pairs = []
    for name, value in record.config.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        origin = record.origins.get(name, "")
        pairs.append((name.replace("_", " "), f"{text} ({origin})" if origin else text))
    return [("Configuration", pairs)] if pairs else []


def _detector(record: RunRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    found = record.detector
    if found is None:
        return []
    pairs = [
        ("folder", found.folder or "given from Python"),
        ("files, SHA-256", found.sha256 or "–"),
        ("input shape", _shape(found.input_shape)),
        ("scores and weights", ", ".join(f"{weight:g} × {name}" for name, weight in found.members.items())),
        ("threshold", f"{found.threshold:.6g} nats, from {found.n_calibrated} images"),
        ("images that it knows", f"{found.n_seen}"),
        ("scores without a gradient", ", ".join(found.without_gradient) or "none"),
    ]
    return [("Detector", pairs)]


def _searches(record: RunRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    return [
        (
            "Search for the worst case",
            [
                ("ranges", found.ranges),
                ("method", f"{found.method}, {found.tries} tries"),
                ("worst for all images", found.together),
                ("worst for every image", found.each),
                ("cost", f"{found.forwards} forward passes, {found.gradients} gradients, {found.seconds:.1f} s"),
            ],
        )
        for found in record.searches
    ]


def _shape(shape: list[int] | None) -> str:
    return "any" if shape is None else " × ".join(map(str, shape))


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{v:.4g}" for v in values) or "none"


def _git(state: dict[str, Any] | None) -> str:
    if not state:
        return "not in a repository"
    return f"{state.get('commit')}{', with uncommitted changes' if state.get('dirty') else ''}"
