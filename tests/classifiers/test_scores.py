"""Functions that return scores: what they are given, what they may return, and what works on them."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite import descriptions, registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import build_network, load_classifier
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.runs import read_run

FILE = """
import numpy as np

CALLS = []


def plain(images, sharpness=1.0):
    halves = np.array_split(images.numpy().reshape(len(images), -1), 10, axis=1)
    return sharpness * np.stack([half.mean(1) for half in halves], 1)


def factory(sharpness: float):
    return lambda images: plain(images, sharpness)


def third_time_bad(images):
    CALLS.append(len(images))
    if sum(CALLS) > 60:
        raise ConnectionError("the service is gone")
    return plain(images)


def number():
    return 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)


def ten(images):
    parts = images.flatten(1)[:, :60].reshape(len(images), 10, 6)
    return parts.mean(2)


def test_scores_may_be_a_tensor_an_array_or_lists():
    x = torch.rand(3, 1, 8, 8)
    for function in (ten, lambda z: ten(z).numpy().astype(np.float64), lambda z: ten(z).tolist()):
        scores = Classifier(function)(x)
        assert scores.dtype == torch.float32
        assert torch.allclose(scores, ten(x))


def test_a_function_cannot_change_the_images_of_an_attack():
    def spoiling(images):
        images.zero_()
        return torch.ones(len(images), 2)

    x = torch.rand(2, 1, 4, 4)
    before = x.clone()
    Classifier(spoiling)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, r"returns nothing \(None\)"),
        ("seven", "returns a str that holds no numbers"),
        ([[1.0, 2.0], [1.0]], "returns a list of no shape"),
        (np.ones((1, 3)), r"numbers of shape \(1, 3\) for 2 images"),
        (np.ones(2), r"numbers of shape \(2,\) for 2 images"),
        (torch.ones(2, 1), r"numbers of shape \(2, 1\) for 2 images"),
        (torch.tensor([[0.0, 1.0], [0.0, torch.nan]]), "NaN or infinity for 1 of 2 images"),
    ],
)
def test_nonsense_is_named_with_what_was_wanted(answer, message):
    def oracle(images):
        return answer

    with pytest.raises(InputError, match=message) as error:
        Classifier(oracle)(torch.rand(2, 1, 4, 4))
    assert "oracle" in str(error.value)
    assert "(2, number of classes)" in str(error.value)


def test_what_is_no_function_is_refused():
    for thing in (3, nn.Linear):
        with pytest.raises(InputError, match="needs a network or a function"):
            Classifier(thing)


def test_a_gradient_attack_is_refused_before_the_function_is_called():
    def never(images):
        pytest.fail("called")

    data = load_dataset("digits", first=4)
    for spec in ("pgd", "night + fgsm"):
        with pytest.raises(InputError, match=r"never is a function that returns scores.*evolution.*square"):
            evaluate(Classifier(never), data, ["square(queries=5)", spec])


def test_a_network_without_gradient_gets_the_same_list():
    class Cut(nn.Module):
        def forward(self, x):
            return demo(x).round()

    demo = load_classifier("demo", device="cpu")
    result = evaluate(Classifier(Cut()), load_dataset("digits", first=4), ["fgsm"])
    assert result.status == "failed"
    assert re.search(r"cuts it: rounding.*evolution.*square", str(result.error))


@pytest.mark.parametrize("spec", ["square(queries=60)", "evolution(queries=60)"])
def test_a_function_is_attacked_as_the_network_that_it_hides(spec):
    data, demo = load_dataset("digits", first=20), load_classifier("demo", device="cpu")
    rows = [evaluate(c, data, [spec]).samples for c in (demo, Classifier(lambda x: demo(x)))]
    assert rows[0].equals(rows[1])
    assert rows[0]["succeeded"].sum() >= 1


def test_every_attack_on_scores_is_listed_without_importing_it():
    listed = {entry.name for entry in descriptions.describe("attack") if entry.scores_only}
    assert listed >= {"square", "evolution"}
    for name in listed:
        assert registry.load("attack", name).needs_gradient is False


def test_probabilities_are_said_and_their_logarithms_are_not():
    data = load_dataset("digits", first=4)

    def logits_check(function):
        (check,) = [c for c in evaluate(Classifier(function), data, []).checks if c.name == "logits"]
        return check

    check = logits_check(lambda x: ten(x).softmax(1))
    assert check.status == "triggered"
    assert "logarithm" in check.advice
    assert logits_check(lambda x: ten(x).log_softmax(1)).status == "passed"


def test_a_file_names_the_function_or_a_factory_of_it(here):
    x = torch.rand(2, 1, 8, 10)
    plain = load_classifier("own.py:plain", device="cpu")
    made = load_classifier("own.py:factory(sharpness=2)", device="cpu")
    assert torch.allclose(made(x), 2 * plain(x))
    assert (plain.num_parameters, plain.weights_sha256, plain.has_gradient) == (0, "unknown", False)
    with pytest.raises(InputError, match=r"returns int, not a torch\.nn\.Module"):
        load_classifier("own.py:number", device="cpu")
    with pytest.raises(InputError, match=r"--weights means nothing to own\.py:plain"):
        load_classifier("own.py:plain", weights="w.pth", device="cpu")
    with pytest.raises(InputError, match="has no weights"):
        build_network("own.py:plain", num_classes=10, input_shape=(1, 8, 8))


def test_what_was_finished_before_a_function_fails_is_kept(rb, here):
    options = "--model own.py:third_time_bad --data digits --first 50 --batch-size 10 --device cpu --out run"
    outcome = rb("eval", "--on", "night(severity=3)", *options.split())
    assert outcome.code == 2
    assert (
        "third_time_bad fails on 10 images of shape (1, 8, 8): ConnectionError: the service is gone" in outcome.err
    )
    run = read_run("run")
    assert run.record.status == "failed"
    assert run.samples["condition"].value_counts().to_dict() == {"clean": 20, "night(severity=3)": 20}
    assert rb("show", "run").code == 0
