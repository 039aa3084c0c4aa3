"""The page in a browser: asks for nothing, harms nobody, can be read by everyone and printed."""

import re

import pytest
from full_page import full_run

from robustbench_lite.reports.html import write_report

PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    return write_report(full_run(folder / "run"), folder / "report.html")


def test_it_asks_for_nothing_and_says_nothing(open_page, report):
    opened = open_page(report)
    page = opened.page
    assert page.locator("main h2").count() > 8
    images = page.locator("img")
    assert images.count() > 20
    # Every picture is one, and keeps its room before it is there.
    assert page.evaluate(
        """Promise.all([...document.images].map(async (image) => {
            image.loading = "eager";
            await image.decode();
            const kept = ["width", "height"].map((side) => +image.getAttribute(side));
            return image.naturalWidth === kept[0] && image.naturalHeight === kept[1];
        })).then((all) => all.every(Boolean))"""
    )
    opened.assert_quiet()


def test_links_and_searching_lead_there(open_page, report):
    page = open_page(report).page
    page.get_by_role("link", name="9 Evidence").click()
    assert abs(page.locator("section#evidence").bounding_box()["y"]) < 2
    assert page.evaluate("window.find('Of 100 images', false, true)")  # backwards, as with Ctrl+F
    assert page.locator("section#verdict").bounding_box()["y"] > -600
    assert page.evaluate("window.find('simulation of light, lens or camera')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(open_page, report, violations, scheme):
    opened = open_page(report, color_scheme=scheme)
    assert violations(opened.page) == []
    opened.assert_quiet()


def test_the_scheme_changes_the_colours(open_page, report):
    def paper(scheme):
        page = open_page(report, color_scheme=scheme).page
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert paper("light") == "rgb(255, 255, 255)"  # and so the policy lets the style in
    assert sum(map(int, re.findall(r"\d+", paper("dark")))) < 120


def test_on_a_phone_only_tables_scroll(open_page, report):
    page = open_page(report, **PHONE).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        """[...document.querySelectorAll("body *")].filter(e => {
            const box = e.getBoundingClientRect();
            return box.right > 391 && box.width > 1 && !e.closest(".scroll");
        }).map(e => e.outerHTML.slice(0, 120))"""
    )
    assert wide == []


def test_it_can_be_read_without_a_script(open_page, report):
    def words(**options):
        page = open_page(report, **options).page
        page.emulate_media(media="print")  # in which all is rendered at once
        return page.inner_text("body").split()

    assert "Signature" in words()
    assert words(java_script_enabled=False) == words()


def test_it_prints_on_a4_with_the_sign_off(open_page, report):
    page = open_page(report, color_scheme="dark").page
    loaded = "[...document.images].filter(i => i.naturalWidth > 0).length"
    assert page.evaluate(loaded) < page.locator("img").count()  # far ones wait
    pdf = page.pdf(format="A4")
    assert page.evaluate(loaded) == page.locator("img").count()
    pages = re.findall(rb"/Type\s*/Page\b", pdf)
    assert 2 <= len(pages) <= 20
    page.emulate_media(media="print")
    assert page.locator(".signoff").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert "Signature" in page.inner_text(".signoff")
    for expected in page.locator("main h2").all():
        assert expected.is_visible()
