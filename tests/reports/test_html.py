import os

import numpy as np
import pytest
from made_runs import CONDITIONS
from pages import Page, drawings
from PIL import Image

from robustbench_lite.errors import InputError
from robustbench_lite.records import BreakingPoint, CheckRecord
from robustbench_lite.reports.html import html_report, write_report


def test_a_page_says_the_outcome_first_and_then_all_the_rest(make_run):
    page = Page(html_report(make_run()))
    assert page.text("h1") == ["Robustness of demo on digits, test split"]
    assert page.text("h2") == [
        "1 Verdict",
        "2 Warnings, and what was not tested",
        "3 Clean images against every condition",
        "4 Accuracy against severity",
        "5 Classes",
        "6 Examples",
        "7 Outliers",
        "8 Attacks, and trust in the numbers",
        "9 Evidence",
        "What this is evidence for",
        "Sign-off",
    ]
    for expected in (
        "Not decided: no rule was applied.",
        "Of 100 images, this network classifies 97 correctly as they are and 31 under pgd(eps=0.1).",
        "Worst condition of 6: pgd(eps=0.1), 31.0 % correct (95 % interval 22.8 % to 40.6 %)",
        "cw(norm=l2) looks for the smallest change that fools the network: it succeeds on 98.0 %",
        "Accuracy under attack is an upper bound",
        "night(severity=2) + pgd(eps=4/255): gradients are zero on 12 of 100 images",
        "l2, smallest change",
        "severity 2; linf, at most 4/255",
        "22.8 – 40.6",
        "66.0",
        "ab" * 32,
        "cd" * 32,
        "12 345",
        "0123456789abcdef, with uncommitted changes",
        "rb attack --on 'pgd(eps=0.1)'",
        "torch 2.10.0",
        "Signature",
    ):
        assert " ".join(expected.split()) in page.words
    assert "/usr/bin" not in page.words


def test_accuracy_against_eps_is_drawn(make_run):
    source = html_report(make_run(conditions=CONDITIONS[:3]))
    (drawing,) = drawings(source)
    points = [(float(c.get("cx")), float(c.get("cy"))) for c in drawing.iter("circle")]
    assert [x for x, _ in points] == [44, 105, 166, 288]  # 0, a quarter, a half and the whole of the width
    assert [y for _, y in points] == sorted(y for _, y in points)
    assert "eps 0.25 73.2 % (67.5 % to 77.5 %)" in Page(source).words.replace("\N{NO-BREAK SPACE}", " ")
    assert "eps (l2)" in Page(source).words


def test_the_shares_of_a_portfolio(make_run):
    worst = ("worst(fgsm, pgd, eps=0.1)", "attack", None, [{"norm": "linf", "eps": 0.1}], 0.31, 40)
    page = Page(html_report(make_run(conditions=[CONDITIONS[0], worst])))
    assert "Which attack fooled the network" in page.text("h3")
    assert "fgsm 69 69.0 %" in page.words


def test_checks_are_shown_with_the_command_to_run_next(make_run):
    run = make_run()
    seen = CheckRecord(name="noise", status="not run", seen="the attack aims at one class.")
    bad = CheckRecord(
        name="gradients", status="triggered", seen="<b>all</b> were 0.", advice="Look.", command="rb attack -a 'x'"
    )
    run.record.checks.append(CheckRecord(name="logits", status="passed", seen="no probabilities."))
    run.record.conditions[1].checks += [seen, bad]
    page = Page(html_report(run))
    assert "May these numbers be trusted?" in page.text("h3")
    assert not page.all("b")
    for expected in (
        "1 of 3 passed, 1 triggered, 1 not run",
        "pgd(eps=0.1): <b>all</b> were 0.",  # among the warnings
        "rb attack -a 'x'",
        "the attack aims at one class.",
        "no probabilities.",
    ):
        assert expected in page.words


def test_8_bits(make_run):
    words = Page(html_report(make_run(conditions=CONDITIONS[:3]))).words
    assert "still fool as 8-bit" in words
    assert "52 of 69" in words


def test_a_rounded_run_says_so(make_run):
    words = Page(html_report(make_run(conditions=CONDITIONS[:3], record={"as_8bit": True}))).words
    assert "Adversarial images were rounded to 8 bits, within the budget" in words
    assert "still fool as 8-bit" not in words


def test_few_conditions_are_all_named_and_an_unbounded_attack_is_not_the_worst(make_run):
    page = Page(html_report(make_run(conditions=[*CONDITIONS[:3], CONDITIONS[4]])))
    assert (
        "Of 100 images, this network classifies 97 correctly as they are, 31 under pgd(eps=0.1) "
        "and 80 under night." in page.words
    )
    assert "Worst condition of 2: pgd(eps=0.1)" in page.words


@pytest.mark.parametrize(
    ("conditions", "record", "expected"),
    [
        (1, {}, "97 correctly as they are. No attack and no shift was tested."),
        (1, {}, "No attack was run: nothing is known"),
        (2, {}, "No shift was run: nothing is known"),
        (2, {"demo": True}, "the demo network classifies"),
        (2, {"demo": True}, "The numbers say nothing about any network of yours."),
        (2, {"status": "interrupted"}, "INTERRUPTED:"),
        (2, {"status": "failed"}, "FAILED:"),
        (2, {"argv": []}, "not started from the command line"),
        (2, {"git": None}, "not in a repository"),
        (0, {}, "No image was classified: this page holds no result."),
    ],
)
def test_what_must_not_be_overlooked_is_said(make_run, conditions, record, expected):
    made = make_run(conditions=CONDITIONS[: max(conditions, 1)], record=record)
    if conditions == 0:
        made = made.replace(samples=made.samples.iloc[:0])
    assert expected in Page(html_report(made)).words


def test_skipped_images_are_named_up_to_twenty_and_groups_are_mentioned(make_run):
    skipped = [{"file": f"bad-{i}.png", "reason": "truncated"} for i in range(30)]
    made = make_run(data={"n_skipped": 30, "n_asked": 130, "skipped": skipped, "n_groups": 25})
    made.samples["group"] = made.samples["sample_id"].str[-1]
    page = Page(html_report(made))
    assert "30 of 130 images could not be used" in page.words
    assert "bad-19.png" in page.words
    assert "bad-20.png" not in page.words
    assert "(the first 20 of 30)" in page.words
    assert "images of one group are not independent" in page.words


def test_severities_of_one_shift_are_one_curve_that_starts_at_the_clean_images(make_run):
    source = html_report(make_run())
    curve, _ = drawings(source)  # blur has one severity only; the other is against eps
    assert curve.find("title").text == "Accuracy against severity of night"
    assert curve.find("desc").text.startswith(
        "Accuracy: as they are 97.0\xa0% (91.5\xa0% to 99.0\xa0%); severity 1 "
    )
    points = curve.findall("circle")
    xs, ys = ([float(p.get(k)) for p in points] for k in ("cx", "cy"))
    assert len(points) == 4
    assert np.allclose(np.diff(xs) / (xs[-1] - xs[0]), [0.2, 0.4, 0.4], atol=0.01)
    assert ys == sorted(ys)  # 0 is at the top
    assert len(curve.find("polygon").get("points").split()) == 8


def test_curves_differ_by_the_other_arguments_and_reach_beyond_severity_five(make_run):
    specs = [
        ("jpeg(severity=1)", 1),
        ("jpeg(severity=6)", 6),
        ("jpeg(severity=1, color=true)", 1),
        ("jpeg(color=true)", 3),
    ]
    conditions = [("clean", "clean", None, [], 1.0, 0)]
    conditions += [(spec, "shift", float(s), [], 0.5, 0) for spec, s in specs]
    curves = drawings(html_report(make_run(conditions=conditions)))
    assert [c.find("title").text.removeprefix("Accuracy against severity of ") for c in curves] == [
        "jpeg",
        "jpeg(color=true)",
    ]
    assert max(float(p.get("cx")) for p in curves[0].findall("circle")) <= 288


def test_examples_show_four_pictures_and_both_answers_by_name(make_run):
    page = Page(html_report(make_run(class_names=[f"kind {i}" for i in range(10)])))
    images = page.all("img")
    assert len(images) == 7 * 2 * 4
    assert all(
        image["src"].startswith("data:image/webp;base64,") and image["class"] == "small" for image in images
    )
    assert all((image["width"], image["height"], image["loading"]) == ("8", "8", "lazy") for image in images)
    assert images[2]["alt"] == "digit-0.png, difference ×\N{NO-BREAK SPACE}5"
    assert images[3]["alt"].startswith("digit-0.png, where, up to 9.8")  # 25 of 255
    assert "digit-0.png label kind 0 before kind 0 , right after kind 1 , wrong , 87 % sure id id0" in page.words
    roles = page.text("span")
    assert roles.index("worst") < roles.index("ordinary")


def test_the_number_of_examples_is_limited_and_said(make_run):
    page = Page(html_report(make_run(examples=20)))
    assert len(page.all("article")) == 7 * 6
    assert page.text("span").count("ordinary") == 7 * 2
    assert "98 more examples are in the run folder." in page.words


def test_large_pictures_become_small_files(make_run):
    photo = np.asarray(Image.effect_mandelbrot((640, 480), (-2, -1.5, 1, 1.5), 60))
    made = make_run(side=480, conditions=CONDITIONS[:2], examples=2, images=[photo] * 2)
    source = html_report(made)
    assert all(i["src"].startswith("data:image/webp") and "class" not in i for i in Page(source).all("img"))
    assert len(source) < 300_000


@pytest.mark.parametrize("damage", ["missing", "damaged", "cut", "outside", "other size"])
def test_an_example_without_its_pictures_is_still_shown(make_run, tmp_path, damage):
    made = make_run(conditions=CONDITIONS[:2], examples=1)
    file = made.path / made.record.examples[0].changed
    if damage == "missing":
        file.unlink()
    elif damage == "damaged":
        file.write_bytes(b"no picture")
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:60])
    elif damage == "outside":
        file.rename(tmp_path / "elsewhere.png")
        made.record.examples[0].changed = "../elsewhere.png"
    else:
        Image.new("L", (9, 9)).save(file)
    page = Page(html_report(made))
    assert not page.all("img")
    assert "The pictures of this example are missing or damaged." in page.words
    assert "digit-0.png" in page.words


def test_a_report_is_written_whole_or_not_at_all(make_run, tmp_path):
    made = make_run()
    target = tmp_path / "new" / "report.html"
    assert write_report(made, target) == target
    assert write_report(made, target).read_text(encoding="utf-8") == html_report(made)
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]
    assert target.stat().st_mode & 0o777 == 0o666 & ~current_umask()

    taken = tmp_path / "folder"
    (taken / "inside").mkdir(parents=True)
    for place in (taken, target / "below.html"):
        with pytest.raises(InputError, match="cannot write") as caught:
            write_report(made, place)
        assert caught.value.exit_code == 2
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_calibration_flips_and_classes_have_tables(make_run):
    run = make_run()
    run.samples.loc[run.samples["condition"] == "night", "filled"] = 0.125
    page = Page(html_report(run))
    for expected in (
        "Mean accuracy over the range",
        "night 0.100",
        "predictions that flip",
        "15.0 % 12.5 %",  # from 0.95 to 0.8
        "the lowest of a row is marked",
    ):
        assert expected in page.words.replace("\N{NO-BREAK SPACE}", " ")


def test_of_many_classes_the_weakest_are_shown(make_run):
    run = make_run(n=200, class_names=[f"kind {i}" for i in range(40)], examples=0)
    run.samples["label"] = run.samples["index"] % 40
    run.samples["correct"] = (run.samples["label"] >= 5).astype("int8")
    clean = run.replace(samples=run.samples[run.samples["condition"] == "clean"])
    shown = Page(html_report(clean)).words.partition("Accuracy by class")[2]
    assert all(f"kind {i} " in shown for i in range(5))
    assert "28 more classes" in shown


def test_a_breaking_point_is_told_first_and_marked_in_the_drawing(make_run):
    run = make_run()
    point = BreakingPoint(
        shift="night",
        share=0.9,
        tolerance=0.05,
        severity=3,
        ci_low=1,
        ci_high=None,
        scan=[1, 5],
        severities=[1, 3, 5],
        notes=[],
    )
    run.record.breaking_points.append(point)
    source = html_report(run)
    page = Page(source)
    words = page.words.replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "night: the accuracy falls below 90 % of the clean one at severity 3.00, 95 % interval 1.00 – above 5."
        in words
    )
    assert "1 severity that only the search" in words
    curve = drawings(source)[0]
    (span,) = [e for e in curve.iter("rect") if e.get("class") == "span"]
    (fall,) = [e for e in curve.iter("line") if e.get("class") == "fall"]
    (line,) = [e for e in curve.iter("line") if e.get("class") == "sought"]
    assert float(span.get("x")) == pytest.approx(44 + 244 / 5, abs=0.1)
    assert float(span.get("width")) == pytest.approx(244 * 4 / 5, abs=0.1)
    assert float(fall.get("x1")) == pytest.approx(44 + 244 * 3 / 5, abs=0.1)
    assert float(line.get("y1")) == pytest.approx(150 - 136 * 0.9 * 0.97, abs=0.1)
    assert len(curve.findall("circle")) == 4
