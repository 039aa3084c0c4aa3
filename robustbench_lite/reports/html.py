"""One page that shows a run: opens from disk, fetches nothing, prints on A4.

Every section has a module that prepares its values and a template of the same name; here they are put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from robustbench_lite.config.schema import ReportConfig
from robustbench_lite.files import write_file
from robustbench_lite.gates.verdict import GateReport
from robustbench_lite.reports import (
    attacks,
    beside,
    classes,
    conditions,
    evidence,
    gallery,
    guard,
    mapping,
    severity,
    signoff,
    untested,
    verdict,
    words,
)
from robustbench_lite.reports.page import environment, inlined
from robustbench_lite.reports.view import Values, View, views
from robustbench_lite.runs import Run

# id and template, heading, and what prepares the values; in the order of the page
_SECTIONS = (
    ("untested", "Warnings, and what was not tested", untested.values),
    ("conditions", "Clean images against every condition", conditions.values),
    ("severity", "Accuracy against severity", severity.values),
    ("classes", "Classes", classes.values),
    ("examples", "Examples", gallery.values),
    ("outliers", "Outliers", guard.values),
    ("attacks", "Attacks, and trust in the numbers", attacks.values),
    ("evidence", "Evidence", evidence.values),
)
_MOST = 20  # rows of a table that stands unfolded, but for the first of all


class Section(NamedTuple):
    """A section as the page holds it; one without a body is a place to go to."""

    id: str
    title: str
    body: Markup = Markup()
    open: bool = False  # also where the sections of its part are folded


class Part(NamedTuple):
    """Some sections together, after a table of contents and under a heading of their own, if there are any."""

    sections: Sequence[Section] = ()
    contents: Sequence[Section] = ()
    id: str = ""
    title: str = ""
    folds: bool = False  # the sections: of several runs they would bury each other


def html_report(
    run: Run | Sequence[Run],
    baseline: Run | None = None,
    *,
    gates: Sequence[GateReport] | None = None,
    about: ReportConfig | None = None,
) -> str:
    """The page.

    Every text of the run is escaped, and freed of control characters and marks that turn its direction; the
    page's own policy allows no request, and no script and style but its own. The script sorts tables and enlarges
    pictures; without it everything can be read.

    Args:
        run: what is shown; several are shown side by side, and then one by one.
        baseline: what every run is compared with; without it several are compared with the first of them.
        gates: what came of the rules; None: ``gate.json`` of the run folders.
        about: title, product, intended use, and who signs.

    Raises:
        InputError: no run, the same run twice, or a baseline on other images.
    """
    runs = [run] if isinstance(run, Run) else list(run)
    about = about or ReportConfig()
    found = views(runs, baseline, gates)
    templates = environment()
    page = templates.get_template("report.html.j2").render(
        title=about.title or _title(found),
        kicker=" · ".join(filter(None, ("Robustness report", about.organisation, about.product))),
        alarms=[f"{view.mark} {alarm}".strip() for view in found for alarm in words.alarms(view.run)],
        parts=_parts(templates, found, about),
        **inlined("report.css"),
    )
    return page + "\n"


def _title(found: Sequence[View]) -> str:
    network = words.join(_names([view.record.model.spec for view in found]))
    images = words.join(_names([f"{view.record.data.spec}, {view.record.data.split} split" for view in found]))
    return f"Robustness of {network} on {images}"


def _names(specs: list[str]) -> list[str]:
    """Each once, without folders unless it takes them to tell two apart."""
    whole = list(dict.fromkeys(specs))
    brief = list(dict.fromkeys(map(words.short, whole)))
    return brief if len(brief) == len(whole) else whole


def _parts(templates: Environment, found: list[View], about: ReportConfig) -> list[Part]:
    """Verdict, contents, the runs one by one, and what is signed."""

    def section(name: str, title: str, values: Values) -> Section:
        return Section(name, title, Markup(templates.get_template(f"{name}.html.j2").render(**values)))

    first = [section("verdict", "1 Verdict", verdict.values(found))]
    last = [
        section("mapping", "What this is evidence for", mapping.values(found)),
        section("signoff", "Sign-off", signoff.values(found, about)),
    ]
    if len(found) == 1:
        sections = [*_sections(templates, found[0]), *last]
        return [Part(first), Part(sections, sections)]
    first.append(section("beside", "Side by side", beside.values(found)))
    each = [
        Part(
            sections,
            sections,
            f"run-{view.mark.lower()}",
            f"{view.name} on {words.short(view.record.data.spec)}",
            True,
        )
        for view in found
        for sections in [_sections(templates, view)]
    ]
    contents = [*first, *(Section(part.id, part.title) for part in each), *last]
    return [Part(contents=contents), Part(first), *each, Part(last)]


def _sections(templates: Environment, view: View) -> list[Section]:
    sections = []
    for number, (name, title, values) in enumerate(_SECTIONS, 2):
        template = templates.get_template(f"{name}.html.j2")
        body = template.render(most=_MOST, view=view, record=view.record, results=view.results, **values(view))
        heading = f"{view.mark}{number} {title}"
        sections.append(Section(view.prefix + name, heading, Markup(body), open=name == "untested"))
    return sections


def write_report(
    run: Run | Sequence[Run],
    path: Path | str,
    baseline: Run | None = None,
    *,
    gates: Sequence[GateReport] | None = None,
    about: ReportConfig | None = None,
) -> Path:
    """Write the page to a file, which is whole at any time or not there; arguments as ``html_report``.

    Raises:
        InputError: as ``html_report``, or the place cannot be written.
    """
    path = Path(path)
    write_file(path, html_report(run, baseline, gates=gates, about=about).encode())
    return path
