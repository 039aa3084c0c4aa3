"""The built-in networks: any channels, any size from 8 pixels up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite import registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import build_network
from robustbench_lite.errors import InputError

NAMES = ["linear", "mlp", "cnn", "resnet", "strided"]


def test_all_of_them_are_tested():
    own = {n for n, where in registry.names("model").items() if ".classifiers.networks:" in where}
    assert own == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (96, 96), (9, 21)])
def test_logits_for_any_size(name, channels, size):
    spec = {"mlp": "mlp(width=16)", "cnn": "cnn(width=4)", "resnet": "resnet(width=4, depth=8)"}.get(name, name)
    network = build_network(spec, num_classes=5, input_shape=(channels, *size))
    images = torch.rand(2, channels, *size)
    classifier = Classifier(network)
    logits = classifier(images)
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    assert not torch.equal(logits[0], logits[1])  # it looks at the images
    gradient = classifier.gradient(images, lambda out: out[:, 0]).gradient
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize(("depth", "layers"), [(8, 8), (20, 20), (32, 32)])
def test_the_depth_of_a_residual_network_counts_its_layers(depth, layers):
    network = build_network(f"resnet(width=4, depth={depth})", num_classes=5, input_shape=(3, 8, 8))
    weighted = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    shortcuts = [m for m in weighted if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert len(weighted) - len(shortcuts) == layers


def test_the_residual_network_of_the_paper_has_the_papers_size():
    """He et al., CVPR 2016, table 6: 0.27 million; its shortcuts have no weights, ours have 2,752 with norms."""
    network = build_network("resnet", num_classes=10, input_shape=(3, 32, 32))
    assert Classifier(network).num_parameters == pytest.approx(270_000, rel=0.02)


def test_linear_is_linear():
    network = build_network("linear", num_classes=3, input_shape=(1, 8, 8))
    a, b = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(network((a + b) / 2), (network(a) + network(b)) / 2, atol=1e-6)
    assert Classifier(network).num_parameters == 3 * 64 + 3


@pytest.mark.parametrize(
    "spec",
    ["mlp(width=0)", "mlp(depth=-1)", "cnn(width=0)", "resnet(depth=9)", "resnet(width=0)", "resnet(depth=2.5)"],
)
def test_impossible_sizes(spec):
    with pytest.raises(InputError, match=r"width|depth"):
        build_network(spec, num_classes=3, input_shape=(1, 8, 8))


def test_a_depth_of_2_has_no_blocks_and_still_works():
    network = build_network("resnet(depth=2)", num_classes=3, input_shape=(1, 8, 8))
    assert Classifier(network)(torch.rand(2, 1, 8, 8)).shape == (2, 3)
