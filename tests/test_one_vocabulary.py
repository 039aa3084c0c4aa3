"""What goes out has one name for one thing: those of the table in docs/run.md."""

import ast
import re
from pathlib import Path

import pytest
from made_runs import Made, write_made

import robustbench_lite
from robustbench_lite.comparison import Difference, compare
from robustbench_lite.gates.planning import Plan
from robustbench_lite.gates.verdict import GateReport, Match
from robustbench_lite.generative.two_sample import Comparison
from robustbench_lite.outliers.conformal import Threshold
from robustbench_lite.outliers.measures import Estimate
from robustbench_lite.outliers.probe_matrix import Cell
from robustbench_lite.records import RunRecord
from robustbench_lite.reports.comparison_text import comparison_csv, comparison_document
from robustbench_lite.reports.document import document
from robustbench_lite.run_rows import COLUMNS
from robustbench_lite.sweeps import Level, Sweep
from robustbench_lite.tradeoff_rows import _NUMBERS

PACKAGE = Path(robustbench_lite.__file__).parent
DOCS = PACKAGE.parent / "docs" / "run.md"
# What it must not be called -> what it is called.
OTHERS = {
    **dict.fromkeys(("low", "lower", "ci_lower", "lo", "ci_lo"), "ci_low"),
    **dict.fromkeys(("high", "upper", "ci_upper", "hi", "ci_hi"), "ci_high"),
    **dict.fromkeys(("interval", "ci"), "ci_low"),
    **dict.fromkeys(("p_value", "pvalue", "p_mcnemar"), "p_change"),
    **dict.fromkeys(("p_holm", "p_corrected", "p_adjusted"), "p_change_holm"),
    **dict.fromkeys(("n_images", "n_samples"), "n"),
    **dict.fromkeys(("class", "class_"), "class_name"),
    **dict.fromkeys(("false_alarms", "false_alarms_low", "false_alarms_high"), "false_alarms_promised"),
    **dict.fromkeys(("acc", "acc_before", "acc_after"), "accuracy"),
    **dict.fromkeys(("duration", "elapsed", "time"), "seconds"),
}
FIELDS = {
    kind.__name__: kind._fields if hasattr(kind, "_fields") else tuple(kind.__dataclass_fields__)
    for kind in (Difference, Level, Sweep, Cell, Threshold, Estimate, Comparison)
}


def keys(value):
    """All keys of a document; those that are names of something (an attack, a score) would be found, too."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(inner)


def properties(schema):
    """All field names of a pydantic schema, but those of the rule that a verdict repeats as it was written."""
    for name, inner in {"": schema, **schema.get("$defs", {})}.items():
        if name not in ("Rule", "Where", "GateSettings"):
            yield from inner.get("properties", {})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [write_made(folder / name, Made(record={"id": name})) for name in "ab"]


def test_documents_have_the_names_of_the_table(runs):
    found = compare(runs)
    head = comparison_csv(found).splitlines()[0].split(",")
    for names in (set(keys(document(runs[0]))), set(keys(comparison_document(found, [{}]))), set(head)):
        assert {name: OTHERS[name] for name in names & OTHERS.keys()} == {}
    assert {"ci_low", "ci_high", "p_change", "p_change_holm", "n"} <= set(head)
    assert {"ci_low", "ci_high", "n", "class_name"} <= set(keys(document(runs[0])))


@pytest.mark.parametrize("model", [RunRecord, GateReport, Plan], ids=lambda model: model.__name__)
def test_records_have_the_names_of_the_table(model):
    assert {name: OTHERS[name] for name in properties(model.model_json_schema()) if name in OTHERS} == {}


@pytest.mark.parametrize("kind", FIELDS)
def test_what_is_written_field_by_field_has_the_names_of_the_table(kind):
    assert {name: OTHERS[name] for name in FIELDS[kind] if name in OTHERS} == {}
    assert not set(FIELDS[kind]) & {"p"}  # that of a gate alone


def test_rows_have_the_names_of_the_table():
    assert not (set(COLUMNS) | set(_NUMBERS)) & OTHERS.keys()


def test_p_is_that_of_a_gate_alone():
    assert {"p", "p_change"} <= set(Match.model_fields)


@pytest.mark.parametrize("folder", ["cli", "reports", "training", "generative", "outliers", "gates", "."])
def test_no_dictionary_is_written_with_another_name(folder):
    """Documents that take a training or a detector to make, too: read from the source."""
    wrong = []
    for file in sorted((PACKAGE / folder).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                named = {key.value for key in node.keys if isinstance(key, ast.Constant)}
                wrong += [f"{file.name}:{node.lineno}: {name}" for name in named & OTHERS.keys()]
    assert wrong == []


def test_the_table_has_what_is_used():
    section = DOCS.read_text(encoding="utf-8").partition("## Names in JSON and CSV\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (.+?) \|", section, re.MULTILINE))))
    assert set(OTHERS.values()) <= told
    assert not told & OTHERS.keys()
