"""The page's script: tables are sorted and pictures enlarged, with mouse and keyboard."""

import pytest
from full_page import full_run

from robustbench_lite.reports.html import html_report

TABLE = """
<div class="scroll" tabindex="0" role="group" aria-label="made up"><table id="made"><thead><tr>
<th scope="col">name</th><th scope="col" class="n">value</th><th scope="col" class="plot">drawn</th>
<th scope="col">same</th>
</tr></thead><tbody>ROWS</tbody></table></div></main>"""
VALUES = [
    "12.5&nbsp;%",
    "–",
    "−3.0",
    "4/255",
    "1 200",
    "",
    "1e-05",
    "×&nbsp;20",
    "12 of 40",
    "inf",
    "0.5<span class='ends'>9 – 10</span>",
]
ASCENDING = ["−3.0", "1e-05", "4/255", "0.5", "12 of 40", "12.5\xa0%", "×\xa020", "1 200", "inf", "–", ""]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    page = html_report(full_run(tmp_path_factory.mktemp("full") / "run"))
    rows = "".join(
        f"<tr><th scope='row'>image{i}</th><td class='n'>{v}</td><td></td><td>alike</td></tr>"
        for i, v in enumerate(VALUES)
    )
    return page.replace("</main>", TABLE.replace("ROWS", rows))


@pytest.fixture
def opened(open_page, source, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(source, encoding="utf-8")
    return open_page(file)


def column(page, at):
    cells = page.locator(f"#made tbody tr > :nth-child({at})").all_inner_texts()
    return [cell.partition("\n")[0].strip(" \n\t") for cell in cells]


def test_sorting_by_mouse_up_down_and_back(opened):
    page = opened.page
    button = page.get_by_role("button", name="value", exact=True)
    heads = page.locator("#made th[scope=col]")
    before = column(page, 1)
    button.click()
    assert column(page, 2) == ASCENDING
    assert heads.nth(1).get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(page, 2) == [*reversed(ASCENDING[:9]), *ASCENDING[9:]]  # what is missing stays last
    assert heads.nth(1).get_attribute("aria-sort") == "descending"
    button.click()
    assert column(page, 1) == before
    assert heads.nth(1).get_attribute("aria-sort") is None
    assert heads.nth(2).locator("button").count() == 0  # a drawing has no order
    opened.assert_quiet()


def test_sorting_by_keyboard_is_stable_and_knows_numbers_in_names(opened):
    page = opened.page
    name = page.get_by_role("button", name="name", exact=True)
    name.focus()
    page.keyboard.press("Enter")
    assert column(page, 1) == [f"image{i}" for i in range(len(VALUES))]  # 2 before 10
    page.keyboard.press("Space")
    turned = column(page, 1)
    assert turned == [f"image{i}" for i in reversed(range(len(VALUES)))]
    page.get_by_role("button", name="same", exact=True).press("Enter")
    assert column(page, 1) == [f"image{i}" for i in range(len(VALUES))]
    assert page.locator("#made th[aria-sort]").count() == 1
    opened.assert_quiet()


def test_every_table_of_the_page_can_be_sorted(opened):
    page = opened.page
    tables = page.locator(".scroll table")
    assert tables.count() > 5
    for table in tables.all():
        rows = sorted(table.locator("tbody tr").all_text_contents())
        buttons = table.locator("thead button")
        assert (buttons.count() > 0) == (len(rows) > 1)
        for button in buttons.all():
            button.click()
        assert sorted(table.locator("tbody tr").all_text_contents()) == rows
    opened.assert_quiet()


def enlarged(page):
    return page.locator("dialog .file").inner_text(), page.locator("dialog output").inner_text()


def test_pictures_are_enlarged_by_mouse(opened):
    page = opened.page
    examples = page.locator("article.example")
    wanted = examples.nth(2)
    wanted.locator("img").nth(1).click()
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    file, place = enlarged(page)
    assert file == wanted.locator(".file").inner_text()
    assert place.startswith(f"3 of {examples.count()}: {wanted.get_attribute('data-title')}")
    small = wanted.locator("img").first.bounding_box()["width"]
    assert dialog.locator("img").first.bounding_box()["width"] > 1.5 * small
    assert dialog.locator("img").count() == wanted.locator("img").count()
    dialog.get_by_role("button", name="Next").click()
    assert enlarged(page)[1].startswith("4 of")
    dialog.get_by_role("button", name="Previous").click()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    assert wanted.locator("img").first.evaluate("e => e === document.activeElement")  # though another was pressed
    opened.assert_quiet()


def test_pictures_are_enlarged_by_keyboard_and_focus_returns(opened):
    page = opened.page
    pictures = page.locator("main [role=button]")
    count = pictures.count()
    assert count == page.locator("main .pictures").count()
    pictures.nth(0).focus()
    for key in ("Enter", "Space"):
        page.keyboard.press(key)
        assert page.locator("dialog").is_visible()
        assert page.evaluate("document.activeElement.closest('dialog') !== null")
        page.keyboard.press("ArrowLeft")
        assert enlarged(page)[1].startswith(f"{count} of {count}:")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert enlarged(page)[1].startswith("2 of")
        for _ in range(9):  # Tab stays inside
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.closest('main') === null")
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()
        assert pictures.nth(0).evaluate("e => e === document.activeElement")
    opened.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_an_enlarged_picture(opened, violations, scheme):
    page = opened.page
    page.emulate_media(color_scheme=scheme)
    page.locator("main [role=button]").first.press("Enter")
    assert page.locator("dialog").is_visible()
    assert violations(page, "dialog") == []


def test_a_dialog_leaves_the_print_alone(opened):
    page = opened.page
    page.locator("main [role=button]").first.press("Enter")
    page.emulate_media(media="print")
    assert not page.locator("dialog").is_visible()
