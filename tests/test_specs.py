"""Spec strings: parse and format are inverses, and nothing in a spec is ever evaluated."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_lite import specs
from robustbench_lite.errors import InputError
from robustbench_lite.registry import make
from robustbench_lite.specs import Call, format_call, format_value, parse, parse_number, parse_value

texts = st.text(max_size=8).filter(lambda text: not ("'" in text and '"' in text))
simple = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 255).map(lambda n: n / 255),
    texts,
)
values = st.one_of(
    simple, st.lists(st.one_of(simple, st.lists(simple, max_size=2).map(tuple)), max_size=2).map(tuple)
)
names = st.sampled_from(["a", "eps", "step_size", "x2", "größe"])
calls = st.builds(
    Call,
    st.one_of(names, st.just("folder/file.py:Class"), st.just("a.b:C")),
    st.dictionaries(names, values, max_size=3),
)


def same(one, other):
    """Equal, where true is not 1 and none is not false. A float that is whole is written like an integer."""
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@given(values)
def test_values_survive(value):
    assert same(parse_value(format_value(value)), value)


@given(st.lists(calls, min_size=1, max_size=2))
def test_chains_survive(chain):
    found = parse(" + ".join(map(format_call, chain)))
    assert [call.name for call in found] == [call.name for call in chain]
    for one, other in zip(found, chain, strict=True):
        assert list(one.arguments) == list(other.arguments)
        assert all(same(one.arguments[k], other.arguments[k]) for k in one.arguments)


@given(st.lists(calls, min_size=1, max_size=2))
def test_what_is_written_once_is_written_so_again(chain):
    text = " + ".join(map(format_call, chain))
    assert " + ".join(map(format_call, parse(text))) == text


def remedy(function, text):
    """None if the function can read the text; it may raise nothing but InputError."""
    try:
        function(text)
    except InputError as error:
        return error.remedy
    return None


@given(st.text(alphabet="pgdfnightclean(),=+-/ .'\"0123456789eE_\n\\é"))
def test_any_text_is_a_condition_or_an_input_error(text):
    assert remedy(parse, text) != ""
    remedy(make, text)


@given(st.one_of(st.text(), st.from_regex(r"[-+0-9eE./ ]{1,12}", fullmatch=True)))
def test_any_text_is_a_number_or_an_input_error(text):
    assert remedy(parse_number, text) != ""


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 400 + "/3", "1/" + "9" * 5000])
def test_numbers_without_end(text):
    with pytest.raises(InputError, match="too long a number"):
        parse_number(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8/255", 8 / 255),
        (" 8 / 255 ", 8 / 255),
        ("-1.5e-3", -0.0015),
        ("+3", 3),
        (".5", 0.5),
        ("5.", 5.0),
        ("007", 7),
        ("-08/255", -8 / 255),
        ("1e5", 100_000.0),
    ],
)
def test_numbers(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["", "eight", "1/2/3", "1//2", "0x10", "1_000", "1e", "--1", "1 2", "٣", "²"])
def test_what_is_no_number(text):
    with pytest.raises(InputError):
        parse_number(text)


def test_zero_divides_nothing():
    with pytest.raises(InputError, match="divides by zero"):
        parse_number("8/0")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8 / 255, "8/255"),
        (0.1, "0.1"),
        (1.0, "1"),
        (0.0, "0"),
        (-0.0, "0"),
        (True, "true"),
        (None, "none"),
        ("linf", "linf"),
        ("none", "'none'"),
        ("8/255", "'8/255'"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ((1, 0.5), "(1, 0.5)"),
        ([1, "a b"], "(1, 'a b')"),
        (1e22, "1e+22"),
        (math.inf, "inf"),
        (Path("a/b.png"), "'a/b.png'"),
        (np.float64(0.1), "0.1"),
        (np.float32(0.5), "0.5"),
        (np.int64(7), "7"),
    ],
)
def test_how_values_are_written(value, text):
    assert format_value(value) == text


@pytest.mark.parametrize("value", [object(), {1: 2}, "both ' and \"", 1j, len])
def test_what_a_spec_cannot_hold_is_told(value):
    with pytest.raises(InputError):
        format_value(value)


@pytest.mark.parametrize(
    "text",
    ["pgd(", "pgd)", "pgd)(", "(", "pgd(eps=1))", "pgd(1)", "pgd(eps==1)", "pgd('a)", "a + ", "+"],
)
def test_what_is_no_spec(text):
    with pytest.raises(InputError) as caught:
        parse(text)
    assert caught.value.remedy


def test_plus_and_comma_inside_brackets_and_quotes_are_no_separators():
    first, second = parse("a(x='1 + 2, (3', y=(1, 2)) + b(z=1e+3)")
    assert first == Call("a", {"x": "1 + 2, (3", "y": (1, 2)})
    assert second == Call("b", {"z": 1000.0})


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch ran')",
        "pgd(eps=__import__('os').system('touch ran'))",
        "pgd(eps=[].__class__)",
        "pgd(eps=open('ran', 'w'))",
        "pgd(eps=2**8)",
        "pgd(eps=1 if True else 2)",
        "pgd(eps=f'{open}')",
        "os:system(command='touch ran')",
        "subprocess:run(args='touch ran', shell=true)",
        "builtins:eval",
        "pathlib:Path",
    ],
)
def test_nothing_is_evaluated(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        make(text)
    assert list(tmp_path.iterdir()) == []


def test_the_source_holds_no_eval():
    source = Path(specs.__file__).read_text()
    assert "eval(" not in source
    assert "exec(" not in source


def test_a_call_may_hold_calls():
    (found,) = parse("worst(pgd(eps=0.1, steps=3), ./mine.py:Mine, square, eps=8/255)")
    assert found.arguments == {"eps": 8 / 255}
    assert [part.name for part in found.parts] == ["pgd", "./mine.py:Mine", "square"]
    assert found.parts[0].arguments == {"eps": 0.1, "steps": 3}
    assert parse(format_call(found)) == [found]
    (nested,) = parse("a(b(c(d=1), e))")
    assert nested.parts[0].parts[0] == Call("c", {"d": 1})
