"""``load_classifier``: every way to name a network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import build_network, load_classifier, resolve_device
from robustbench_lite.errors import InputError, UnknownNameError

FACTORIES = """
import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier


def small(width: int = 2, bias: bool = True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, width, bias=bias))


def sized(*, num_classes: int, input_shape: tuple[int, int, int]):
    channels, height, width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))


def wanting(width: int):
    return small(width)


def whole():
    return Classifier(small(), mean=[0.5], std=[0.25])


class Fixed(nn.Module):
    def forward(self, x):
        return torch.stack([x.flatten(1).sum(1), x.flatten(1).amax(1)], 1)


def anything(**options):
    return small(**options)
"""
SHAPE = (3, 2, 2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(FACTORIES)
    return tmp_path


def images(n=3, shape=SHAPE):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("spec", "classes"),
    [
        ("nets.py:small", 2),
        ("nets.py:small(width=5, bias=false)", 5),
        ("nets.py:Fixed", 2),
        ("nets.py:anything", 2),
    ],
)
def test_a_factory_in_a_file(here, spec, classes):
    classifier = load_classifier(spec, device="cpu")
    assert classifier.spec == spec
    assert classifier(images()).shape == (3, classes)


def test_arguments_reach_the_factory(here):
    assert load_classifier("nets.py:small(width=5, bias=false)", device="cpu").num_parameters == 60


def test_a_factory_gets_the_sizes_that_it_asks_for(here):
    classifier = load_classifier("nets.py:sized", class_names=list("abcd"), input_shape=SHAPE, device="cpu")
    assert classifier(images()).shape == (3, 4)
    with pytest.raises(InputError, match=r"nets.py:wanting needs width. Write nets.py:wanting\(width="):
        load_classifier("nets.py:wanting", device="cpu")


def test_loaded_twice_it_is_the_same(here):
    first, second = (load_classifier("nets.py:small", device="cpu") for _ in range(2))
    assert first.network is not second.network
    assert torch.equal(first(images()), second(images()))
    assert first.weights_sha256 == second.weights_sha256


def test_a_factory_may_bring_its_own_preprocessing(here):
    classifier = load_classifier("nets.py:whole", device="cpu")
    assert (classifier.mean, classifier.std) == ((0.5,), (0.25,))
    for given in ({"mean": [0.1]}, {"std": [0.1]}, {"weights": "w.pt"}):
        with pytest.raises(InputError, match="brings its own"):
            load_classifier("nets.py:whole", device="cpu", **given)


def test_a_factory_with_weights(here):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, "w.pth")
    classifier = load_classifier("nets.py:small", weights="w.pth", mean=[0.5], std=[0.5], device="cpu")
    assert torch.allclose(classifier(images()), Classifier(network)((images() - 0.5) / 0.5))
    assert classifier.notes == (
        "weights taken from 'state_dict' in w.pth",
        "prefix 'module.' stripped from the names in w.pth",
    )


def test_a_module_on_the_path(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    (here / "own_nets_for_a_test.py").write_text(FACTORIES)
    assert load_classifier("own_nets_for_a_test:small", device="cpu")(images()).shape == (3, 2)


def test_a_module_that_fails_on_import(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    (here / "broken_nets_for_a_test.py").write_text("1 / 0")
    with pytest.raises(InputError, match="broken_nets_for_a_test fails on import: ZeroDivisionError"):
        load_classifier("broken_nets_for_a_test:net", device="cpu")


def test_two_files_whose_names_are_almost_the_same(here):
    """Once they shared a module, and the second was the first."""
    for name, width in (("a_b.py", 3), ("a-b.py", 4)):
        (here / name).write_text(FACTORIES.replace("width: int = 2", f"width: int = {width}"))
    assert load_classifier("a_b.py:small", device="cpu")(images()).shape == (3, 3)
    assert load_classifier("a-b.py:small", device="cpu")(images()).shape == (3, 4)


def test_torchvision_on_small_images(here):
    torch.manual_seed(0)
    network = build_network("torchvision:resnet18", num_classes=7, input_shape=(3, 32, 32))
    torch.save(network.state_dict(), "w.pt")
    given = {"weights": "w.pt", "class_names": list("abcdefg"), "device": "cpu"}
    classifier = load_classifier("torchvision:resnet18", **given)
    x = images(2, (3, 32, 32))
    assert classifier(x).shape == (2, 7)
    with torch.no_grad():
        assert torch.allclose(classifier(x), network.eval()(x), atol=1e-5)
    assert torch.equal(classifier(x), load_classifier("TorchVision:resnet18", **given)(x))
    with pytest.raises(InputError, match=r"'fc.weight' has shape \(7, 512\), the network wants \(3, 512\)"):
        load_classifier("torchvision:resnet18", weights="w.pt", num_classes=3, device="cpu")


def test_timm(here):
    pytest.importorskip("timm")
    network = build_network("timm:test_efficientnet", num_classes=4, input_shape=(3, 32, 32))
    torch.save(network.state_dict(), "w.pt")
    classifier = load_classifier("timm:test_efficientnet", weights="w.pt", num_classes=4, device="cpu")
    assert classifier(images(2, (3, 32, 32))).shape == (2, 4)
    with pytest.raises(UnknownNameError, match="unknown timm network 'resnet_18'"):
        build_network("timm:resnet_18", num_classes=4, input_shape=(3, 32, 32))


def test_timm_that_wants_another_size(here):
    """Its transformers raise AssertionError for a wrong size, not RuntimeError."""
    pytest.importorskip("timm")
    network = build_network("timm:vit_tiny_patch16_224", num_classes=4, input_shape=(3, 32, 32))
    with pytest.raises(InputError, match=r"refuses images of shape \(3, 32, 32\)"):
        Classifier(network)(images(2, (3, 32, 32)))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_networks_with_two_outputs(name):
    side = 32 if name == "googlenet" else 75
    network = build_network(f"torchvision:{name}", num_classes=5, input_shape=(3, side, side))
    assert Classifier(network)(images(2, (3, side, side))).shape == (2, 5)


@pytest.mark.parametrize("model", ["linear", "mlp", "cnn", "resnet", "torchvision:resnet18"])
def test_a_network_without_weights_is_no_classifier(model):
    with pytest.raises(InputError, match=r"has no weights. Give --weights FILE, or train it"):
        load_classifier(model, class_names=list("ab"), input_shape=(3, 8, 8))


def test_a_built_in_network_needs_its_sizes():
    with pytest.raises(InputError, match="needs to know its num classes"):
        load_classifier("cnn", input_shape=(3, 8, 8))
    with pytest.raises(InputError, match="needs to know its input shape"):
        load_classifier("cnn", num_classes=3)


def test_two_networks_at_once():
    with pytest.raises(InputError, match="is not one network"):
        load_classifier("cnn + resnet")


def test_what_is_trained_is_no_architecture(here):
    with pytest.raises(InputError, match="is trained already"):
        build_network("nets.py:whole", num_classes=2, input_shape=SHAPE)


def test_devices():
    assert resolve_device("auto") in ("cpu", "cuda")
    assert resolve_device("cpu") == "cpu"
    for device in ("cuda:77", "nonsense", "meta", ""):
        with pytest.raises(InputError, match=r"cannot be used: [^\n]*[.] Use auto, cpu or cuda."):
            resolve_device(device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_the_answers_are_the_same(here):
    on_cpu, on_cuda = (load_classifier("nets.py:small", device=device) for device in ("cpu", "cuda"))
    assert torch.allclose(on_cuda(images()).cpu(), on_cpu(images()), atol=1e-5)
    found = on_cuda.gradient(images(), lambda logits: logits[:, 0])
    assert found.gradient.isfinite().all()
    assert on_cuda.take_counts()[:2] == (6, 3)
