"""A configuration and a CI workflow as text, from templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from robustbench_lite.suites import find_suite


class Watched(NamedTuple):
    """What a gate beside that of the clean images is about."""

    name: str
    pattern: str
    why: str


_NIGHT = Watched("night", "night(severity=3)", "Lamps fail, and shifts end late.")
_ATTACK = Watched("attack", "pgd(*)", "What is left under attack.")


class Proposal(NamedTuple):
    """What ``rb init`` writes."""

    model: str
    data: str
    suite: str
    floor: float  # of the clean accuracy
    night: float  # of the accuracy in the condition beside it
    title: str = ""

    @property
    def demo(self) -> bool:
        """Whether the gates would judge the demo network."""
        return self.model == "demo"

    @property
    def watched(self) -> Watched:
        """What the suite has for a second gate."""
        conditions = find_suite(self.suite).conditions
        if _NIGHT.pattern in conditions:
            return _NIGHT
        return _ATTACK if "pgd" in conditions else Watched("worst", conditions[-1], "The last of the suite.")


def toml_text(text: str) -> str:
    """A TOML basic string. JSON's differ in U+007F, which TOML wants escaped.

    Raises:
        UnicodeEncodeError: half of a surrogate pair, which is no text.
    """
    text.encode()
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def config_file(proposal: Proposal) -> str:
    """``rb.toml`` with a comment for every key."""
    return _rendered("rb.toml.j2", proposal=proposal)


def workflow(host: str, suite: str | None, config: str) -> str:
    """The workflow for ``github`` or ``gitlab``.

    Args:
        host: one of the two.
        suite: one that is built in; None: the file names one.
        config: rb.toml or pyproject.toml.
    """
    return _rendered(f"{host}.yml.j2", suite=suite, config=config)


def is_our_pipeline(path: Path) -> bool:
    """Whether ``workflow`` wrote a pipeline of GitLab, and nobody has put another job beside ours."""
    text = path.read_text(encoding="utf-8", errors="replace")
    top = [line.rstrip() for line in text.splitlines() if line.strip() and line[0] not in " #"]
    begins = _rendered("gitlab.yml.j2", suite=None, config="").partition(":")[0]
    return text.startswith(begins) and top == ["robustness:"]


def _rendered(template: str, **values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("robustbench_lite.config"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        variable_start_string="<<",
        variable_end_string=">>",
    )
    environment.filters["toml"] = toml_text
    return environment.get_template(template).render(**values)
