"""One page that shows a run: opens from disk, fetches nothing, prints on A4.

Every section has a module that prepares its values and a template of the same name; here they are put together.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from robustbench_lite.errors import InputError
from robustbench_lite.reports import (
    attacks,
    classes,
    conditions,
    evidence,
    guard,
    pictures,
    severity,
    untested,
    verdict,
    words,
)
from robustbench_lite.reports.view import View
from robustbench_lite.runs import Run
from robustbench_lite.specs import format_value

_TEMPLATES = Path(__file__).parent / "templates"

# id and template, heading, and what prepares the values; in the order of the page
_SECTIONS = (
    ("untested", "Warnings, and what was not tested", untested.values),
    ("conditions", "Clean images against every condition", conditions.values),
    ("severity", "Accuracy against severity", severity.values),
    ("classes", "Classes", classes.values),
    ("examples", "Examples", pictures.values),
    ("outliers", "Outliers", guard.values),
    ("attacks", "Attacks, and trust in the numbers", attacks.values),
    ("evidence", "Evidence", evidence.values),
)


class Section(NamedTuple):
    """A section as the page holds it."""

    id: str
    number: int
    title: str
    body: Markup


def html_report(run: Run, baseline: Run | None = None) -> str:
    """The page.

    Every text of the run is escaped, and freed of control characters and marks that turn its direction; the
    page's own policy allows no script, no request, and no style but its own.

    Args:
        run: what is shown.
        baseline: what it is compared with.
    """
    view = View(run, baseline)
    environment = _environment()
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    page = environment.get_template("report.html.j2").render(
        record=view.record,
        view=view,
        alarms=words.alarms(run),
        **verdict.values(view),
        sections=_sections(environment, view),
        style=Markup(style),
        policy=_policy(style),
    )
    return page + "\n"


def _sections(environment: Environment, view: View) -> list[Section]:
    found = []
    for number, (name, title, values) in enumerate(_SECTIONS, 2):
        template = environment.get_template(f"{name}.html.j2")
        body = template.render(view=view, record=view.record, results=view.results, **values(view))
        found.append(Section(view.prefix + name, number, title, Markup(body)))
    return found


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
    environment.globals.update(drawing=severity)
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


def _parameters(parts: list[dict[str, Any]]) -> str:
    """All arguments of a condition, also those that have their default."""
    return " + ".join(", ".join(f"{k}={format_value(v)}" for k, v in part.items()) for part in parts)
