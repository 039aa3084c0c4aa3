"""The page has every metric."""

import re
from pathlib import Path

from robustbench_lite.gates.metrics import METRICS
from robustbench_lite.gates.rule import GateSettings, Rule, Where

PAGE = (Path(__file__).parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")


def test_the_page_has_every_metric_with_its_line():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.partition("## Metrics")[2], re.MULTILINE))
    assert rows == {name: metric.about for name, metric in METRICS.items()}


def test_the_page_has_every_key():
    cells = re.findall(r"^\| ([^|]+) \|", PAGE, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}
    where = {f"where.{field.alias or name}" for name, field in Where.model_fields.items()}
    assert {*Rule.model_fields, *GateSettings.model_fields, *where} - {"where"} <= told
