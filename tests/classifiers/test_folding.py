"""The cheaper copy of a network: the same function and gradient, and no verdict of its own."""

import logging
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from robustbench_lite import registry
from robustbench_lite.applying import apply
from robustbench_lite.attacks import drafting
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.folding import folded
from robustbench_lite.classifiers.networks import cnn, linear, mlp, resnet
from robustbench_lite.types import Condition

SHAPE = (3, 16, 16)


def trained(network, seed=0):
    """Not trained, but with the statistics and slopes of a network that was."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.5, 2),
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.3, 0.3),
            ):
                tensor.data.uniform_(low, high, generator=generator)
    return network.eval()


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images(n=6, shape=SHAPE):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(5))


def names_of(network):
    return {type(layer).__name__ for layer in network.modules()}


def strided():
    return nn.Sequential(
        nn.Conv2d(3, 32, (5, 3), stride=(2, 1), padding=(1, 2), dilation=(2, 1)),
        nn.ReLU(),
        nn.Conv2d(32, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


class Shared(nn.Module):
    """One convolution used twice, before two batch norms, and once more bare; a ReLU on what is used again."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.first(x)
        y = self.one(self.conv(x.relu()))
        both = self.two(self.conv(torch.relu(y))) + x + y
        return self.head((torch.relu(both) - self.conv(both)).mean((2, 3)))


NETWORKS = {
    "cnn": lambda: cnn(8, input_shape=SHAPE, num_classes=5),
    "resnet": lambda: resnet(16, 8, input_shape=SHAPE, num_classes=5),
    "strided": strided,
    "shared": Shared,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_same_function_with_the_same_gradient(name):
    network, x = trained(NETWORKS[name]()).double(), images().double()
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    copy = folded(network)
    gradients = []
    for f in (network, copy):
        z = x.clone().requires_grad_()
        f(z)[:, 1].sum().backward()
        gradients.append(z.grad)
    assert torch.allclose(copy(x), network(x), atol=1e-10)
    assert torch.allclose(*gradients, atol=1e-10)
    assert gradients[0].abs().max() > 0
    assert "BatchNorm2d" not in names_of(copy)
    assert all(torch.equal(weights[key], value) for key, value in network.state_dict().items())
    assert all(p.requires_grad for p in network.parameters())


def test_what_is_cheaper_as_a_product_is_one():
    assert "_FewChannels" in names_of(folded(strided().eval()))
    assert "_FewChannels" not in names_of(folded(trained(cnn(8, input_shape=SHAPE, num_classes=5))))


@pytest.mark.parametrize("make", [linear, mlp])
def test_where_nothing_is_gained_there_is_no_copy(make):
    assert folded(make(input_shape=SHAPE, num_classes=5).eval()) is None


def test_what_computes_something_else_is_left_alone():
    class Doubled(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    network = nn.Sequential(Doubled(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(5))
    network(images())
    assert folded(trained(network)) is None


def test_a_draft_lives_inside_frozen_only():
    """Outside, the weights may be trained on."""
    classifier, x = Classifier(trained(NETWORKS["resnet"]()), mean=[0.4] * 3, std=[0.3] * 3), images()
    assert classifier.draft(x) is None
    with classifier.frozen():
        draft = classifier.draft(x)
        assert draft is classifier.draft(x)
        assert torch.allclose(draft(x), classifier(x), atol=1e-4)
        classifier.take_counts()
        draft.gradient(x, lambda logits: logits[:, 0])
        assert classifier.take_counts() == (len(x), len(x), 0, 0)
    classifier.network[-1].weight.data *= 2
    with classifier.frozen():
        assert torch.allclose(classifier.draft(x)(x), classifier(x), atol=1e-4)


def decided(name="cnn"):
    """A classifier that tells the images apart, and by little."""
    network = trained(NETWORKS[name]())
    with torch.no_grad():
        network[-1].bias -= network(images(24)).mean(0)
        network[-1].weight *= 10
        network[-1].bias *= 10
    return Classifier(network)


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = cnn(8, input_shape=SHAPE, num_classes=5)

    def forward(self, x):
        return self.network(x if x.mean() > 0 else -x)


class Random(Untraceable):
    def forward(self, x):
        return self.network(x + torch.randn(3, 16, 16))


@pytest.mark.parametrize(("network", "said"), [(Untraceable, "cannot be traced"), (Random, "its logits differ")])
def test_a_network_that_cannot_be_copied_is_used_as_it_is(network, said, caplog):
    classifier, x = Classifier(network()), images()
    with caplog.at_level(logging.INFO, "robustbench_lite"), classifier.frozen():
        assert classifier.draft(x) is None
        assert classifier.draft(x) is None
    assert [said in record.message for record in caplog.records] == [True]
    with caplog.at_level(logging.WARNING, "robustbench_lite"):
        assert len(caplog.records) == 1


@dataclass(frozen=True)
class Wrong:
    """A classifier with a draft that is wrong by far: it adds to the logit of one class."""

    truth: Classifier
    by: float

    def __call__(self, x):
        return self.truth(x)

    def gradient(self, x, loss):
        return self.truth.gradient(x, loss)

    def draft(self, x):
        by = torch.tensor([0.0, 0, 0, 0, self.by])
        network, copy = self.truth.network, nn.Module()
        copy.inner, copy.forward = network, lambda z: network(z) + by
        return Classifier(copy)


@pytest.mark.parametrize(
    "spec",
    [
        "pgd(eps=0.003, steps=15)",
        "apgd(eps=0.003, steps=15)",
        "pgd(eps=0.01, steps=15, target=2)",
        "ddn(steps=30)",
        "cw(steps=10, search_steps=3)",
        "worst(apgd(steps=12), pgd(steps=12), eps=0.003)",
    ],
)
@pytest.mark.parametrize("by", [0.05, 3.0])
def test_a_wrong_draft_saves_no_image(spec, by):
    """Whatever the copy believed and the network does not confirm is attacked again as if there were no copy.

    The copy favours class 4: images of other classes fool it early.
    """
    classifier, x = decided(), images(24)
    logits = classifier(x)
    labels, ids = logits.argmax(1), tuple(map(str, range(len(x))))
    condition = registry.make(spec)
    given = (x, labels, logits, ids, 0)
    plain = classifier(apply(condition, classifier, *given).images).argmax(1)
    after = classifier(apply(condition, Wrong(classifier, by), *given).images).argmax(1)
    saved = (after == labels) & (plain != labels) & (labels != 4)
    assert ((plain != labels) & (labels != 4)).sum() > 5
    assert saved.sum() == 0


def test_only_the_doubtful_are_attacked_again():
    classifier, x = decided(), images(24)
    labels = classifier(x).argmax(1)
    (attack,) = registry.make("pgd(eps=0.03)").parts
    assert isinstance(drafting.drafted(attack, Wrong(classifier, 3.0), x), drafting.Drafted)
    model = drafting.Drafted(classifier, Wrong(classifier, 3.0).draft(x))
    again = drafting.doubtful(attack, model, x, labels)
    assert again == (model.copy(x).argmax(1) != labels).nonzero()[:, 0].tolist()
    assert 0 < len(again) < len(x)
    assert drafting.doubtful(attack, classifier, x, labels) == []


def test_short_attacks_use_the_network_itself():
    classifier = Classifier(trained(NETWORKS["cnn"]()))
    for spec in ("fgsm(eps=0.1)", "pgd(eps=0.1, steps=5)"):
        (attack,) = registry.make(spec).parts
        with classifier.frozen():
            assert drafting.drafted(attack, classifier, images()) is classifier


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_the_copy_changes_no_verdict(name):
    classifier, x = decided(name), images(24)
    logits = classifier(x)
    given = (x, logits.argmax(1), logits, tuple(map(str, range(len(x)))), 0)
    condition: Condition = registry.make("pgd(eps=0.02, steps=10)")
    plain = apply(condition, classifier, *given).images
    with classifier.frozen():
        after = apply(condition, classifier, *given).images
        assert classifier.draft(x) is not None
    assert torch.equal(classifier(plain).argmax(1), classifier(after).argmax(1))
