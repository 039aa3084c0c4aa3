"""What pages are made with: templates that escape; style, script and policy that stand in the page itself."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from robustbench_lite.reports import pictures, rules, severity, words
from robustbench_lite.specs import format_value

_TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """Templates in which every text is escaped, and freed of control characters and marks that turn it."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: words.plain(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(code=_code, drawing=severity, shapes=rules.SHAPES, heat=pictures.HEAT)
    made.filters.update(
        number=words.number,
        parameters=_parameters,
        percent=words.percent,
        points=_points,
        signed=_signed,
        spec=_breakable,
        threat=words.threat,
    )
    return made


def _breakable(spec: str) -> Markup:
    """A spec that may be broken after a bracket or comma rather than anywhere."""
    parts = re.split(r"(?<=[(,])", words.plain(spec))
    return Markup("<wbr>").join(parts)


def _code(spec: str) -> Markup:
    return Markup("<code>{}</code>").format(_breakable(spec))


def _points(drop: float | None) -> str:
    return "–" if drop is None else f"{round(100 * drop, 1) + 0:.1f}".replace("-", "−")


def _signed(change: float) -> str:
    points = f"{round(100 * change, 1) + 0:+.1f}"
    return "0.0" if float(points) == 0 else points.replace("-", "−")


def inlined(*styles: str) -> dict[str, Markup | str]:
    """Style and script of a page, and a policy that allows these, pictures in the page, and nothing else.

    Args:
        styles: files among the templates, put together.
    """
    style = "".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in styles)
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _parameters(parts: list[dict[str, Any]]) -> str:
    """All arguments of a condition, also those that have their default."""
    return " + ".join(", ".join(f"{k}={format_value(v)}" for k, v in part.items()) for part in parts)
