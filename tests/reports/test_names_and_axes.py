"""What headings call networks and data, how far an axis goes, and checks that did not run."""

import time

import pytest
from made_runs import CONDITIONS, Made, write_made
from pages import Page, drawings

from robustbench_lite.records import CheckRecord
from robustbench_lite.reports.budgets import reach, round_values
from robustbench_lite.reports.html import html_report
from robustbench_lite.reports.words import short


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("demo", "demo"),
        ("torchvision:resnet18", "torchvision:resnet18"),
        ("/a/b/net.safetensors", "net.safetensors"),
        ("runs\\b\\net.safetensors", "net.safetensors"),
        ("folder:/a/parts", "folder:parts"),
        ("folder:a/parts/", "folder:parts/"),
        ("folder:/", "folder:/"),
        ("file:/a/b:/c/d", "file:b:d"),
        ("a/mine.py:build", "mine.py:build"),
        ("mine.py:Net(rate=1/2)", "mine.py:Net(rate=1/2)"),
    ],
)
def test_headings_leave_folders_out(spec, expected):
    assert short(spec) == expected


def test_a_long_name_takes_no_time():
    began = time.process_time()
    assert short("a" * 100_000) == "a" * 100_000  # tried from every letter it would be minutes
    assert short("/" * 100_000) == "/" * 100_000
    assert time.process_time() - began < 1


def titled(tmp_path, *specs):
    runs = []
    for i, spec in enumerate(specs):
        made = Made(conditions=CONDITIONS[:1], examples=0, record={"id": f"r{i}"})
        runs.append(write_made(tmp_path / f"{i}", made))
        runs[-1].record.model.spec = spec
        runs[-1].record.data.spec = "folder:/data/steel"
    return Page(html_report(runs))


def test_the_title_names_files_and_the_evidence_their_folders(tmp_path):
    page = titled(tmp_path, "/x/a.safetensors", "/x/b.safetensors", "/y/c.safetensors")
    assert page.text("h1") == [
        "Robustness of a.safetensors, b.safetensors and c.safetensors on folder:steel, test split"
    ]
    assert "B b.safetensors on folder:steel" in page.text("h2")
    assert "NOT JUDGED · A, B and C" in page.words
    assert "/x/b.safetensors" in page.text("dd")


def test_networks_of_one_name_keep_their_folders(tmp_path):
    page = titled(tmp_path, "/x/net.safetensors", "/y/net.safetensors")
    assert page.text("h1")[0].startswith("Robustness of /x/net.safetensors and /y/net.safetensors on folder:steel")


def test_an_axis_ends_where_a_twentieth_is_left_at_round_numbers():
    assert reach([(0, 0.8), (0.1, 0.41), (0.3, 0.04), (11.2, 0)]) == 0.3
    assert reach([(0, 0.8), (0.1, 0.7), (0.3, 0.05)]) == 0.3  # with the last point
    assert reach([(0, 0.0), (2.5, 0.0)]) == 2.5
    assert reach([(0, 1.0)]) == 1.0
    assert round_values(0.3) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert round_values(5) == [0, 1, 2, 3, 4, 5]
    assert round_values(6) == [0, 2, 4, 6]


def test_one_image_that_takes_a_huge_change_does_not_press_the_curve_together(make_run, tmp_path):
    runs = [make_run(conditions=CONDITIONS[:3], examples=0)]
    runs.append(write_made(tmp_path / "b", Made(conditions=CONDITIONS[:3], examples=0, record={"id": "b"})))
    for run in runs:
        curve = run.record.conditions[2].curve
        curve.append(curve[-1].model_copy(update={"eps": 11.2, "accuracy": 0.0}))
    source = html_report(runs)
    both, first, _ = drawings(source)
    for drawing in (both, first):
        ticks = [t.text for t in drawing.iter("text") if t.get("text-anchor") == "middle"]
        assert ticks == ["0", "0.2", "0.4", "0.6", "0.8", "1", "eps (l2)"]
        assert "11.2" in drawing.find("desc").text
    assert max(float(p.get("cx")) for p in first.iter("circle")) == 288
    assert "Drawings against eps end where" in Page(source).words


def test_checks_that_did_not_run_are_among_what_was_not_tested(make_run):
    run = make_run(conditions=CONDITIONS[:2], examples=0)
    told = "1 of 2 trust checks did not run: section 8 says which, and why."
    run.record.checks.append(CheckRecord(name="logits", status="passed", seen="no probabilities."))
    assert told not in Page(html_report(run)).words
    run.record.conditions[1].checks.append(CheckRecord(name="noise", status="not run", seen="left out."))
    assert told in Page(html_report(run)).words
