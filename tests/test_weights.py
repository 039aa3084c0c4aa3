"""Weights from files, and the checkpoint that says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import build_network, load_classifier
from robustbench_lite.errors import InputError
from robustbench_lite.weights import (
    CheckpointInfo,
    check_writable,
    load_into,
    read_info,
    read_state,
    save_checkpoint,
)

WONG = Path(__file__).parents[1].parent / "shared/models/wong2018-mnist.pth"


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def info(**changed):
    given = {
        "architecture": "cnn(width=4)",
        "class_names": ["good", "scratch", "ünïcode"],
        "input_shape": (3, 8, 8),
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
        "history": {"epochs": [], "seed": 3},
    }
    return CheckpointInfo(**{**given, **changed})


def loaded(content, path, network=None):
    """The network with the weights that were written as ``content``, and what was said about them."""
    torch.save(content, path)
    state, notes = read_state(path)
    network = network or nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return network, [*notes, *load_into(network, state, path)]


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_weights_nested_under_a_usual_key(tmp_path, key):
    network, notes = loaded({"epoch": 3, "optimizer": {}, key: linear().state_dict()}, tmp_path / "w.pt")
    assert Classifier(network).weights_sha256 == Classifier(linear()).weights_sha256
    assert notes == [f"weights taken from {key!r} in w.pt"]


def test_plain_weights_need_no_words(tmp_path):
    network, notes = loaded(linear().state_dict(), tmp_path / "w.pt")
    assert Classifier(network).weights_sha256 == Classifier(linear()).weights_sha256
    assert notes == []


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_a_prefix_is_stripped_and_said(tmp_path, prefix):
    content = {f"{prefix}{name}": tensor for name, tensor in linear().state_dict().items()}
    network, notes = loaded({"model": content}, tmp_path / "w.pt")
    assert Classifier(network).weights_sha256 == Classifier(linear()).weights_sha256
    assert notes == ["weights taken from 'model' in w.pt", f"prefix {prefix!r} stripped from the names in w.pt"]


def test_a_prefix_of_the_networks_own_stays(tmp_path):
    """A wrapper that keeps its layers in ``self.module`` has that prefix by right."""
    own = nn.Module()
    own.module = linear()
    content = own.state_dict()
    assert all(name.startswith("module.") for name in content)
    other = nn.Module()
    other.module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    network, notes = loaded(content, tmp_path / "w.pt", other)
    assert torch.equal(network.module[1].weight, own.module[1].weight)
    assert notes == []
    _, notes = loaded({f"module.{k}": v for k, v in content.items()}, tmp_path / "w.pt", other)
    assert notes == ["prefix 'module.' stripped from the names in w.pt"]


def test_a_prefix_of_only_some_names_stays(tmp_path):
    state = linear().state_dict()
    with pytest.raises(InputError, match=r"has unknown 'module.1.bias'"):
        loaded({"1.weight": state["1.weight"], "module.1.bias": state["1.bias"]}, tmp_path / "w.pt")


def test_a_wrong_shape_names_the_key_and_both_shapes(tmp_path):
    content = {**linear().state_dict(), "1.weight": torch.zeros(5, 4)}
    with pytest.raises(InputError, match=r"'1.weight' has shape \(5, 4\), the network wants \(3, 4\)"):
        loaded(content, tmp_path / "w.pt")


def test_a_network_that_does_not_fit_stays_as_it_was(tmp_path):
    network = linear()
    before = Classifier(network).weights_sha256
    with pytest.raises(InputError):
        loaded({"1.weight": torch.zeros(3, 4)}, tmp_path / "w.pt", network)
    assert Classifier(network).weights_sha256 == before


def test_missing_and_unknown_keys_are_named(tmp_path):
    state = linear().state_dict()
    with pytest.raises(InputError, match=r"it lacks '1.bias' and has unknown '2.bias'\. Check the architecture"):
        loaded({"1.weight": state["1.weight"], "2.bias": state["1.bias"]}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"has unknown 'a0', 'a1', 'a2' and 4 more\."):
        loaded({**state, **{f"a{i}": torch.zeros(1) for i in range(7)}}, tmp_path / "w.pt")


def test_old_files_lack_the_counters_of_batch_norm(tmp_path):
    content = {k: v for k, v in nn.BatchNorm2d(3).state_dict().items() if not k.endswith("num_batches_tracked")}
    network, _ = loaded(content, tmp_path / "w.pt", nn.BatchNorm2d(3))
    assert network.num_batches_tracked == 0


@pytest.mark.parametrize("content", [{}, [], 3, {"a": 1}, {0: torch.zeros(1)}, torch.zeros(3), {"model": {}}])
def test_what_holds_no_weights_is_refused(tmp_path, content):
    with pytest.raises(InputError, match="holds no state dict"):
        loaded(content, tmp_path / "w.pt")


@pytest.mark.skipif(not WONG.is_file(), reason="needs the weights of Wong and Kolter 2018")
def test_tensors_that_were_saved_on_cuda_come_to_the_cpu():
    """These were: torch.load without a map_location fails on a machine without CUDA."""
    state, _ = read_state(WONG)
    assert {tensor.device.type for tensor in state.values()} == {"cpu"}
    network = nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )
    load_into(network, state, WONG)
    assert Classifier(network)(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_a_checkpoint_gives_the_same_network_again(tmp_path):
    torch.manual_seed(0)
    network = build_network("cnn(width=4)", num_classes=3, input_shape=(3, 8, 8))
    network[1].running_mean += torch.rand(4)
    before = Classifier(network, mean=info().mean, std=info().std)
    save_checkpoint(tmp_path / "deep/net.safetensors", network, info())
    after = load_classifier(str(tmp_path / "deep/net.safetensors"), device="cpu")
    images = torch.rand(5, 3, 8, 8)
    assert torch.equal(after(images), before(images))
    assert after.weights_sha256 == before.weights_sha256
    assert after.class_names == ("good", "scratch", "ünïcode")
    assert after.input_shape == (3, 8, 8)
    assert (after.mean, after.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert after.history == {"epochs": [], "seed": 3}
    assert after.notes == ()
    assert read_info(tmp_path / "deep/net.safetensors") == info()


def test_given_normalisation_goes_before_the_checkpoints(tmp_path):
    network = build_network("cnn(width=4)", num_classes=3, input_shape=(3, 8, 8))
    save_checkpoint(tmp_path / "net.safetensors", network, info())
    classifier = load_classifier(str(tmp_path / "net.safetensors"), mean=[0.5], std=[0.25], device="cpu")
    assert (classifier.mean, classifier.std) == ((0.5,), (0.25,))


def test_tied_weights_can_be_kept(tmp_path):
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    save_checkpoint(tmp_path / "net.safetensors", network, info())
    state, _ = read_state(tmp_path / "net.safetensors")
    assert torch.equal(state["0.weight"], state["1.weight"])


def test_views_can_be_kept(tmp_path):
    network = nn.Linear(4, 4)
    network.register_buffer("view", network.weight.detach().T[:, :2])
    save_checkpoint(tmp_path / "net.safetensors", network, info())
    state, _ = read_state(tmp_path / "net.safetensors")
    assert torch.equal(state["view"], network.view)


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "net.safetensors"
    target.write_bytes(b"old")

    def full(source, destination):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match=r"cannot write .*No space left"):
        save_checkpoint(target, linear(), info())
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
    assert target.read_bytes() == b"old"


def test_a_place_is_tried_without_a_trace(tmp_path):
    check_writable(tmp_path / "new/net.safetensors")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        check_writable(tmp_path / "file/net.safetensors")


def test_the_description_is_json_in_the_header(tmp_path):
    """So that other tools can read it."""
    from safetensors import safe_open

    save_checkpoint(tmp_path / "net.safetensors", linear(), info())
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        found = json.loads(file.metadata()["robustbench_lite"])
    assert found["architecture"] == "cnn(width=4)"
    assert found["format"] == 1


def test_a_description_with_more_than_we_know_is_refused(tmp_path):
    from safetensors.torch import save_file

    text = json.dumps({**json.loads(info().model_dump_json()), "surprise": 1})
    save_file(linear().state_dict(), tmp_path / "net.safetensors", metadata={"robustbench_lite": text})
    with pytest.raises(InputError, match="damaged: surprise"):
        read_info(tmp_path / "net.safetensors")
