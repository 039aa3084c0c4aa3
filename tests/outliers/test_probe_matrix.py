"""The probes are what they are called, and the matrix says of a detector what is true of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from robustbench_lite import load_classifier, load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.pca import PCA
from robustbench_lite.outliers.presets import with_baseline
from robustbench_lite.outliers.probe_images import Probe, probes
from robustbench_lite.outliers.probe_matrix import DETECTOR, probe_matrix
from robustbench_lite.outliers.score import Normals
from robustbench_lite.rng import Streams


def digits(split, n=None):
    return torch.cat([batch.images for batch in load_dataset("digits", split=split).batches(128)])[:n]


@pytest.fixture(scope="module")
def detector():
    return fit_detector(Normals(digits("train")), with_baseline([(PCA(components=10), 1.0)]))


@pytest.fixture(scope="module")
def matrix(detector):
    return probe_matrix(detector, digits("val", 120), probes((1, 8, 8), data="digits"))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 20), (4, 9, 13)])
def test_every_probe_fits_the_images(shape):
    images = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    before, streams = images.clone(), Streams(0, "probe", tuple("abcde"))
    for probe in probes(shape):
        made = probe.make(images, streams)
        assert made.shape == images.shape, probe.name
        assert 0 <= float(made.min()) <= float(made.max()) <= 1, probe.name
        assert not torch.equal(made, images), probe.name
        assert torch.equal(images, before), probe.name
        assert torch.equal(made, probe.make(images, streams)), probe.name


def test_probes_are_what_they_are_called():
    images = digits("val", 6)
    streams, by_name = Streams(0, "probe", tuple("abcdef")), {p.name: p for p in probes((1, 8, 8))}
    made = {name: probe.make(images, streams) for name, probe in by_name.items()}
    assert (made["constant"].flatten(1).std(1) == 0).all()
    assert torch.equal(made["inverted"], 1 - images)
    assert torch.equal(made["shuffled"].flatten(1).sort(1)[0], images.flatten(1).sort(1)[0])
    assert torch.equal(made["rotated 180°"].flip(2, 3), images)
    assert ((made["patch"] != images).flatten(1).sum(1) <= 4).all()  # a square of 2×2


def test_the_own_set_is_no_probe_and_colour_needs_colour():
    assert "digits images" in {p.name for p in probes((1, 8, 8))}
    assert "digits images" not in {p.name for p in probes((1, 8, 8), data="digits")}
    names = {p.name for p in probes((3, 16, 16), shifts=["saturation(severity=4)"])}
    assert "saturation(severity=4)" in names
    assert "saturation(severity=4)" not in {p.name for p in probes((1, 16, 16), shifts=["saturation(severity=4)"])}


def test_adversarial_images_are_a_probe():
    classifier, images = load_classifier("demo"), digits("val", 10)
    probe = probes((1, 8, 8), data="digits", classifier=classifier, eps={"linf": 0.1})[-1]
    made = probe.make(images, Streams(0, "probe", tuple(map(str, range(10)))))
    assert float((made - images).abs().max()) <= 0.1 + 1e-6
    assert (classifier(made).argmax(1) != classifier(images).argmax(1)).sum() >= 8


def test_cells_are_the_auroc(matrix):
    for row in matrix.rows:
        for name, cell in row.cells.items():
            normal, probe = matrix.scores[""][name], matrix.scores[row.probe.name][name]
            truth = np.repeat([0, 1], [len(normal), len(probe)])
            assert cell.auroc == pytest.approx(roc_auc_score(truth, np.concatenate([normal, probe])))
            assert cell.auroc_low <= cell.auroc <= cell.auroc_high


def test_the_worst_comes_first_and_symmetries_last(matrix):
    ordered = [(row.symmetry, row.auroc) for row in matrix.rows]
    assert ordered == sorted(ordered)
    assert matrix.worst is matrix.rows[0]
    assert list(matrix.rows[0].cells) == [DETECTOR, "pca(components=10)", "pca"]


def test_a_symmetry_is_known_from_the_data():
    """Noise looks the same mirrored, and no regression tells; noise is no normal image of a detector of digits."""
    noise = torch.rand(90, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    fitted = fit_detector(Normals(noise[:40]), [(PCA(components=4), 1.0)])
    found = {row.probe.name: row for row in probe_matrix(fitted, noise[40:], probes((1, 8, 8))).rows}
    assert found["mirrored"].symmetry
    assert found["noise"].supervised < 0.9
    assert not found["noise"].symmetry  # only what may be one can be one
    assert found["constant"].supervised > 0.9


def test_a_score_that_prefers_outliers_is_flagged(detector):
    """Whoever looks at the distance from a subspace only finds a dark image most normal of all."""
    dark = Probe("dark", "", lambda images, streams: detector.members[0].scorer.mean.view(1, 1, 8, 8) + 0 * images)
    row = probe_matrix(detector, digits("val", 60), [dark]).rows[0]
    assert row.cells[DETECTOR].prefers_outliers
    assert row.auroc == 0.0


def test_interval_narrows_with_images_and_knows_groups(detector):
    blur = [p for p in probes((1, 8, 8)) if p.name == "overexposed(severity=5)"]
    few, many = (probe_matrix(detector, digits("val", n), blur).rows[0].cells[DETECTOR] for n in (40, 320))
    assert many.auroc_high - many.auroc_low < 0.6 * (few.auroc_high - few.auroc_low)
    images = digits("val", 40)
    doubled = images.repeat(4, 1, 1, 1)  # the same forty parts four times are no more evidence
    grouped = (
        probe_matrix(detector, doubled, blur, groups=[str(i % 40) for i in range(160)]).rows[0].cells[DETECTOR]
    )
    assert grouped.auroc_high - grouped.auroc_low > 0.7 * (few.auroc_high - few.auroc_low)


def test_bad_images_are_refused(detector):
    with pytest.raises(InputError, match="too few"):
        probe_matrix(detector, digits("val", 5), probes((1, 8, 8)))
    with pytest.raises(InputError, match="used for fitting"):
        probe_matrix(detector, digits("train", 50), probes((1, 8, 8)))
