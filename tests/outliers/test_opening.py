"""A detector's folder opens by itself, with its networks, and runs nothing that lies in it."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from robustbench_lite import load_classifier, open_detector, registry
from robustbench_lite.classifiers.networks import cnn
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.opening import CLASSIFIER, ClassifierRecord, write_detector
from robustbench_lite.outliers.score import Normals, Parts
from robustbench_lite.weights import CheckpointInfo, save_checkpoint

OWN = """
from dataclasses import dataclass

from robustbench_lite.outliers.score import Score


class Scorer:
    def __init__(self, classifier):
        self.classifier = classifier

    def __call__(self, images):
        return -self.classifier(images).max(1).values

    def state(self):
        return {}


@dataclass(frozen=True)
class Logit(Score):
    needs = "classifier"

    def fit(self, normals, parts):
        return Scorer(parts.classifier)

    def restore(self, state, shape, parts):
        return Scorer(parts.classifier)
"""


def images(n=60, seed=0):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def checkpoint(path):
    info = CheckpointInfo(
        architecture="cnn(width=4)",
        class_names=["a", "b"],
        input_shape=(1, 8, 8),
        mean=[0.5],
        std=[0.25],
        history={},
    )
    save_checkpoint(path, cnn(num_classes=2, input_shape=(1, 8, 8), width=4), info)
    return load_classifier(str(path), device="cpu")


@pytest.fixture
def written(tmp_path):
    """A detector that asks a classifier, in its folder."""
    (tmp_path / "own.py").write_text(OWN)
    classifier = checkpoint(tmp_path / "net.safetensors")
    score = registry.make_one("score", f"{tmp_path / 'own.py'}:Logit")
    detector = fit_detector(Normals(images()), [(score, 1.0)], Parts(classifier))
    record = ClassifierRecord(
        model=str(tmp_path / "net.safetensors"), classes=2, shape=(1, 8, 8), sha256=classifier.weights_sha256
    )
    write_detector(detector, tmp_path / "d", {"data": {}}, classifier=record)
    return detector, tmp_path


def test_it_brings_its_classifier(written):
    detector, place = written
    (place / "net.safetensors").unlink()
    shutil.move(place / "d", place / "elsewhere")
    again = open_detector(place / "elsewhere")
    assert torch.equal(again(images(5, 1)), detector(images(5, 1)))


def test_another_classifier_is_refused(written):
    _, place = written
    torch.manual_seed(3)
    other = checkpoint(place / "other.safetensors")
    with pytest.raises(InputError, match="is not the one"):
        open_detector(place / "d", other)
    shutil.copy(place / "other.safetensors", place / "d" / CLASSIFIER)
    with pytest.raises(InputError, match="is not the one"):
        open_detector(place / "d")


def test_code_in_the_folder_is_not_run(written):
    _, place = written
    (place / "d" / "own.py").write_text("raise SystemError('was run')")
    record = json.loads((place / "d" / "detector.json").read_text())
    record["members"][0]["spec"] = f"{place / 'd' / 'own.py'}:Logit"
    (place / "d" / "detector.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="code of its own"):
        open_detector(place / "d")


def test_a_classifier_that_is_code_must_be_given(written):
    _, place = written
    record = json.loads((place / "d" / "detector.json").read_text())
    record["about"]["networks"]["classifier"]["model"] = "nets.py:factory"
    (place / "d" / "detector.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"--model nets\.py:factory"):
        open_detector(place / "d")
    given = load_classifier(str(place / "net.safetensors"), device="cpu")
    assert open_detector(place / "d", given).parts.classifier is given


def test_a_damaged_description_of_networks_is_told(written):
    _, place = written
    record = json.loads((place / "d" / "detector.json").read_text())
    record["about"]["networks"] = {"classifier": 3}
    (place / "d" / "detector.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="damaged"):
        open_detector(place / "d")


def test_a_network_whose_code_lies_in_the_folder_is_not_run(written):
    _, place = written
    (place / "d" / "nets.py").write_text("raise SystemError('was run')")
    info = CheckpointInfo(
        architecture=f"{place / 'd' / 'nets.py'}:factory",
        class_names=["a", "b"],
        input_shape=(1, 8, 8),
        mean=[],
        std=[],
        history={},
    )
    save_checkpoint(place / "d" / CLASSIFIER, cnn(num_classes=2, input_shape=(1, 8, 8), width=4), info)
    with pytest.raises(InputError, match="no file makes one run"):
        open_detector(place / "d")
