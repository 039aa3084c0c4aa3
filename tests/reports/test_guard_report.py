"""The detector beside the classifier in table, document and page."""

import io

import numpy as np
import pytest
from made_runs import CONDITIONS
from pages import Page, drawings
from rich.console import Console

from robustbench_lite.metrics import summarise
from robustbench_lite.reports.document import document
from robustbench_lite.reports.guard import guard_tables
from robustbench_lite.reports.html import html_report
from robustbench_lite.reports.words import warnings

DETECTOR = {
    "folder": "guards/[objects]",
    "sha256": "ef" * 32,
    "input_shape": [1, 8, 8],
    "members": {"pca(components=12)": 1.0, "pca": 0.0},
    "threshold": 3.25,
    "false_alarms_promised": 0.05,
    "false_alarms_promised_low": 0.029,
    "false_alarms_promised_high": 0.072,
    "n_calibrated": 375,
    "n_seen": 7,
    "without_gradient": [],
}


@pytest.fixture
def guarded(make_run):
    def make(**changes):
        run = make_run(record={"detector": {**DETECTOR, **changes}}, conditions=CONDITIONS[:5])
        n = len(run.samples)
        run.samples["outlier"] = np.linspace(0, 8, n).astype("float32")
        run.samples["flagged"] = (run.samples["outlier"] > 3.25).astype("int8")
        return run

    return make


def shown(run, width):
    console = Console(width=width, file=io.StringIO())
    for table in guard_tables(run, summarise(run), width):
        console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize(("width", "last"), [(80, "slips"), (100, "false alarms"), (140, "by confidence")])
def test_the_table_fits_and_says_what_it_is(guarded, width, last):
    text = shown(guarded(), width)
    assert max(map(len, text.splitlines())) <= width
    for needed in ("passes", "accuracy", "caught", "guards/[objects]", "pgd(eps=0.1)"):
        assert needed in text
    words = " ".join(text.split())
    assert f" {last} " in words.replace("┃", " ")
    heads = text.partition("condition")[2].splitlines()[0]
    assert heads.index("accuracy") < heads.index("95 % interval") < heads.index("caught")
    assert ("wider terminal" in words) == (width < 140)
    assert "promises 5.0 % false alarms" in words


def test_without_a_detector_the_page_says_that_there_was_none(make_run):
    run = make_run(conditions=CONDITIONS[:3])
    assert shown(run, 100) == ""
    assert "No detector stood beside the network" in Page(html_report(run)).words
    assert {r["detector"] for r in document(run)["results"]} == {None}


def test_the_document_has_the_numbers_and_the_detector(guarded):
    run = guarded()
    found = document(run)
    assert found["detector"]["folder"] == "guards/[objects]"
    clean = found["results"][0]["detector"]
    assert clean["passed"] == 1
    assert clean["accuracy_passed"] == pytest.approx(0.97)
    assert len(clean["curve"]) == 20


def test_the_page_has_a_section_with_both_curves(guarded):
    source = html_report(guarded())
    page = Page(source)
    assert "No detector" not in page.words
    risks = [d for d in drawings(source) if "Risk" in d.find("title").text]
    assert len(risks) == 5
    for drawing in risks:
        for line in drawing.iter("polyline"):
            corners = [tuple(map(float, corner.split(","))) for corner in line.get("points").split()]
            assert len(corners) == 20
            assert all(44 <= x <= 288 and 14 <= y <= 150 for x, y in corners)
            assert corners == sorted(corners)
    assert "guards/[objects]" in page.words
    assert "ef" * 32 in page.words


def test_images_that_the_detector_knows_are_warned_of(guarded):
    run = guarded()
    (warning,) = [w for w in warnings(run) if "detector" in w]
    assert "7 of the 100 images" in warning
    assert warning in Page(html_report(run)).words


def test_of_others_there_is_no_warning(guarded):
    assert not [w for w in warnings(guarded(n_seen=0)) if "detector" in w]
