"""docs/scores.md has a row for every score, which says whether it has maps."""

import importlib
import inspect
from pathlib import Path

import pytest

from robustbench_lite import registry

PAGE = (Path(__file__).parents[2] / "docs/scores.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(registry.names("score")))
def test_a_row_for_every_score(name):
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith(f"| `{name}` | ")]
    described = [row[2] for row in rows if len(row) == 6]  # the others hold measurements
    assert len(described) == 1
    module = inspect.getsource(importlib.import_module(type(registry.make_one("score", name)).__module__))
    assert ("with maps" in described[0]) == ("def maps(" in module)
