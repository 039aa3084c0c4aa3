"""Names: make and spec are inverses, everything is listed, and what others register works the same."""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import robustbench_lite
from robustbench_lite import descriptions, registry
from robustbench_lite.descriptions import describe
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.registry import canonical_name, load, make, names, spec
from robustbench_lite.shifts.published_tables import CORRUPTIONS
from robustbench_lite.specs import Call
from robustbench_lite.types import Attack, Condition

# torchattacks is a library: its attacks have tests of their own
PARTS = [
    (kind, name)
    for kind in ("attack", "shift")
    for name in sorted(registry.BUILTIN[kind])
    if name != "torchattacks"
]
KINDS = sorted(registry.BUILTIN)
OWN = """
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from robustbench_lite.types import Attack, Cost, Shift


@dataclass(frozen=True)
class Bars(Shift):
    'Black bars.'

    severity: float = 3
    every: int = 4
    place: Literal["rows", "columns"] = "rows"
    shades: tuple[float, ...] = (0.0, 0.5)
    name: str = "a b"

    def __call__(self, images, streams):
        return images


@dataclass(frozen=True)
class Push(Attack):
    'Adds a constant.'

    depth: float
    norm = "linf"

    def max_cost(self):
        return Cost(0, 0)

    def __call__(self, model, images, labels, streams):
        return images


class Plain:
    pass


class NoDataclass(Shift):
    severity = 1.0

    def __call__(self, images, streams):
        return images


def function():
    return Bars()
"""


def values_of(hint: Any) -> st.SearchStrategy:
    """Values of a field's type, on the scales that attacks and shifts use."""
    if hint is type(None):
        return st.none()
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(0, 20)
    if hint is str:
        return st.sampled_from([*CORRUPTIONS])
    if hint is float:
        return st.one_of(
            st.floats(0, 5),
            st.floats(-10, 0),
            st.floats(1000, 20_000),
            st.integers(0, 255).map(lambda n: n / 255),
            st.integers(0, 5).map(float),
            st.integers(0, 5),
            st.floats(0, 1).map(np.float64),
        )
    if hint == tuple[float, ...]:  # a distribution
        counts = st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(any)
        return counts.map(lambda given: tuple(n / sum(given) for n in given))
    if hint == tuple[Attack, ...]:
        members = [make(text).parts[0] for text in ("fgsm", "pgd(steps=3)", "bim(eps=0.1)", "ddn")]
        return st.lists(st.sampled_from(members), max_size=3).map(tuple)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, arguments))
    raise NotImplementedError(f"no strategy for {hint}: add one")


def arguments_of(cls):
    """The fields that a spec can say."""
    return [field for field in dataclasses.fields(cls) if field.compare]


@st.composite
def made(draw, kind, name):
    """An instance with some of its arguments given, each of them possible on its own."""
    cls = load(kind, name)
    hints = typing.get_type_hints(cls)
    needed = [field.name for field in arguments_of(cls) if field.default is dataclasses.MISSING]
    arguments = {name: draw(values_of(hints[name])) for name in needed}
    for field in arguments_of(cls):
        if field.name not in needed and (draw(st.booleans()) or field.name == "attacks"):
            value = draw(values_of(hints[field.name]))
            try:
                cls(**{name: arguments[name] for name in needed}, **{field.name: value})
            except InputError:
                continue
            arguments[field.name] = value
    try:
        return cls(**arguments)
    except InputError:
        return assume(False)


@pytest.mark.parametrize(("kind", "name"), PARTS)
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much])
def test_make_undoes_spec(kind, name, data):
    thing = data.draw(made(kind, name))
    text = spec(thing)
    assert make(text) == Condition((thing,))
    assert spec(make(text)) == text
    assert text.partition("(")[0] == name


@given(data=st.data())
@settings(max_examples=40)
def test_make_undoes_spec_for_chains(data):
    chosen = data.draw(st.lists(st.sampled_from(PARTS), min_size=2, max_size=3))
    condition = Condition(tuple(data.draw(made(*part)) for part in chosen))
    assert make(spec(condition)) == condition


def test_clean_is_the_empty_chain():
    assert make("clean") == make(" clean ") == Condition()
    assert spec(Condition()) == "clean"


def test_what_differs_is_written_differently():
    """Two conditions under one spec would be mixed into one row of the table."""
    off_scale = [make(f"gaussian_noise(severity={s}, sigma=0.1)") for s in (1, 2)]
    assert off_scale[0] != off_scale[1]
    assert spec(off_scale[0]) != spec(off_scale[1])


@pytest.mark.parametrize("text", ["PGD", "pgd", "Pgd"])
def test_case_does_not_matter(text):
    assert spec(make(text)) == "pgd"


@pytest.mark.parametrize("text", ["gaussian_noise", "GaussianNoise", "gaussian-noise", "GAUSSIANNOISE"])
def test_hyphens_and_underscores_do_not_matter(text):
    assert canonical_name("shift", text) == "gaussian_noise"
    assert make(text) == make("gaussian_noise")


def test_severity_is_always_said():
    assert spec(make("night")) == "night(severity=3)"
    assert spec(make("night(severity=3)")) == "night(severity=3)"


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("pdg", "pgd"),
        ("gausian_nois", "gaussian_noise"),
        ("nigth", "night"),
        ("JPG", "jpeg"),
        ("contrst", "contrast"),
        ("dust", "lens_dust"),  # not dusk, which is as like
        ("Motion", "motion_blur"),
        ("colour-temperature", "color_temperature"),
        ("jpeg_compression", "jpeg"),
        ("pgd(step=3)", "steps"),
        ("night(severty=2)", "severity"),
    ],
)
def test_the_nearest_name_is_offered(text, near):
    with pytest.raises(UnknownNameError, match=f"Did you mean {near!r}"):
        make(text)


def test_a_word_of_several_names_offers_them_all():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'gaussian_noise' or .*'shot_noise' or"):
        make("noise")


def test_without_a_near_name_all_are_listed():
    with pytest.raises(UnknownNameError, match=r"Known: .*brightness, .*pgd"):
        make("xyzzy")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pgd(steps=2.5)", "pgd: steps=2.5 is refused"),
        ("pgd(steps=many)", "pgd: steps=many is refused"),
        ("pgd(steps=none)", "pgd: steps=none is refused"),
        ("pgd(norm=l7)", "pgd: norm=l7 is refused: input should be 'linf', 'l2' or 'l1'"),
        ("pgd(random_start=maybe)", "random_start"),
        ("pgd(eps=(1, 2))", "eps="),
        ("night(severity=6)", "severity=6 is out of range"),
        ("cw(eps=0.1)", "cw has no eps"),
    ],
)
def test_values_of_the_wrong_kind(text, told):
    with pytest.raises(InputError, match=told.replace("(", r"\(")):
        make(text)


# What others bring


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A file of one's own, and the same as a module on the path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "own_module_for_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("own_module_for_a_test", None)


@pytest.fixture
def registered(own, monkeypatch):
    """The same under names of their own, as an installed package would register them."""
    points = {
        "attack.push": "own_module_for_a_test:Push",
        "shift.bars": "own_module_for_a_test:Bars",
        "shift.gone": "no_such_module_at_all:Gone",
        "shift.lost": "own_module_for_a_test:Lost",
        "attack.pgd": "own_module_for_a_test:Push",
    }
    found = [EntryPoint(name, where, "robustbench_lite") for name, where in points.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "robustbench_lite" else [])
    registry._entry_points.cache_clear()
    descriptions._source.cache_clear()
    yield
    registry._entry_points.cache_clear()
    descriptions._source.cache_clear()


@pytest.mark.parametrize("where", ["own.py", "./own.py", "own_module_for_a_test"])
@pytest.mark.parametrize(
    "text",
    [
        "{}:Bars(severity=2, every=3, place=columns, shades=(0.1, 8/255, 1), name='x + y')",
        "{}:Bars(severity=3)",
        "{}:Push(depth=0.25)",
        "{}:Bars(severity=1) + pgd(eps=8/255) + {}:Push(depth=1)",
    ],
)
def test_a_class_of_ones_own(own, where, text):
    text = text.format(where, where)
    condition = make(text)
    assert spec(condition) == text
    assert make(spec(condition)) == condition


def test_a_file_is_loaded_once(own):
    assert type(make("own.py:Bars").parts[0]) is type(make("own.py:Bars").parts[0])


def test_an_argument_without_default_is_asked_for(own):
    with pytest.raises(InputError, match=r"own.py:Push needs depth. Write own.py:Push\(depth="):
        make("own.py:Push")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("own.py:Plain", "is neither an attack nor a shift"),
        ("own.py:function", "is neither an attack nor a shift"),
        ("own.py:Bar", "unknown member of own.py 'Bar'. Did you mean"),
        ("own.py:Bars(evry=2)", "Did you mean 'every'"),
        ("gone.py:Bars", "no such file: gone.py"),
        ("gone_module_at_all:Bars", "no module named 'gone_module_at_all'"),
        ("os.path:join", "is neither an attack nor a shift"),
    ],
)
def test_what_is_wrong_with_it_is_told(own, text, told):
    with pytest.raises(InputError, match=told):
        make(text)


def test_conditions_must_be_dataclasses(own):
    part = make("own.py:NoDataclass").parts[0]
    with pytest.raises(InputError, match="NoDataclass is no dataclass"):
        spec(part)


def test_entry_points_are_names_like_any_other(registered):
    assert "push" in names("attack")
    assert canonical_name("shift", "Bars") == "bars"
    condition = make("push(depth=0.5) + bars(severity=1)")
    assert type(condition.parts[0]).__module__ == "own_module_for_a_test"
    assert spec(condition) == "push(depth=0.5) + bars(severity=1)"
    with pytest.raises(UnknownNameError, match="Did you mean 'push'"):
        make("psh(depth=0.5)")


def test_entry_points_do_not_replace_what_is_built_in(registered):
    assert names("attack")["pgd"] == registry.BUILTIN["attack"]["pgd"]


def test_entry_points_are_listed_and_broken_ones_do_no_harm(registered):
    listed = {d.name: d for kind in ("attack", "shift") for d in describe(kind)}
    assert listed["bars"].summary == "Black bars."
    assert listed["bars"].parameters["place"] == "'rows'"
    assert listed["push"].parameters == {"depth": "required"}
    assert listed["gone"].summary == "not importable: no_such_module_at_all:Gone"
    assert listed["lost"].summary.startswith("not importable")
    assert listed["night"].summary
    with pytest.raises(InputError, match="no module named"):
        make("gone")


@pytest.mark.parametrize("source", ["def broken(:", "1 / 0"])
def test_a_package_that_fails_does_not_break_the_list(own, monkeypatch, source):
    package = own / "broken_package_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text(source)
    (package / "shifts.py").write_text(OWN)
    found = [EntryPoint("shift.bars", "broken_package_for_a_test.shifts:Bars", "robustbench_lite")]
    monkeypatch.setattr(registry, "_entry_points", lambda: [(p.name, p.value) for p in found])
    descriptions._source.cache_clear()
    listed = {d.name: d for d in describe("shift")}
    assert listed["bars"].summary.startswith("not importable")
    assert listed["night"].parameters
    descriptions._source.cache_clear()
    with pytest.raises(InputError, match=r"broken_package_for_a_test.shifts fails on import"):
        make("bars")


# What is built in


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_described(kind):
    listed = describe(kind)
    assert [d.name for d in listed] == sorted(registry.BUILTIN[kind])
    for description in listed:
        assert len(description.summary) > 15, description
        assert not description.summary.startswith("not importable")


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_the_description_is_that_of_the_class(kind, name):
    """It is read from the source, without importing; importing must say the same."""
    (listed,) = (d for d in describe(kind) if d.name == name)
    cls = load(kind, name)
    assert cls.kind == kind
    assert listed.summary == (cls.__doc__ or "").partition("\n")[0]
    assert list(listed.parameters) == [f.name for f in arguments_of(cls)]
    for field in arguments_of(cls):
        default = listed.parameters[field.name]
        assert (dataclasses.MISSING if default == "required" else eval(default)) == field.default


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_is_registered_exists(kind):
    for name, where in registry.BUILTIN[kind].items():
        found = load(kind, name)
        assert callable(found)
        assert f"{found.__module__}:{found.__qualname__}" == where
        if isinstance(found, type):
            assert registry.name_of(found) == name
            assert dataclasses.is_dataclass(found)  # a score may have no arguments
            assert found.__dataclass_params__.frozen


def test_every_class_in_the_folders_is_registered():
    """An attack or shift that nobody can name does not exist."""
    folder = Path(robustbench_lite.__file__).parent
    for kind in ("attack", "shift"):
        registered = {where.partition(":")[0].rpartition(".")[2] for where in registry.BUILTIN[kind].values()}
        for file in (folder / f"{kind}s").glob("*.py"):
            bases = {"attack": "Attack", "shift": "ScaledShift|Warp"}[kind]
            if re.search(rf"^@dataclass.*\nclass \w+\(({bases})\):", file.read_text(), re.MULTILINE):
                assert file.stem in registered, file


def test_names_do_not_meet_each_other():
    plain = [registry._plain(name) for kind in ("attack", "shift") for name in names(kind)]
    assert len(set(plain)) == len(plain)


def test_a_factory_with_open_arguments_needs_none():
    def factory(*parts, **options):
        return parts, options

    assert registry.construct(factory, Call("factory")) == ((), {})
    with pytest.raises(UnknownNameError):
        registry.construct(factory, Call("factory", {"parts": 1}))


def test_a_portfolio_holds_its_members():
    condition = make("worst(pgd(steps=20, eps=8/255), fgsm)")
    assert spec(condition) == "worst(pgd(steps=20), fgsm, eps=8/255)"
    assert make(spec(condition)) == condition
    assert spec(make("worst(worst(fgsm, bim), pgd)")) == "worst(worst(fgsm, bim), pgd)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worst", "needs attacks"),
        ("worst(night)", "needs attacks"),
        ("worst(pgd, nothing)", "nothing"),
        ("worst(pgd, fgsm(norm=l2))", "differ in their norm"),
        ("worst(pgd(eps=0.1), fgsm(eps=0.2))", "one budget"),
        ("worst(pgd(eps=0.1), eps=0.2)", "one budget"),
        ("worst(pgd, eps=8)", "8/255"),
        ("pgd(eps)", "name=value"),
    ],
)
def test_what_is_no_portfolio(text, message):
    with pytest.raises(InputError, match=message):
        make(text)
