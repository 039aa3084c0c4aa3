"""Folded parts of a page: unfolded by mouse, keyboard and links, and printed all the same."""

import pytest
from made_runs import CONDITIONS, Made, write_made

from robustbench_lite.reports.html import html_report

HIDDEN = "Points lost: against the clean images"  # in section 3, which is folded


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    made = [
        Made(conditions=CONDITIONS[:5], examples=1, record={"id": f"20260102T000000Z-attack-{name}"})
        for name in ("one", "two")
    ]
    file = folder / "several.html"
    runs = [write_made(folder / str(i), each) for i, each in enumerate(made)]
    file.write_text(html_report(runs), encoding="utf-8")
    return file


@pytest.mark.parametrize("script", [True, False])
def test_it_unfolds_with_and_without_script_and_prints_all(open_page, several, script):
    opened = open_page(several, java_script_enabled=script)
    page = opened.page
    section = page.locator("section#a-conditions")
    hidden = section.get_by_text(HIDDEN)
    assert not hidden.is_visible()
    section.locator("summary").first.press("Enter")
    assert hidden.is_visible()
    section.locator("summary").first.click()
    assert not hidden.is_visible()
    pdf = page.pdf(format="A4")
    assert page.locator("details:not([open])").count() > 10  # printing leaves them as they were
    page.emulate_media(media="print")
    assert page.get_by_text(HIDDEN).count() == 2
    assert all(found.is_visible() for found in page.get_by_text(HIDDEN).all())
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert abs(len(page.pdf(format="A4")) - len(pdf)) < 2000  # nothing was missing
    if script:
        opened.assert_quiet()


def test_a_link_unfolds_the_section_that_it_leads_to(open_page, several):
    opened = open_page(several)
    page = opened.page
    page.get_by_role("link", name="B3 Clean images").click()
    assert page.locator("section#b-conditions").get_by_text(HIDDEN).is_visible()
    assert not page.locator("section#a-conditions").get_by_text(HIDDEN).is_visible()
    assert abs(page.locator("section#b-conditions").bounding_box()["y"]) < 2
    opened.assert_quiet()


def test_older_browsers_print_folded_parts_by_the_script(open_page, several):
    page = open_page(several).page
    before = page.locator("details[open]").count()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == before


def test_axe_finds_no_violation_in_folded_sections(open_page, several, violations):
    page = open_page(several, color_scheme="dark").page
    assert violations(page, "#a-untested") == []
    assert violations(page, "#a-classes") == []
