"""Which image of one run is which of another."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from robustbench_lite.errors import InputError
from robustbench_lite.pairing import check_pairs, paired
from robustbench_lite.runs import Run


def run(ids, correct, *, order=None, manifest="m", classes=("a", "b"), name="run"):
    data = SimpleNamespace(manifest_sha256=manifest, class_names=list(classes), spec="d", n_asked=len(ids))
    rows = pd.DataFrame(
        {
            "index": range(len(ids)) if order is None else order,
            "sample_id": ids,
            "group": None,
            "label": 0,
            "condition": "night",
            "correct": correct,
        }
    )
    return Run(Path(name), SimpleNamespace(data=data), rows)


def test_images_are_found_by_their_content_in_any_order():
    mine = run(["x", "y", "z"], [1, 0, 1])
    theirs = run(["z", "x", "y"], [0, 1, 1])
    both = paired(mine, theirs, "night")
    assert both["sample_id"].tolist() == ["x", "y", "z"]
    assert both["correct"].tolist() == [1, 0, 1]
    assert both["correct_before"].tolist() == [1, 1, 0]


def test_rows_in_another_order_than_the_data_are_paired_by_the_data():
    mine = run(["x", "y"], [1, 0])
    theirs = run(["y", "x"], [1, 0], order=[1, 0])
    assert paired(mine, theirs, "night")["correct_before"].tolist() == [0, 1]


def test_equal_images_are_paired_one_to_one():
    mine = run(["x", "x", "y"], [1, 0, 1])
    theirs = run(["y", "x", "x"], [0, 1, 1])
    both = paired(mine, theirs, "night")
    assert len(both) == 3
    assert both["correct_before"].tolist() == [1, 1, 0]


def test_images_that_one_of_them_lacks_are_left_out():
    assert paired(run(["x", "y"], [1, 1]), run(["y"], [0]), "night")["sample_id"].tolist() == ["y"]


def test_other_images_and_other_classes_are_refused():
    with pytest.raises(InputError, match="other images"):
        check_pairs(run(["x"], [1]), run(["x"], [1], manifest="n"))
    with pytest.raises(InputError, match="other classes"):
        check_pairs(run(["x"], [1]), run(["x"], [1], classes=("b", "a")))
    check_pairs(run(["x"], [1]), run(["x"], [1]))
