"""The pages of the shifts: complete, and with the numbers of the code."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from robustbench_lite import registry
from robustbench_lite.names import FAMILIES
from robustbench_lite.shifts.elastic import _ALPHA_PX, _SIGMA_PX
from robustbench_lite.shifts.published_tables import CORRUPTIONS

DOCS = Path(__file__).parents[2] / "docs"
PLACES = [(family, name) for family, shifts in FAMILIES.items() for name in shifts]


def page(family):
    return (DOCS / f"shifts-{family}.md").read_text(encoding="utf-8")


def section(family, name):
    """What stands below the heading that names the shift."""
    (found,) = re.findall(rf"^## .*`{name}`.*\n((?:(?!## ).*\n)*)", page(family), re.MULTILINE)
    return found


def numbers(text):
    plain = text.replace("−", "-").replace(",", "").replace("±", "")
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", plain)]


def rows(text):
    """The numbers in the last five cells of every row that has one in each of them."""
    cells = [line.strip("|").split("|")[-5:] for line in text.splitlines() if line.startswith("|")]
    return [[numbers(cell)[0] for cell in row] for row in cells if all(map(numbers, row))]


@pytest.mark.parametrize(("family", "name"), PLACES)
def test_the_index_leads_to_a_section_that_says_what_is_not_modelled(family, name):
    index = (DOCS / "shifts.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| \[`{name}`\]\(shifts-{family}\.md#[\w-]+\) \| .+ \|$", index, re.MULTILINE)
    assert "**Not modelled:**" in section(family, name)


@pytest.mark.parametrize(("family", "name"), PLACES)
def test_every_level_stands_on_the_page(family, name):
    """But not those that are the same at all severities, which the text has."""
    where = page(family) if family == "geometry" else section(family, name)
    for argument, declared in registry.load("shift", name).arguments().items():
        levels = declared.levels or ()
        for scale in levels.values() if isinstance(levels, Mapping) else [levels]:
            if len({*scale[1:]}) > 1 and argument != "alpha_px":
                assert pytest.approx(scale[1:], rel=1e-3) in rows(where), (argument, scale)


def test_the_levels_of_elastic_are_told_by_how_far_places_move():
    for side, alpha in _ALPHA_PX.items():
        moved = [a / (6.14 * s) / side for a, s in zip(alpha, _SIGMA_PX[side], strict=True)]
        assert pytest.approx(moved[1:]) in rows(page("geometry"))


@pytest.mark.parametrize("published", ["imagenet_c", "tiny_imagenet_c", "cifar10_c"])
def test_the_published_tables_are_those_of_the_page(published):
    lines = [line.split("|") for line in section("published", published).splitlines()]
    shown = {cells[1].strip(" `"): cells[3:8] for cells in lines if len(cells) == 9}
    for name, corruption in CORRUPTIONS.items():
        for severity, cell in enumerate(shown[name], 1):
            assert numbers(cell) == [*corruption.at(published, severity).values()], (name, severity)
