"""``rb shift``: whole families, previews, calibrated scales."""

from __future__ import annotations

from robustbench_lite import registry
from robustbench_lite.runs import read_run
from robustbench_lite.shifts.tone import Brightness


def conditions(done):
    return [row["condition"] for row in done.document["results"]]


def of(family):
    return [name for name in registry.names("shift") if registry.family(name) == family]


def test_all_names_every_shift_of_a_family(rb):
    done = rb("shift", "--sensor", "All", "--severity", "1,4", "--limit", 10, "--json")
    assert done.code == 0, done.err
    grey = [name for name in of("sensor") if not registry.load("shift", name).needs_colour]
    assert conditions(done) == ["clean", *(f"{name}(severity={s})" for name in grey for s in (1, 4))]


def test_all_leaves_out_colour_where_there_is_none_and_says_so(rb, monkeypatch):
    monkeypatch.setattr(Brightness, "needs_colour", True)
    done = rb("shift", "--digital", "all", "--severity", 2, "--limit", 10, "--json")
    assert done.code == 0, done.err
    assert "contrast(severity=2)" in conditions(done)
    assert not any(name.startswith("brightness") for name in conditions(done))
    (note,) = [line for line in done.err.splitlines() if "left out" in line]
    assert "1 channel(s)" in note
    assert "brightness" in note
    assert any("brightness" in told for told in read_run(done.document["run"]).record.data.notes)


def test_colour_that_was_asked_for_by_name_is_refused_beside_all(rb, monkeypatch):
    monkeypatch.setattr(Brightness, "needs_colour", True)
    done = rb("shift", "--digital", "all", "--digital", "brightness", "--severity", 2, "--limit", 10)
    assert done.code == 2
    assert "3 channels" in done.err


def test_all_is_refused_where_only_colour_is_left(rb, monkeypatch):
    for name in of("digital"):
        monkeypatch.setattr(registry.load("shift", name), "needs_colour", True)
    done = rb("shift", "--digital", "all", "--limit", 10)
    assert done.code == 2
    assert "changes colour" in done.err
