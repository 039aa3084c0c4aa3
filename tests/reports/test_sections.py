"""What the sections of the page say, one by one."""

import numpy as np
import pytest
from made_gates import match, report, result
from made_runs import CONDITIONS, Made, write_made
from pages import Page, drawings

from robustbench_lite.comparison import differences
from robustbench_lite.config.schema import ReportConfig
from robustbench_lite.errors import InputError
from robustbench_lite.reports.html import html_report
from robustbench_lite.reports.untested import untested
from robustbench_lite.reports.view import View

ID = "20260101T000000Z-attack-01234567"  # of the made-up run


def spoken(source):
    return Page(source).words.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def another(tmp_path):
    """A second run on the same images, of another network."""

    def make(accuracy=0.9, name="other", **changes):
        conditions = [(s, k, sev, t, min(a, accuracy), g) for s, k, sev, t, a, g in CONDITIONS]
        record = {"id": f"20260102T000000Z-attack-{name}", **changes.pop("record", {})}
        run = write_made(tmp_path / name, Made(**{"conditions": conditions, "record": record, **changes}))
        run.record.model.spec = f"{name}.safetensors"
        return run

    return make


@pytest.mark.parametrize(
    ("verdicts", "shape", "decision"),
    [
        (["PASS"], "✓", "Fit for release by its rules. Its one rule is kept: r0."),
        (["PASS", "PASS"], "✓", "Fit for release by its rules. All 2 rules are kept."),
        (["PASS", "FAIL"], "✗", "Not to be released. 1 of 2 rules is broken: r1."),
        (
            ["INCONCLUSIVE"],
            "?",
            "Not decided. 1 of 1 rule can be neither confirmed nor refuted with so few images: r0.",
        ),
        (["FAIL", "INCONCLUSIVE", "FAIL"], "✗", "2 of 3 rules are broken: r0, r2. Also: 1 more undecided."),
        (["ERROR"], "!", "Not to be released: it was not judged. 1 of 1 rule could not be applied: r0."),
    ],
)
def test_the_verdict_is_one_plain_sentence(make_run, verdicts, shape, decision):
    gates = report(*(result(f"r{i}", v) for i, v in enumerate(verdicts)), run_ids=[ID])
    source = html_report(make_run(), gates=[gates])
    assert decision in spoken(source)
    page = Page(source)
    assert page.text("p")[0] == "Robustness report"
    badge = spoken(source).partition("1 Verdict")[2]
    assert badge.lstrip().startswith(shape)


def test_a_rule_that_only_warns_does_not_decide(make_run):
    gates = report(result("floor"), result("fog", "FAIL", level="warn"), run_ids=[ID])
    words = spoken(html_report(make_run(), gates=[gates]))
    assert "Fit for release by its rules. Its one rule is kept: floor. Not kept, but meant as a" in words
    rules = words.partition("in words, and what next")[2]
    assert rules.index("✓ PASS floor") < rules.index("✗ FAIL warning only fog")


def test_the_gate_table_has_value_interval_limit_n_and_what_next(make_run):
    matches = [
        match("PASS", "night(severity=1)"),
        match("FAIL", "night(severity=5)", value=0.4, ci_low=0.3, ci_high=0.5),
    ]
    gates = report(
        result("night", "FAIL", matches=matches, note="Agreed with the line.", where={"condition": "night(*)"}),
        result("drop", "INCONCLUSIVE", min=None, baseline="runs/main", max_drop=0.01, remedy="Take more images."),
        run_ids=[ID],
    )
    words = spoken(html_report(make_run(), gates=[gates]))
    for expected in (
        "night accuracy under night(*) Agreed with the line. 40.00 % 30.00 to 50.00 % at least 90.0 % 1000",
        "✗ FAIL night( severity=5) 40.00 % 30.00 to 50.00 %",
        "a fall of at most 1.0 point against runs/main",
        "Take more images. About 2000 images would decide.",
        "is at 95 % confidence; the other is further away, as far as Holm’s correction",
    ):
        assert expected in words
    assert words.index("night( severity=5) 40.0") < words.index("night( severity=1) 93.0")  # the worst first


def test_the_verdict_is_read_from_the_run_folder_and_only_its_own(make_run):
    run = make_run()
    file = run.path / "gate.json"
    file.write_text(report(result("night", "FAIL"), run_ids=[ID]).model_dump_json())
    assert "Not to be released. 1 of 1 rule is broken: night." in spoken(html_report(run))
    file.write_text(report(result("night", "PASS"), run_ids=["another"]).model_dump_json())
    words = spoken(html_report(run))
    assert "Not decided: no rule was applied." in words
    assert "gate.json is about another run, and not shown." in words
    file.write_text("{")
    words = spoken(html_report(run))
    assert "Not decided: no rule was applied." in words
    assert "gate.json is damaged" in words


def test_what_was_not_tested_is_told(make_run, another):
    chain = [CONDITIONS[0], ("night(severity=3) + night(severity=3)", "chain", None, [], 0.5, 0)]
    run = make_run(conditions=chain, class_names=[*map(str, range(10)), "scratch"])
    run.samples.loc[run.samples["label"] == 9, "label"] = 8
    told = untested(View(run))
    assert told[0] == "No attack was run: nothing is known about images that somebody changed on purpose."
    assert told[1].startswith("No shift was run for these risks: optics, sensor, weather, digital, geometry.")
    assert "No outlier detector stood beside the network" in told[2]
    assert told[3] == "No image of 2 of 11 classes: 9, scratch."
    assert "Few images of 9 of 11 classes: 0 (10), 1 (10)" in told[4]
    assert "8 (20)" in told[4]
    assert "(--group)" in told[5]
    assert told[-1] == "Objects of no known class were not shown to the network."

    told = " ".join(untested(View(another(data={"n_groups": 25}))))
    assert "No attack was run with a change measured in l1." in told
    assert "At one severity only, so that nothing is known of milder or stronger ones: gaussian_blur." in told
    assert "--group" not in told


def test_a_shard_and_unfinished_conditions_are_told(make_run):
    run = make_run(record={"shard": {"index": 1, "count": 4, "n_whole": 400}})
    run.record.conditions[1].n = 40
    words = spoken(html_report(run))
    assert "PART: shard 1 of 4, with 100 of 400 images." in words
    assert "pgd(eps=0.1): only 40 of 100 images were done" in words


def test_the_difference_to_the_baseline_stands_beside_every_condition(make_run, another):
    run, baseline = make_run(), another(0.6)
    words = spoken(html_report(run, baseline))
    found = {d.condition: d for d in differences(run, baseline)}
    clean = found["clean"]
    assert (clean.broken, clean.mended) == (0, 37)
    low, high = (f"{100 * end:+.1f}" for end in (clean.ci_low, clean.ci_high))
    assert f"+37.0 * {low} to {high} 0, 37" in words
    assert f"({sum(d.beyond_chance for d in found.values())} of 8;" in words
    assert "other.safetensors" in words
    assert "against the baseline" not in spoken(html_report(run))


def test_a_baseline_is_drawn_as_a_line_of_long_dashes(make_run, another):
    run, baseline = make_run(), another(0.6)
    (curve,) = [d for d in drawings(html_report(run, baseline)) if "severity of night" in d.find("title").text]
    (line,) = [p for p in curve.findall("polyline") if p.get("class") == "other"]
    heights = [float(corner.split(",")[1]) for corner in line.get("points").split()]
    assert heights == pytest.approx([150 - 136 * a for a in (0.6, 0.6, 0.6, 0.4)], abs=0.06)
    assert "Baseline: as they are 60.0" in curve.find("desc").text


def test_a_baseline_on_other_images_is_refused(make_run, another):
    with pytest.raises(InputError, match="other images"):
        html_report(make_run(), another(data={"manifest_sha256": "ef" * 32}))


GUARD = {
    "input_shape": [1, 8, 8],
    "members": {"pca": 1.0},
    "threshold": 3.0,
    "false_alarms_promised": 0.05,
    "false_alarms_promised_low": 0.02,
    "false_alarms_promised_high": 0.09,
    "n_calibrated": 200,
    "n_seen": 0,
    "without_gradient": [],
}


@pytest.mark.parametrize(
    ("flagged", "outcome"),
    [
        (0, "The promise was kept: fewer than 5.0 %"),
        (5, "The promise is not refuted: what was seen is compatible with 5.0 %."),
        (
            12,
            "More than the 5.0 % that were promised, but no more than a calibration on 200 images may be off by.",
        ),
        (30, "The promise was not kept: more than 5.0 %"),
    ],
)
def test_false_alarms_promised_and_realised(make_run, flagged, outcome):
    run = make_run(conditions=CONDITIONS[:2], record={"detector": GUARD})
    clean = (run.samples["condition"] == "clean").to_numpy()
    place = run.samples["index"].to_numpy()
    run.samples["outlier"] = np.where(clean, np.where(place < flagged, 4.0, 1.0), 6.0).astype("float32")
    run.samples["flagged"] = (run.samples["outlier"] > 3).astype("int8")
    source = html_report(run)
    assert f"promised 5.0 % realised {flagged}.0 % (" in spoken(source)
    assert outcome in spoken(source)
    unchanged, predictions = (d for d in drawings(source) if "histogram" in d.find("title").text)
    assert f"unchanged: 100 images, median score 1, {flagged}.0" in unchanged.find("desc").text
    assert "changed: 100 images, median score 6, 100.0" in unchanged.find("desc").text
    assert "wrong: 72 images" in predictions.find("desc").text
    for line in unchanged.findall("polyline"):
        points = [tuple(map(float, corner.split(","))) for corner in line.get("points").split()]
        xs, ys = zip(*points, strict=True)
        assert list(xs) == sorted(xs)
        assert min(xs) >= 44
        assert max(xs) <= 288.1
        assert min(ys) >= 14
        assert max(ys) <= 150
        if line.get("class") == "other":  # all of one score: one bar, as high as there can be
            assert ys.count(min(ys)) == 2


def test_scores_that_are_not_finite_are_drawn_at_the_end(make_run):
    run = make_run(conditions=CONDITIONS[:2], record={"detector": GUARD})
    run.samples["outlier"] = np.where(run.samples["index"] % 2, np.inf, 1.0).astype("float32")
    unchanged = next(d for d in drawings(html_report(run)) if "histogram" in d.find("title").text)
    assert "nan" not in unchanged.find("polyline").get("points")


def test_evidence_has_the_configuration_with_its_origins(make_run):
    config = {"model": "net.safetensors", "limit": 100, "root": None}
    run = make_run(
        record={"config": config, "origins": {"model": "rb.toml"}, "resumed": 2, "code_sha256": "9a" * 32}
    )
    words = spoken(html_report(run))
    assert "Configuration model net.safetensors (rb.toml) limit 100 Conditions in full" in words
    assert "taken up again 2 times" in words
    assert "9a" * 32 in words


def test_the_mapping_says_what_is_not_covered_and_claims_nothing(make_run, another):
    words = spoken(html_report(make_run())).partition("What this is evidence for")[2]
    assert "The table claims no compliance with any of these texts" in words
    assert "AI Act, Article 15 (5) adversarial examples, model evasion sections 3 and 8" in words
    assert "data poisoning, model poisoning not covered" in words
    assert "redundancy, such as fail-safe plans not covered" in words
    clean = spoken(html_report(another(conditions=CONDITIONS[:1])))
    assert "adversarial examples, model evasion not covered" in clean
    assert "data perturbation not covered" in clean


def test_the_box_to_sign_names_product_use_and_run(make_run):
    about = ReportConfig(
        title="Release 7",
        product="Line camera",
        organisation="Werk",
        intended_use="Hot strip, by day",
        sign=("Tested by", "Approved by"),
    )
    page = Page(html_report(make_run(), about=about))
    assert page.text("h1") == page.text("title")[:1] == ["Release 7"]
    assert "Robustness report · Werk · Line camera" in page.words
    box = page.words.rpartition("Sign-off")[2]
    for expected in (
        "Line camera",
        "Hot strip, by day",
        ID,
        "not judged",
        "Tested by Name Date Signature",
        "Approved",
    ):
        assert expected in box


def test_several_runs_are_shown_side_by_side_and_one_by_one(make_run, another):
    run, other = make_run(), another(0.6)
    source = html_report([run, other], gates=[report(result("night", "FAIL"), run_ids=[other.record.id])])
    page, words = Page(source), spoken(source)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"].removeprefix("#") for a in page.all("a")]
    assert set(targets) <= set(ids)
    assert "? NOT JUDGED · A" in words
    assert "✗ FAIL · B" in words
    assert "A demo B other.safetensors" in words
    assert "A3 Clean images against every condition" in page.text("h2")
    assert "B9 Evidence" in page.text("h2")
    assert page.text("h2").count("Sign-off") == 1
    assert "clean 97.0 % 91.5 – 99.0 100 60.0 % 50.2 – 69.1 −37.0 *" in words
    overlays = [d for d in drawings(source) if "all runs" in d.find("title").text]
    assert [d.find("title").text for d in overlays] == [
        "Accuracy against severity of night, all runs",
        "Accuracy against eps (l2) of cw(norm=l2), all runs",
    ]
    assert [p.get("class") for p in overlays[0].findall("polyline")] == ["run0", "run1"]


def test_runs_on_other_images_are_shown_without_differences(make_run, another):
    words = spoken(html_report([make_run(), another(data={"manifest_sha256": "ef" * 32})]))
    assert "B was measured on other images than A: their numbers are not paired." in words
    assert "−37.0" not in words


def test_the_run_itself_is_no_baseline(make_run):
    run = make_run()
    with pytest.raises(InputError, match="is the run itself"):
        html_report(run, run)


def test_the_same_run_twice_and_no_run_are_refused(make_run):
    run = make_run()
    with pytest.raises(InputError, match="are the same run"):
        html_report([run, run])
    with pytest.raises(InputError, match="no run"):
        html_report([])


def test_tables_of_several_runs_have_names_of_their_own(make_run, another):
    page = Page(html_report([make_run(), another()]))
    names = [a["aria-label"] for a in page.all("div") if a.get("role") in ("region", "group")]
    assert len(names) == len(set(names)) >= 10


def test_warnings_of_several_runs_are_linked_by_the_run(make_run, another):
    run = make_run()
    assert "against these numbers: see section 2" in spoken(html_report(run))
    source = html_report([run, another()])
    assert "against these numbers: see section A2 and section B2" in spoken(source)
    for mark in "ab":
        assert f'id="{mark}-untested"' in source
        assert f'href="#{mark}-untested">section {mark.upper()}2</a>' in source
