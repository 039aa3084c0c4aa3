"""Every attack refuses what cannot be, and says which attack it is."""

import dataclasses

import numpy as np
import pytest

from robustbench_lite import registry
from robustbench_lite.applying import check_fits
from robustbench_lite.errors import InputError

# torchattacks is a library, with tests of its own
ATTACKS = sorted(set(registry.BUILTIN["attack"]) - {"torchattacks"})
BAD = {
    "eps": ["8", "-0.1", "inf"],
    "norm": ["l7"],
    "loss": ["hinge"],
    "target": ["likeliest"],
    "steps": ["-1", "0", "1.5"],
    "search_steps": ["-1", "0"],
    "restarts": ["-1", "0"],
    "queries": ["-1", "0"],
    "population": ["-1", "0"],
    "candidates": ["-1"],
    "pixels": ["-1", "0"],
    "step_size": ["-1"],
    "gamma": ["-1"],
    "c": ["-1", "0"],
}


def arguments(name):
    return {field.name for field in dataclasses.fields(registry.load("attack", name))}


def spec(name, argument):
    return f"{name}(fgsm, {argument})" if "attacks" in arguments(name) else f"{name}({argument})"


CASES = [
    (name, f"{argument}={value}")
    for name in ATTACKS
    for argument in sorted(arguments(name) & set(BAD))
    for value in BAD[argument]
]


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_a_bad_value_is_refused_by_name(name, argument):
    with pytest.raises(InputError) as caught:
        registry.make(spec(name, argument))
    assert str(caught.value).startswith(f"{name}: {argument}")


@pytest.mark.parametrize("name", ATTACKS)
def test_an_unknown_argument_is_refused_by_name(name):
    with pytest.raises(InputError, match=f"unknown argument of {name} 'sharpness'"):
        registry.make(spec(name, "sharpness=1"))


@pytest.mark.parametrize("name", [name for name in ATTACKS if "target" in arguments(name)])
def test_a_target_that_is_every_label_is_refused(name):
    labels = np.ones(5, dtype=np.int64)
    with pytest.raises(InputError, match=f"^{name}: target=1 is the label of every image of data"):
        check_fits([registry.make(spec(name, "target=1"))], "data", labels, 3, (1, 8, 8))


@pytest.mark.parametrize("name", [name for name in ATTACKS if "eps" in arguments(name)])
def test_a_budget_of_the_member_of_a_chain_is_refused_by_its_name(name):
    with pytest.raises(InputError, match=rf"^{name}: eps=8 .*Did you mean eps=8/255"):
        registry.make("night + " + spec(name, "eps=8"))
