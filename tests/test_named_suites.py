"""Suites: what is built in can be run, and one's own are what the configuration says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import robustbench_lite as rb
from robustbench_lite import registry
from robustbench_lite.config.schema import SuiteConfig
from robustbench_lite.errors import InputError
from robustbench_lite.names import FAMILIES, PUBLISHED
from robustbench_lite.shifts.published_tables import MAIN
from robustbench_lite.suites import SWITCHES, Suite, find_suite, suites

BUILTIN = suites()


@pytest.mark.parametrize("name", BUILTIN)
def test_every_condition_is_written_as_records_write_it_and_stands_once(name):
    """A gate names a condition as the record does: what a suite says must be that, but for the budget."""
    written = [registry.spec(registry.make(text)) for text in BUILTIN[name].conditions]
    assert written == list(BUILTIN[name].conditions)
    assert len(set(written)) == len(written)
    assert BUILTIN[name].about.startswith("For ")


def test_switches_are_the_shifts_without_severity():
    names = [name for shifts in FAMILIES.values() for name in shifts]
    found = {name for name in names if registry.severity_of(registry.make(name).parts[0]) is None}
    assert found == set(SWITCHES)


def parts(name):
    """Names of the shifts and attacks in a suite."""
    made = [registry.make(text) for text in BUILTIN[name].conditions]
    return {registry.name_of(type(part)) for condition in made for part in condition.parts}


def test_suites_hold_what_they_promise():
    ours = {name for shifts in FAMILIES.values() for name in shifts}
    assert parts("full") & ours == ours
    assert set(BUILTIN["attacks"].conditions) < set(BUILTIN["full"].conditions)
    for family in ("lighting", "optics", "sensor", "geometry"):
        assert len(parts("inspection") & set(FAMILIES[family])) >= 4
    for family in FAMILIES:
        assert parts("standard") & set(FAMILIES[family]), family
    attacks = [registry.make(text).parts[0] for text in BUILTIN["attacks"].conditions]
    assert all(attack.kind == "attack" for attack in attacks)
    free = {attack.norm for attack in attacks if not getattr(attack, "needs_gradient", True)}
    assert free == {"linf", "l2"}
    minimal = {attack.norm for attack in attacks if getattr(attack, "minimal", False)}
    assert minimal == {"linf", "l2", "l1", "l0"}
    assert not any(registry.make(text).attacks for text in BUILTIN["inspection"].conditions)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_set_is_a_suite(name):
    specs = rb.suite(name.replace("_", "-"))
    assert len(specs) == 15 * 5
    assert specs[:2] == [f"{name}(corruption={next(iter(MAIN))}, severity={s})" for s in (1, 2)]


def test_ones_own_has_what_it_includes_first_and_everything_once():
    own = {
        "line": SuiteConfig(
            conditions=("night(severity=3)", "jpeg(severity=3)", "flip"), include=("base", "quick")
        ),
        "base": SuiteConfig(conditions=("clean", "flip"), about="what all have"),
    }
    found = rb.suite("line", own)
    assert found == list(
        dict.fromkeys(["clean", "flip", *rb.suite("quick"), "night(severity=3)", "jpeg(severity=3)"])
    )
    assert find_suite("base", own) == Suite("base", "what all have", ("clean", "flip"))
    assert list(suites(own))[:2] == ["line", "base"]


@pytest.mark.parametrize(
    ("own", "asked", "told"),
    [
        ({}, "inspektion", "unknown suite 'inspektion'. Did you mean 'inspection'?"),
        ({"line": ("flip",)}, "lime", "Did you mean 'line'?"),
        ({"line": ("flip", "+standrd")}, "line", "unknown suite 'standrd'. Did you mean 'standard'?"),
        ({"a": ("+b",), "b": ("+c",), "c": ("+b",)}, "a", "the suite b includes itself: b → c → b."),
        ({"a": ("+a",)}, "quick", "the suite a includes itself: a → a."),
        ({"Quick": ("flip",)}, "quick", "the suite Quick is built in."),
        ({"a": ()}, "a", "the suite a is empty."),
    ],
)
def test_what_is_no_suite_is_refused(own, asked, told):
    configured = {
        name: SuiteConfig(
            conditions=tuple(text for text in texts if text[0] != "+"),
            include=tuple(text[1:] for text in texts if text[0] == "+"),
        )
        for name, texts in own.items()
    }
    with pytest.raises(InputError) as error:
        rb.suite(asked, configured)
    assert told in str(error.value)


PAGE = (Path(__file__).parents[1] / "docs" / "suites.md").read_text(encoding="utf-8")


def documented(name):
    """The conditions that the page says are in a suite, in its order."""
    section = PAGE.partition(f"### `{name}`\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    for conditions, severities in re.findall(r"^\| [\w ,-]+ \| (`.*) \| ([\d, ]*)\|$", section, re.MULTILINE):
        for text in re.findall("`([^`]+)`", conditions):
            if not severities.strip():
                yield text
            for severity in re.findall(r"\d", severities):
                name, bracket, rest = text.partition("(")
                more = f", {rest}" if bracket else ")"
                yield f"{name}(severity={severity}{more}"


@pytest.mark.parametrize("name", ["quick", "standard", "inspection", "attacks"])
def test_the_page_says_what_is_in_a_suite(name):
    assert list(documented(name)) == list(BUILTIN[name].conditions)


@pytest.mark.parametrize("name", BUILTIN)
def test_the_page_says_how_many_conditions_there_are(name):
    assert re.search(rf"^\| [^|]*`{name}`[^|]* \|[^|]*\| {len(BUILTIN[name].conditions)} \|", PAGE, re.MULTILINE)
