"""docs/config.md has every key of the schema, in its order."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from robustbench_lite.config.faults import is_table
from robustbench_lite.config.schema import Config

PAGE = (Path(__file__).parents[2] / "docs" / "config.md").read_text(encoding="utf-8")


def keys(table, prefix=""):
    """Dotted keys as the page writes them; NAME stands for one of the user's."""
    for name, field in table.model_fields.items():
        name = prefix + (field.alias or name)
        inner = [a for a in typing.get_args(field.annotation) if is_table(a)]
        named = ".NAME" if typing.get_origin(field.annotation) is dict else ""
        if is_table(field.annotation):
            yield from keys(field.annotation, f"{name}.")
        elif inner:
            yield from keys(inner[0], f"{name}{named}.")
        else:
            yield name


def test_page_has_every_key():
    section = PAGE.partition("## Keys\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == list(keys(Config))
