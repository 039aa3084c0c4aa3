"""The embedded default network: trained once, kept in the cache, never trusted blindly."""

from __future__ import annotations

import logging

import pytest
import torch

from robustbench_lite.data.loading import load_dataset
from robustbench_lite.training import demo as module
from robustbench_lite.training.demo import demo
from robustbench_lite.training.options import TrainingOptions


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a training of two epochs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "OPTIONS", TrainingOptions(epochs=2))
    return tmp_path / "cache"


@pytest.fixture
def trainings(monkeypatch):
    """How often it was trained."""
    count, real = [], module._train

    def counted():
        count.append(1)
        return real()

    monkeypatch.setattr(module, "_train", counted)
    return count


def outputs(classifier):
    return classifier(next(load_dataset("digits").batches(50)).images)


def test_it_is_trained_once_and_the_same_from_the_cache(cache, trainings):
    first, second = demo(), demo()
    assert len(trainings) == 1
    assert torch.equal(outputs(first), outputs(second))
    assert first.weights_sha256 == second.weights_sha256
    for classifier in (first, second):
        assert classifier.spec == "demo"
        assert classifier.class_names == tuple("0123456789")
        assert classifier.input_shape == (1, 8, 8)
    assert (first.mean, first.std, first.history) == (second.mean, second.std, second.history)


def test_a_damaged_file_is_made_again(cache, trainings, caplog):
    expected = demo().weights_sha256
    (file,) = cache.rglob("demo-*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        assert demo().weights_sha256 == expected
    assert "damaged; training it again" in caplog.text
    assert len(trainings) == 2
    demo()
    assert len(trainings) == 2


def test_without_a_cache_it_works_and_says_so(tmp_path, monkeypatch, cache, trainings, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert outputs(demo()).shape == (50, 10)
    assert "cannot be kept" in caplog.text


def test_other_options_have_a_file_of_their_own(cache, trainings, monkeypatch):
    demo()
    monkeypatch.setattr(module, "OPTIONS", TrainingOptions(epochs=1))
    demo()
    assert len(trainings) == 2
    assert len(list(cache.rglob("demo-*.safetensors"))) == 2


def test_the_number_of_threads_is_handed_back(cache):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        demo()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
