"""One page that shows a run: opens from disk, fetches nothing, runs nothing, prints on A4."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
import uuid
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from robustbench_lite.corruption_error import suite_errors
from robustbench_lite.errors import InputError
from robustbench_lite.metrics import summarise
from robustbench_lite.records import ConditionRecord, RunRecord
from robustbench_lite.reports import breaking, budgets, classes, guard, severity, suites, trust, words
from robustbench_lite.reports.pictures import gallery
from robustbench_lite.runs import Run
from robustbench_lite.specs import format_value
from robustbench_lite.sweeps import coarse, sweeps

_TEMPLATES = Path(__file__).parent / "templates"
_SKIPPED_SHOWN = 20


def html_report(run: Run, baseline: Run | None = None) -> str:
    """The page.

    Every text of the run is escaped, and freed of control characters and marks that turn its direction; the
    page's own policy allows no script, no request, and no style but its own.

    Args:
        run: what is shown.
        baseline: what its published sets are compared with.
    """
    record = run.record
    conditions = {c.spec: c for c in record.conditions}
    results = [{**r, **_threat(conditions[r["condition"]])} for r in summarise(coarse(run))]
    points = record.breaking_points
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            results=results,
            sizes=_SIZES,
            shows={column: any(r[column] for r in results) for column in _OPTIONAL},
            verdict=[*words.verdict(run, results), *map(breaking.sentence, points)],
            left_out=len(record.conditions) - len(coarse(run).record.conditions),
            alarms=words.alarms(run),
            warnings=words.warnings(run),
            untested=words.untested(run),
            attacked=any(c.threat_model for c in record.conditions),
            checked=trust.sections(run),
            checks_summary=trust.summary(run),
            curves={"severity": severity.curves(sweeps(run, fine=True), points), "eps": budgets.curves(results)},
            drawing=severity,
            guard=guard.section(run, results),
            flips=classes.flips(sweeps(run)),
            by_class=classes.by_class(results),
            suites=[(found, suites.means(found)) for found in suite_errors(run, baseline)],
            suites_note=suites.NOTE,
            kills=budgets.kills(run, results),
            gallery=gallery(run),
            evidence=_evidence(record),
            skipped=record.data.skipped[:_SKIPPED_SHOWN],
            style=Markup(style),
            policy=_policy(style),
        )
    )
    return page + "\n"


def _threat(condition: ConditionRecord) -> dict[str, Any]:
    norm = condition.threat_model[-1].norm if condition.threat_model else None
    return {"threat": words.threat(condition), "norm": norm}


_SIZES = ("l2", "linf", "l1", "l0")
_OPTIONAL = (
    "confidence_when_wrong",
    *(f"median_{norm}" for norm in _SIZES),
    "fooled",
    "gradients_per_sample",
    "filled",
)


def write_report(run: Run, path: Path | str, baseline: Run | None = None) -> Path:
    """Write the page to a file, which is whole at any time or not there.

    Raises:
        InputError: the place cannot be written.
    """
    path = Path(path)
    page = html_report(run, baseline)
    draft = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(page, encoding="utf-8", newline="\n")
        os.replace(draft, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.", "Choose another place.") from None
    finally:
        _remove(draft)
    return path


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:  # its folder is none
        return


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: words.plain(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=words.number,
        parameters=_parameters,
        percent=words.percent,
        points=_points,
        spec=_breakable,
        threat=words.threat,
    )
    return environment


def _breakable(spec: str) -> Markup:
    """A spec that may be broken after a bracket or comma rather than anywhere."""
    parts = re.split(r"(?<=[(,])", words.plain(spec))
    return Markup("<wbr>").join(parts)


def _points(drop: float | None) -> str:
    return "–" if drop is None else f"{round(100 * drop, 1) + 0:.1f}".replace("-", "−")


def _policy(style: str) -> str:
    """A content security policy that allows this style, pictures in the page, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


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
                ("device and number format", f"{record.device}, {record.dtype}"),
                ("packages", ", ".join(f"{k} {v}" for k, v in record.packages.items()) or "–"),
                ("git", _git(record.git)),
                ("to repeat", _command(record.argv)),
            ],
        ),
    ]


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


def _command(argv: list[str]) -> str:
    """The line to type, whatever place the program was started from."""
    arguments = argv[1:] if argv and Path(argv[0]).name in ("rb", "rb.exe", "__main__.py") else argv
    return shlex.join(["rb", *arguments]) if argv else "not started from the command line"


def _parameters(parts: list[dict[str, Any]]) -> str:
    """All arguments of a condition, also those that have their default."""
    return " + ".join(", ".join(f"{k}={format_value(v)}" for k, v in part.items()) for part in parts)
