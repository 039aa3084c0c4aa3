"""``rb report``: rules that are applied now, a baseline, several runs."""

import pytest
from made_runs import Made, write_made

CONFIG = """
[report]
title = "Release 7"
product = "Line camera"
[[gate]]
id = "night-floor"
where = { condition = "night(severity=5)" }
min = 0.9
"""


@pytest.fixture
def made(tmp_path):
    def make(name, weights, **changes):
        run = write_made(tmp_path / name, Made(record={"id": f"20260101T000000Z-eval-{name}"}, **changes))
        text = (run.path / "run.json").read_text(encoding="utf-8")
        (run.path / "run.json").write_text(text.replace("ab" * 32, weights * 32), encoding="utf-8")
        return run.path

    return make


def test_the_rules_of_the_file_are_applied_now(rb, made, tmp_path):
    (tmp_path / "rules.toml").write_text(CONFIG, encoding="utf-8")
    run = made("new", "ab")
    done = rb("report", run, "--config", "rules.toml")
    assert done.code == 0, done.err
    assert done.out == f"{run / 'report.html'}\n"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<h1>Release 7</h1>" in page
    assert "1 of 1 rule is broken: night-floor." in page
    assert "Line camera" in page
    assert not (run / "gate.json").exists()
    assert rb("report", run, "--title", "Release 8").code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<h1>Release 8</h1>" in page
    assert "no rule was applied" in page


def test_networks_are_judged_each_for_itself_and_runs_of_one_together(rb, made, tmp_path):
    (tmp_path / "rules.toml").write_text(CONFIG, encoding="utf-8")
    one, same, other = made("one", "ab"), made("same", "ab"), made("other", "cd")
    assert rb("report", one, same, other, "--config", "rules.toml", "--out", "page.html").code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "FAIL · A and B</p>" in page
    assert "FAIL · C</p>" in page


def test_a_baseline_and_what_is_refused(rb, made, tmp_path):
    run, baseline = made("new", "ab"), made("old", "cd")
    done = rb("report", run, "--baseline", baseline, "--out", "page.html")
    assert done.code == 0, done.err
    assert "Against the baseline: points" in (tmp_path / "page.html").read_text(encoding="utf-8")
    done = rb("report", run, run)
    assert done.code == 2
    assert "are the same run" in done.err
    assert "Traceback" not in done.err
    done = rb("report", run, "--baseline", made("far", "ef", data={"manifest_sha256": "12" * 32}))
    assert done.code == 2
    assert "other images" in done.err
