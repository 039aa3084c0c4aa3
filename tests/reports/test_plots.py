"""What is drawn are the numbers of the runs, and no name does harm."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from made_runs import Made, write_made
from PIL import Image

from robustbench_lite.errors import InputError
from robustbench_lite.intervals import wilson
from robustbench_lite.reports import plot_data, plots
from robustbench_lite.selective import risk_coverage
from robustbench_lite.sweeps import sweeps

ATTACKS = [(f"pgd(eps={e})", "attack", None, [{"norm": "linf", "eps": e}], 0.9 - 5 * e, 40) for e in (0.1, 0.05)]


@pytest.fixture
def made(tmp_path):
    def make(count=1, models=None, detector=False, **changes):
        found = []
        for i in range(count):
            conditions = [*Made().conditions, *ATTACKS[1:]]
            made = Made(**{"conditions": conditions, "record": {"id": f"r{i}"}, "examples": 0, **changes})
            run = write_made(tmp_path / f"run{i}", made)
            spec = models[i] if models else f"net{i}.safetensors"
            run.record.model.spec = spec
            if detector:
                rows = run.samples
                rows["outlier"] = np.linspace(0, 1, len(rows)).astype("float32")
                run = run.replace(samples=rows)
            found.append(run)
        return found

    return make


def drawn(axes):
    """The curves of a panel: x and y."""
    return [np.column_stack(line.get_data()) for line in axes.get_lines()]


def test_severity_curves_are_those_of_the_sweep(made):
    runs = made(2)
    figure = plots.severity_figure(runs)
    (axes,) = figure.axes
    (sweep,) = (s for s in sweeps(runs[0]) if s.shift == "night")
    assert axes.get_title() == "night"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("severity", "accuracy")
    for curve in drawn(axes):
        assert curve.tolist() == [[level.severity, level.accuracy] for level in sweep.levels]
    band = axes.collections[0].get_paths()[0].vertices
    for level in sweep.levels:
        heights = band[band[:, 0] == level.severity, 1]
        assert heights.min() == pytest.approx(level.ci_low)
        assert heights.max() == pytest.approx(level.ci_high)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["net0.safetensors", "net1.safetensors"]


def test_eps_curves_are_those_of_the_record_and_of_several_eps(made):
    (run,) = made()
    by_title = {axes.get_title(): axes for axes in plots.eps_figure([run]).axes}
    assert list(by_title) == ["linf", "l2"]
    (pgd,), (cw,) = drawn(by_title["linf"]), drawn(by_title["l2"])
    assert pgd.tolist() == [[0, 0.97], [0.05, 0.65], [0.1, 0.31]]
    curve = next(c.curve for c in run.record.conditions if c.curve)
    assert cw.tolist() == [[p.eps, p.accuracy] for p in curve]
    assert by_title["linf"].get_xlabel() == "eps (linf, images in 0 to 1)"


def test_several_runs_have_a_panel_per_attack(made):
    figure = plots.eps_figure(made(2))
    assert [axes.get_title() for axes in figure.axes] == ["pgd", "cw(norm=l2)"]
    assert all(len(axes.get_lines()) == 2 for axes in figure.axes)


def test_the_trade_off_has_a_point_with_a_cross_per_run(made):
    runs = made(2)
    found = plot_data.tradeoff_plot(runs)
    assert [panel.title for panel in found.panels] == [
        "pgd(eps=0.1)",
        "night(severity=2) + pgd(eps=4/255)",
        "pgd(eps=0.05)",
    ]
    line = found.panels[0].lines[1]
    assert (line.x, line.y) == ((0.97,), (0.31,))
    assert (line.low[0], line.high[0]) == pytest.approx(wilson(31, 100))
    assert (line.x_low[0], line.x_high[0]) == pytest.approx(wilson(97, 100))
    axes = plots.tradeoff_figure(runs).axes[0]
    assert [container.lines[0].get_data() for container in axes.containers][1] == ([0.97], [0.31])
    only = plots.tradeoff_figure(runs, lambda spec: spec == "night")
    assert [axes.get_title() for axes in only.axes] == ["night"]


def test_risk_against_coverage_is_that_of_selective(made):
    (run,) = made(detector=True)
    axes = next(a for a in plots.risk_coverage_figure([run]).axes if a.get_title() == "night")
    by_detector, by_confidence = drawn(axes)
    rows = run.samples[run.samples["condition"] == "night"]
    risks = risk_coverage(rows["outlier"].to_numpy(), 1 - rows["correct"].to_numpy())
    for x, y in by_detector:
        assert y == pytest.approx(risks[round(100 * x) - 1])
    assert by_confidence[:, 1] == pytest.approx(0.2)  # all are equally sure
    assert by_detector[0, 0] == 0.2  # 20 images
    assert by_detector[-1].tolist() == pytest.approx([1, 0.2])


def test_a_run_without_a_detector_is_ranked_by_its_confidence(made):
    found = plot_data.risk_coverage_plot(made(2))
    assert [line.label for line in found.panels[0].lines] == [f"net{i}.safetensors, by confidence" for i in (0, 1)]


def test_what_is_missing_is_told_with_the_command(made):
    runs = made(conditions=[("clean", "clean", None, [], 0.9, 0)])
    for kind, command in (("severity", "rb shift"), ("eps", "rb attack"), ("tradeoff", "rb attack --method pgd")):
        with pytest.raises(
            plot_data.NothingToPlotError, match=f"{command}.* --model net0.safetensors --data digits"
        ):
            plots.plot(runs, kind)
    assert plots.plot(runs, "risk-coverage")


def test_bad_input(made):
    runs = made()
    with pytest.raises(InputError, match="unknown kind of plot"):
        plots.plot(runs, "pie")
    with pytest.raises(InputError, match="same run"):
        plots.plot(runs * 2, "severity")
    with pytest.raises(InputError, match="needs a run"):
        plots.plot([], "severity")
    with pytest.raises(InputError, match="unknown format"):
        plots.rendered(plots.plot(runs, "severity"), "bmp")


@pytest.mark.parametrize("format_", ["svg", "pdf", "png"])
def test_the_same_numbers_give_the_same_bytes(made, format_):
    runs = made(2)
    first, second = (plots.rendered(plots.plot(runs, "eps"), format_) for _ in range(2))
    assert first == second


def test_a_size_is_kept_and_dark_is_dark(made):
    figure = plots.plot(made(), "severity", size=(5, 3), dark=True)
    picture = Image.open(io.BytesIO(plots.rendered(figure, "png")))
    assert picture.size == (1000, 600)
    assert max(picture.convert("RGB").getpixel((2, 2))) < 40


def test_settings_of_matplotlib_are_neither_changed_nor_heeded(made):
    runs = made(2)
    plain = plots.rendered(plots.plot(runs, "severity"), "svg")
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        assert plots.rendered(plots.plot(runs, "severity"), "svg") == plain
        assert dict(mpl.rcParams) == before


HOSTILE = ["$\\frac{1}{0}$<script>alert(1)</script>", "_hidden", "网络\u202egnp\x1b[31m.pt", "x" * 10_000]


def test_hostile_names_stay_text_and_leave_room(made):
    runs = made(4, models=HOSTILE, data={"spec": "folder:$x_{</svg>" + "y" * 5000})
    for kind in plot_data.KINDS:
        figure = plots.plot(runs, kind)
        svg = plots.rendered(figure, "svg").decode()
        root = ElementTree.fromstring(svg)
        assert not [e for e in root.iter() if re.search("script|image", e.tag)]
        assert "\x1b" not in svg
        (legend,) = figure.legends
        assert len(legend.get_texts()) == 4
        box, page = legend.get_window_extent(), figure.bbox
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        for axes in figure.axes:  # nothing covers the data
            assert not axes.get_window_extent().overlaps(box)
            assert axes.get_window_extent().width > 0.15 * page.width


def test_names_that_are_equal_are_told_apart(made):
    found = plot_data.severity_plot(made(2, models=["a/net.pt", "b/net.pt"]))
    assert [line.label for line in found.panels[0].lines] == ["net.pt, run0", "net.pt, run1"]


def test_many_shifts_are_small_multiples(made):
    conditions = [("clean", "clean", None, [], 0.97, 0)]
    conditions += [
        (f"fog(k={k}, severity={s})", "shift", s, [], 0.9 - s / 10, 0) for k in range(30) for s in (1, 3)
    ]
    figure = plots.severity_figure(made(conditions=conditions, n=10))
    assert len(figure.axes) == 24
    assert "24 of 30 shown" in figure.get_suptitle().replace("\xa0", " ")
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_lines_differ_without_colour(made):
    lines = plots.severity_figure(made(4)).axes[0].get_lines()
    assert len({line.get_marker() for line in lines}) == 4
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in lines}) == 4


def test_other_images_are_said(made):
    runs = made(2)
    runs[1].record.data.manifest_sha256 = "other"
    found = plot_data.severity_plot(runs)
    assert [line.label for line in found.panels[0].lines] == [f"net{i}.safetensors, on digits" for i in (0, 1)]


def test_an_unfinished_run_is_marked(made):
    (run,) = made(record={"id": "r", "status": "interrupted"})
    assert "not\xa0finished" in plots.severity_figure([run]).get_suptitle()
