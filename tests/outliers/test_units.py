"""What is one piece of evidence, and that it stays on one side of every division."""

from __future__ import annotations

import torch

from robustbench_lite import registry
from robustbench_lite.data.groups import units
from robustbench_lite.outliers.detector import divided
from robustbench_lite.outliers.fitting import fit_divided
from robustbench_lite.outliers.gathering import Gathered, divide
from robustbench_lite.outliers.judging import Judged, _counted
from robustbench_lite.outliers.score import Normals
from robustbench_lite.outliers.units import fingerprints


def gathered(groups):
    """100 images, each of them twice."""
    images = torch.rand(100, 1, 12, 12, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1)
    files = tuple(str(i) for i in range(200))
    return Gathered(images, torch.zeros(200, dtype=torch.int64), files, groups, (), ())


def test_fingerprints_know_pixels_only():
    images = gathered(None).images
    assert fingerprints(images[:100]) == fingerprints(images[100:].clone())
    assert len(set(fingerprints(images))) == 100
    assert len(set(fingerprints(torch.tensor([1000.0, 1001.0]).div(65535).view(2, 1, 1, 1)))) == 2


def test_groups_that_share_images_are_one():
    assert units(["x", "y", "x"], None) == ["x", "y", "x"]
    assert units(["1", "2", "3", "4"], ["a", "b", "a", "c"]) == ["a", "b", "a", "c"]
    # b and c share an image, c and a another one; d is alone.
    found = units(["1", "2", "2", "3", "3", "4"], ["a", "b", "c", "c", "a", "d"])
    assert len(set(found[:5])) == 1
    assert found[5] == "d"


def test_equal_images_of_several_groups_stay_together():
    """Every image is there twice, under two names of a part: 100 pieces of evidence, on one side each."""
    images = gathered(tuple(f"part {i}" for i in range(200)))
    division = divide(images, 0.1, 0.25, 0)
    assert division.units == 25
    assert {i % 100 for i in division.fit}.isdisjoint(i % 100 for i in division.calibrate)
    detector = fit_divided(images, division, [(registry.make_one("score", "pca"), 1.0)], 0.1)
    assert detector.threshold is not None
    assert detector.threshold.n == 25
    normals = images.normals(range(200), 0)
    fit_on, tail_on = divided(normals, fingerprints(normals.images))
    assert {i % 100 for i in fit_on}.isdisjoint(i % 100 for i in tail_on)


def test_groups_stay_together():
    images = gathered(None)
    groups = tuple(str(i % 100 // 4) for i in range(200))
    fit_on, tail_on = divided(Normals(images.images, groups=groups), fingerprints(images.images))
    assert {groups[i] for i in fit_on}.isdisjoint(groups[i] for i in tail_on)
    assert sorted(fit_on + tail_on) == list(range(200))
    division = divide(Gathered(images.images, images.labels, images.files, groups, (), ()), 0.2, 0.4, 0)
    assert {groups[i] for i in division.fit}.isdisjoint(groups[i] for i in division.calibrate)
    assert division.units == 10


def test_one_picture_of_a_part_counts_as_in_calibration():
    """Of each piece of evidence the picture of the smallest fingerprint: in testing as in calibrating."""
    import numpy as np
    import pandas as pd

    table = pd.DataFrame({"class_name": ["good"] * 5 + ["bad"]})
    marks, groups = ["9", "1", "5", "5", "2", "0"], np.array(["a", "a", "b", "c", "d", "a"])
    images = Judged(table, np.array([False] * 5 + [True]), groups, None, marks)
    assert _counted(images, np.array([True, False, True, True, False, True])) == (1, 3)
    assert _counted(images, np.array([False, True, False, False, True, True])) == (2, 3)
