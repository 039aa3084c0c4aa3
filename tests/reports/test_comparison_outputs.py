"""A comparison in every format: the numbers are those of the comparison, and texts stay text."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
from made_runs import Made, write_made
from pages import Page
from rich.console import Console

from robustbench_lite.changed_images import changed_images
from robustbench_lite.comparison import Other, compare
from robustbench_lite.reports import comparison_words as words
from robustbench_lite.reports.comparison_html import comparison_html
from robustbench_lite.reports.comparison_table import changed_table, comparison_tables
from robustbench_lite.reports.comparison_text import (
    changed_csv,
    comparison_csv,
    comparison_document,
    comparison_markdown,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "::error::no",
    "\x1b[31mred\x1b[0m",
    "a|b`c`\n# d",
    "\u202egnp.exe",
    '"quoted", and; more',
    "x" * 10_000,
    "@everyone #1",
    "[link](javascript:alert(1))",
]


def worse(rows):
    """Under night: 25 images break, 5 are mended (80 of 100 are right)."""
    night = rows["condition"] == "night"
    breaks, mends = night & (rows["index"] < 25), night & rows["index"].isin(range(80, 85))
    rows.loc[breaks, "correct"], rows.loc[mends, "correct"] = 0, 1
    rows.loc[breaks, "prediction"] = (rows.loc[breaks, "label"] + 1) % 10
    rows.loc[mends, "prediction"] = rows.loc[mends, "label"]
    return rows


@pytest.fixture
def made(tmp_path):
    """A comparison of two or more runs, and all images that changed."""

    def make(count=2, limit=None, **changes):
        runs = []
        for i in range(count):
            record = {"id": f"run{i}"}
            run = write_made(tmp_path / f"run{i}", Made(record=record, **changes))
            runs.append(run.replace(samples=worse(run.samples)) if i else run)
        found = compare(runs)
        specs = [d.condition for d in found.compared[0].differences if d.broken + d.mended]
        return found, [changed_images(one.run, found.baseline, specs, limit) for one in found.compared]

    return make


def printed(tables, width):
    console = Console(width=width, file=io.StringIO(), highlight=False)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def test_words(made):
    found, _ = made()
    (sentence,) = words.sentences(found)
    assert sentence == "B is worse than A on 1 of 8 conditions, beyond chance."
    assert words.strongest(found) == [
        "B falls most under night: −20.0 points (−29.8 to −9.4), 25 broken, 5 mended."
    ]
    assert words.correction(found).startswith("1 of 8 differences are beyond chance")


def test_a_calibration_error_is_a_number_and_a_share_is_none():
    assert words.other(Other("ece", 0.034, 0.2)) == ("0.034", "0.2")
    assert words.other(Other("median_l2", 0.5, None)) == ("0.5", "–")
    assert words.other(Other("caught", None, 0.25)) == ("–", "25.0\N{NO-BREAK SPACE}%")


def test_letters():
    assert [words.letter(i) for i in (0, 25, 26, 27, 701, 702)] == ["A", "Z", "AA", "AB", "ZZ", "AAA"]


def test_points_have_no_minus_before_zero():
    assert [words.points(x) for x in (-0.0004, 0.0, 0.0006, -0.1, 0.125)] == [
        "0.0",
        "0.0",
        "+0.1",
        "−10.0",
        "+12.5",
    ]


def test_the_table_has_a_block_per_run_where_there_is_room(made):
    found, changed = made(3)
    wide, narrow = comparison_tables(found, 200), comparison_tables(found, 100)
    assert (len(wide), len(narrow)) == (1, 2)
    text = printed(wide, 200)
    (line,) = [line for line in text.splitlines() if re.match(r"│ night +│", line)]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    run = ["60.0\u00a0%", "−20.0 ✱", "−29.8 to −9.4", "0.0052", "25", "5"]
    assert cells == ["night", "100", "80.0\u00a0%", *run, *run]
    listed = printed([changed_table(found.compared[0].run, "B", changed[0])], 140)
    assert listed.count("broken") == 25
    assert listed.count("mended") == 5


def test_json_has_everything(made):
    found, changed = made()
    document = json.loads(json.dumps(comparison_document(found, changed), allow_nan=False))
    (run,) = document["runs"]
    night = next(d for d in run["differences"] if d["condition"] == "night")
    assert (night["before"], night["after"]) == (0.8, 0.6)
    assert (night["n"], night["broken"], night["mended"]) == (100, 25, 5)
    assert night["p_change_holm"] == pytest.approx(8 * night["p_change"])
    assert night["beyond_chance"]
    assert len(night["broken_images"]) == 25
    assert night["broken_images"][0]["file"] == "digit-0.png"
    assert night["others"]["worst_class"]["note"] == "0"
    assert (document["tested"], document["beyond_chance"]) == (8, 1)


def test_a_confidence_that_is_none_is_null(made):
    found, changed = made()
    (images,) = changed
    images["night"].broken[0] = images["night"].broken[0]._replace(confidence_after=np.nan)
    document = comparison_document(found, changed)
    json.dumps(document, allow_nan=False)
    night = next(d for d in document["runs"][0]["differences"] if d["condition"] == "night")
    assert night["broken_images"][0]["confidence_after"] is None


def test_csv_is_read_back(made):
    found, changed = made(3)
    rows = list(csv.DictReader(io.StringIO(comparison_csv(found))))
    assert len(rows) == 16
    night = next(row for row in rows if row["condition"] == "night")
    expected = next(d for d in found.compared[0].differences if d.condition == "night")
    for name in ("before", "after", "difference", "ci_low", "ci_high", "p_change", "p_change_holm"):
        assert float(night[name]) == getattr(expected, name)
    assert night["beyond_chance"] == "1"
    images = list(csv.DictReader(io.StringIO(changed_csv(found, changed))))
    assert len(images) == 2 * 30
    assert images[0]["change"] == "broken"


def test_markdown_is_a_table(made):
    text = comparison_markdown(*made())
    line = re.findall(r"^\| night \|.*$", text, re.MULTILINE)[0]
    assert line.split(" | ")[2:6] == ["80.0\u00a0%", "60.0\u00a0%", "−20.0 ✱", "−29.8 to −9.4"]
    assert text.count("<details>") == text.count("</details>") == 2


def test_the_page_shows_what_the_run_has_pictures_of(made):
    found, changed = made(examples=4)
    page = Page(comparison_html(found, changed, 3))
    assert page.all("script") == [{}]
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy
    # Images 0 to 3 have examples under night; 3 are shown: as they are, and as either network saw them.
    assert len(page.all("img")) == 6
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert "25 broken, 5 mended" in page.words
    assert "6 of 30 as a list" in page.words


def test_the_page_of_many_runs_has_a_block_each(made):
    found, changed = made(4)
    page = Page(comparison_html(found, changed, 0))
    assert [h for h in page.text("span") if " against " in h] == [f"{x} against A" for x in "BCD"]
    assert page.all("img") == []


def test_pictures_of_saved_images_are_found(made, tmp_path):
    found, changed = made(examples=0)
    (one,) = found.compared
    for spec, folder in (("clean", "00-clean"), ("night", "04-night")):
        place = one.run.path / "saved" / folder
        place.mkdir(parents=True)
        from made_runs import png

        png_bytes = png(np.full((8, 8), 99 if spec == "clean" else 20, np.uint8))
        for i in range(3):
            (place / f"{i:06d}-id{i}.png").write_bytes(png_bytes)
        record = next(c for c in one.run.record.conditions if c.spec == spec)
        record.saved = f"saved/{folder}.npz"
    page = Page(comparison_html(found, changed, 12))
    assert len(page.all("img")) == 6  # three images, as they are and changed


def test_hostile_texts_stay_text(made):
    found, changed = made(class_names=HOSTILE, file="../<b>{}'\x1b[2J::error::\u202e|`", examples=2)
    # HTML
    source = comparison_html(found, changed, 5)
    page = Page(source)
    assert page.all("script") == [{}]
    assert page.all("b") == []
    # terminal
    tables = [*comparison_tables(found, 100), changed_table(found.compared[0].run, "B", changed[0])]
    text = printed(tables, 100)
    assert "\x1b[2J" not in text
    assert "::error" not in text
    # Markdown
    markdown = comparison_markdown(found, changed)
    assert "<script" not in markdown
    assert "<b>" not in markdown
    # CSV
    for row in csv.reader(io.StringIO(changed_csv(found, changed))):
        assert not any(re.match(r"\s*[=+@]", cell) for cell in row)
    for output in (source, text, markdown, comparison_csv(found), changed_csv(found, changed)):
        assert "\x1b[31m" not in output
        assert "\u202e" not in output
    json.dumps(comparison_document(found, changed), allow_nan=False)


def test_an_unfinished_run_and_a_demonstration_are_marked(made):
    found, changed = made()
    (one,) = found.compared
    record = one.run.record.model_copy(update={"status": "interrupted", "demo": True})
    again = compare([found.baseline, one.run.replace(record=record)])
    assert any("interrupted" in note for note in words.notes(again))
    page = Page(comparison_html(again, changed, 1))
    assert any("INTERRUPTED" in text for text in page.text("p"))
    assert "B and A: The run is interrupted" in comparison_markdown(again, changed)


def test_hostile_data_devices_and_conditions_stay_text_in_markdown(made):
    changes = {"data": {"spec": "folder:[x](javascript:a)<b>", "split": "@everyone"}, "examples": 0}
    changes["conditions"] = [
        ("clean", "clean", None, [], 0.9, 0),
        ("night(a='<i>[x](u)')", "shift", 3.0, [], 0.8, 0),
    ]
    found, _ = made(**changes)
    (one,) = found.compared
    rows = one.run.samples
    rows.loc[rows["condition"] != "clean", "correct"] = 0
    one.run.record.device = "<u>`cuda`@everyone"
    again = compare([found.baseline, one.run])
    changed = [changed_images(one.run, again.baseline, [d.condition for d in one.differences])]
    title, _, rest = comparison_markdown(again, changed).partition("\n")
    assert title.startswith("# ")
    sentences, _, notes = rest.partition("**Read with care**")
    sentences = sentences.partition("\n| ")[0]
    for part in (title, sentences, notes):
        assert not re.search(r"<[ibu]>|(?<!\\)\[x|@everyone|(?<!\\)`cuda", part)
    assert "everyone" in title
    assert "night" in sentences
    assert "cuda" in notes
