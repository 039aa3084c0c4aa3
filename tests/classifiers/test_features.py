"""What enters the last linear layer: of which networks, with which gradients, at what cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.features import last_layer
from robustbench_lite.classifiers.loading import build_network
from robustbench_lite.errors import InputError


def images(n=5, channels=3, side=32):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(1))


def classifier(architecture, side=32):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(
            build_network(architecture, num_classes=4, input_shape=(3, side, side)), spec=architecture
        )


WIDTHS = {
    "linear": 3 * 32 * 32,
    "mlp(width=20)": 20,
    "cnn(width=4)": 64,
    "resnet(width=4, depth=8)": 16,
    "torchvision:resnet18": 512,
    "torchvision:mobilenet_v3_small": 1024,
    "torchvision:swin_t": 768,
    "timm:resnet10t": 512,
    "timm:deit_tiny_patch16_224": 192,
}


@pytest.mark.parametrize("architecture", WIDTHS)
def test_the_last_layer_makes_the_logits_of_them(architecture):
    if architecture.startswith("timm"):
        pytest.importorskip("timm")
    side = 224 if "224" in architecture else 32
    model, given = classifier(architecture, side), images(2, side=side)
    features, layer = model.features(given), last_layer(model, given)
    assert features.shape == (2, WIDTHS[architecture])
    assert features.dtype == torch.float32
    assert not features.requires_grad
    with torch.no_grad():
        assert torch.allclose(layer(features), model(given), atol=1e-5)


class Odd(nn.Module):
    """Layers listed in another order than they are called in, and one that is never called."""

    def __init__(self):
        super().__init__()
        self.head, self.body, self.unused = nn.Linear(6, 4), nn.Linear(3 * 64, 6), nn.Linear(6, 4)

    def forward(self, x):
        return {"logits": self.head(torch.tanh(self.body(x.flatten(1))))}


def test_the_order_of_the_calls_counts():
    network = Odd()
    assert last_layer(Classifier(network), images(side=8)) is network.head


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()),
        nn.Sequential(
            nn.Flatten(), nn.Linear(192, 4), nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 5, 1), nn.Flatten()
        ),
        nn.Sequential(nn.Flatten(2), nn.Linear(64, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten()),
    ],
    ids=["no linear layer", "one inside", "one on every channel"],
)
def test_a_network_that_ends_otherwise_is_refused(network):
    with pytest.raises(InputError, match="does not end in a linear layer"):
        Classifier(network).features(images(side=8))
    assert not any(layer._forward_hooks for layer in network.modules())


def test_a_function_is_refused():
    with pytest.raises(InputError, match="function that returns scores"):
        Classifier(lambda x: x.flatten(1)[:, :3]).features(images())


def test_gradients_flow_and_passes_are_counted():
    model = classifier("cnn(width=4)")
    x = images(40).requires_grad_()  # more than one piece
    features = model.features(x)
    assert torch.allclose(features, model.features(x.detach()), atol=1e-6)
    features.square().sum().backward()
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()
    assert all(p.grad is None and p.requires_grad for p in model.network.parameters())
    assert model.take_counts() == (80, 40, 0, 0)
    with torch.no_grad():
        assert not model.features(x).requires_grad
