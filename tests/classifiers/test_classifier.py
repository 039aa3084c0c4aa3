"""The contract of Classifier: the network stays as it was, and the numbers are what they claim to be."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier, Counts
from robustbench_lite.errors import InputError

LABELS = torch.tensor([0, 1, 2, 0])


def network():
    """Everything that eval mode and gradients can disturb."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, 3)
    )


def images(n=4, channels=3, side=8):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(1))


def cross_entropy(labels):
    return lambda logits: nn.functional.cross_entropy(logits, labels, reduction="none")


class Returning(nn.Module):
    """Whatever a function makes of linear logits."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(3 * 64, 3)
        self.function = function

    def forward(self, x):
        return self.function(self.linear(x.flatten(1)))


@pytest.fixture
def mixed():
    """A network whose parts are in different modes, with one frozen layer."""
    net = network().train()
    net[1].eval()
    net[0].weight.requires_grad_(False)
    return net


def state(net):
    modes = [module.training for module in net.modules()]
    wanted = [p.requires_grad for p in net.parameters()]
    values = {name: value.clone() for name, value in net.state_dict().items()}
    return modes, wanted, values


def assert_same(before, after):
    assert before[:2] == after[:2]
    for name, value in before[2].items():
        assert torch.equal(value, after[2][name]), name


@pytest.mark.parametrize("use", ["call", "gradient", "frozen"])
def test_the_network_is_handed_back_as_it_was(mixed, use):
    classifier, before = Classifier(mixed), state(mixed)
    if use == "call":
        classifier(images())
    elif use == "gradient":
        classifier.gradient(images(), cross_entropy(LABELS))
    else:
        with classifier.frozen(), classifier.frozen():
            assert not any(module.training for module in mixed.modules())
            assert not any(p.requires_grad for p in mixed.parameters())
    assert_same(before, state(mixed))
    assert all(p.grad is None for p in mixed.parameters())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_also_after_an_exception(mixed, error):
    def loss(logits):
        raise error("in the loss")

    classifier, before = Classifier(mixed), state(mixed)
    with pytest.raises(error):
        classifier.gradient(images(), loss)
    assert_same(before, state(mixed))
    with pytest.raises(InputError), classifier.frozen():
        classifier(images(channels=2))
    assert_same(before, state(mixed))
    with pytest.raises(error), classifier.frozen(), classifier.frozen():
        raise error
    assert_same(before, state(mixed))
    classifier(images())  # and it can be used again
    assert_same(before, state(mixed))


def test_global_switches_are_handed_back(mixed):
    flags = torch.backends.cudnn
    before = (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32)
    with Classifier(mixed).frozen():
        assert flags.deterministic
        assert not flags.allow_tf32
    assert (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32) == before


def test_eval_mode_means_eval_mode(mixed):
    x = images()
    assert torch.equal(Classifier(mixed)(x), Classifier(mixed)(x))
    with torch.no_grad():
        assert torch.allclose(Classifier(mixed)(x), network().eval()(x))


def test_logits_carry_no_graph_and_the_images_no_trace():
    x = images()
    classifier = Classifier(network())
    logits = classifier(x)
    found = classifier.gradient(x, cross_entropy(LABELS))
    assert not logits.requires_grad
    assert not found.logits.requires_grad
    assert not found.gradient.requires_grad
    assert not x.requires_grad
    assert x.grad is None
    assert torch.equal(found.logits, logits)


def test_normalisation_is_subtraction_and_division():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    x = images()
    mean, std = (0.1, 0.2, 0.3), (0.5, 2.0, 4.0)
    by_hand = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], 1)
    with torch.no_grad():
        assert torch.allclose(Classifier(net, mean=mean, std=std)(x), net(by_hand), atol=1e-6)
        assert torch.allclose(Classifier(net, mean=[0.5], std=[0.25])(x), net((x - 0.5) / 0.25), atol=1e-6)


def test_the_gradient_goes_through_the_normalisation():
    """With logits W x, the gradient of logit 0 with respect to the image is W[0] / std, whatever the mean."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    std = torch.tensor([0.5, 2.0, 4.0])
    found = Classifier(net, mean=(0.1, 0.2, 0.3), std=std.tolist()).gradient(images(), lambda logits: logits[:, 0])
    expected = (net[1].weight[0].detach().view(3, 8, 8) / std.view(3, 1, 1)).expand(4, 3, 8, 8)
    assert torch.allclose(found.gradient, expected, atol=1e-6)


def test_the_gradient_of_one_image_does_not_depend_on_the_others():
    classifier = Classifier(network())
    together = classifier.gradient(images(), cross_entropy(LABELS)).gradient
    alone = [classifier.gradient(images()[i : i + 1], cross_entropy(LABELS[i : i + 1])).gradient for i in range(4)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-7)


@pytest.mark.parametrize(("mean", "std"), [([0.5], []), ([0.5], [0.0]), ([0.5], [-1.0]), ([0.5], [float("nan")])])
def test_impossible_normalisation_is_refused(mean, std):
    with pytest.raises(InputError, match=r"std|standard deviations"):
        Classifier(network(), mean=mean, std=std)


def test_counts_are_what_was_spent_since_the_last_look():
    classifier = Classifier(network())
    classifier(images(4))
    classifier(images(3))
    classifier.gradient(images(2), lambda logits: logits.sum(1))
    assert classifier.take_counts() == Counts(9, 2, 0, 0)
    assert classifier.take_counts() == Counts(0, 0, 0, 0)


def test_gradients_that_are_not_finite_are_counted_and_zeroed():
    """One infinite, one sound, one NaN, one zero. A zero is counted apart: the attack was blind, not the maths."""
    classifier = Classifier(Returning(lambda logits: logits))
    x = images()

    def loss(logits):
        weights = torch.tensor([torch.inf, 1.0, torch.nan, 0.0])
        return weights * logits[:, 0]

    found = classifier.gradient(x, loss)
    counts = classifier.take_counts()
    assert (counts.gradients, counts.bad_gradients, counts.zero_gradients) == (4, 2, 1)
    assert found.gradient.isfinite().all()
    assert (found.gradient[[0, 2, 3]] == 0).all()
    assert found.gradient[1].abs().sum() > 0


class Output(dict):
    """As transformers returns: both a mapping and an object."""

    @property
    def logits(self):
        return self["logits"]


Pair = namedtuple("Pair", ["logits", "aux_logits"])


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda logits: {"loss": 0, "logits": logits},
        lambda logits: (logits, "features"),
        lambda logits: [logits, None],
        lambda logits: SimpleNamespace(logits=logits),
        lambda logits: Output(logits=logits),
        lambda logits: Pair(logits, logits * 0),
        lambda logits: logits.double(),
    ],
)
def test_logits_are_found_in_what_a_network_returns(wrapped):
    net = Returning(wrapped)
    with torch.no_grad():
        expected = net.linear(images().flatten(1))
    classifier = Classifier(net)
    assert classifier(images()).dtype == torch.float32
    assert torch.allclose(classifier(images()), expected)
    assert classifier.gradient(images(), cross_entropy(LABELS)).gradient.abs().sum() > 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda logits: logits[:, 0],
        lambda logits: logits[:, :1],  # one output is no classifier here
        lambda logits: logits[:2],
        lambda logits: logits[:, :, None],
        lambda logits: {"scores": logits},
        lambda logits: (),
        lambda logits: None,
        lambda logits: logits.numpy(force=True),
    ],
)
def test_anything_else_is_refused_with_what_it_is(wrong):
    with pytest.raises(InputError, match=r"the network returns .* for 4 images; logits of shape \(4, number"):
        Classifier(Returning(wrong))(images())


@pytest.mark.parametrize("error", [ValueError, AssertionError, TypeError, IndexError, RuntimeError])
def test_whatever_a_network_raises_names_the_shape(error):
    def refuse(logits):
        raise error("first line\nsecond line")

    with pytest.raises(InputError, match=r"refuses images of shape \(3, 8, 8\): first line\. Check --input-size"):
        Classifier(Returning(refuse))(images())


def test_full_memory_asks_for_smaller_batches():
    def full(logits):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match=r"out of memory. Give a smaller --batch-size"):
        Classifier(Returning(full))(images())
    with pytest.raises(InputError, match="smaller --batch-size"):
        Classifier(Returning(full)).gradient(images(), cross_entropy(LABELS))


def test_a_network_without_gradient_is_told():
    classifier = Classifier(Returning(lambda logits: logits.detach()))
    classifier(images())
    with pytest.raises(InputError, match="no gradient with respect to its images"):
        classifier.gradient(images(), cross_entropy(LABELS))


def test_a_fault_in_the_loss_is_not_the_networks():
    classifier = Classifier(network())
    with pytest.raises(ZeroDivisionError):
        classifier.gradient(images(), lambda logits: logits[:, 0] * (1 / 0))


def test_no_images_are_refused():
    with pytest.raises(InputError, match="no images"):
        Classifier(network())(images(0))


def test_wrong_channels_for_the_normalisation():
    with pytest.raises(InputError, match="the images have 2 channels, mean and std have 3"):
        Classifier(network(), mean=[0.5] * 3, std=[0.5] * 3)(images(channels=2))


def test_the_hash_is_of_names_shapes_and_values():
    net = network()
    sha = Classifier(net).weights_sha256
    assert len(sha) == 64
    assert Classifier(network()).weights_sha256 == sha
    assert Classifier(net, mean=[0.5], std=[0.5]).weights_sha256 == sha
    with torch.no_grad():
        net[5].bias[0] += 1e-6
    assert Classifier(net).weights_sha256 != sha
    assert Classifier(nn.Linear(2, 3)).weights_sha256 != Classifier(nn.Linear(3, 2)).weights_sha256
    one, other = network(), network()
    other[1].running_mean += 1  # a buffer
    assert Classifier(one).weights_sha256 != Classifier(other).weights_sha256


def test_the_hash_knows_every_dtype():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            kinds = (torch.bfloat16, torch.float64, torch.bool, torch.int64, torch.complex64)
            for i, dtype in enumerate(kinds):
                self.register_buffer(f"b{i}", torch.ones(2, 2, dtype=dtype).T)
            self.register_buffer("scalar", torch.tensor(3))
            self.register_buffer("empty", torch.zeros(0, 2))

    assert Classifier(Odd()).weights_sha256 == Classifier(Odd()).weights_sha256


def test_parameters_are_counted_once():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    assert Classifier(net).num_parameters == 16 + 4 + 4


def test_on_the_same_device_it_is_the_same():
    classifier = Classifier(network(), mean=[0.5], std=[0.5], spec="mine")
    assert classifier.to("cpu") is classifier
    assert repr(classifier) == "Classifier('mine', device='cpu')"


def test_as_a_module_it_has_a_graph_and_counts():
    """Gradients of others' code are the same, are counted, and reach no parameter."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Dropout(0.5)).train()
    classifier = Classifier(network, mean=[0.2] * 3, std=[0.5] * 3)
    module, x = classifier.module(), torch.rand(4, 3, 2, 2, requires_grad=True)
    wanted = classifier.gradient(x, lambda logits: logits[:, 1])
    classifier.take_counts()
    logits = module(x)
    assert torch.equal(logits, wanted.logits)
    logits[:, 1].sum().backward()
    assert torch.equal(x.grad, wanted.gradient)
    with torch.no_grad():
        module(x)
    assert classifier.take_counts() == (8, 4, 0, 0)
    assert network.training
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_a_module_watches_gradients_but_not_those_that_are_flat_by_design():
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    for watch, zeros in ((True, 3), (False, 0)):
        x = torch.rand(3, 1, 2, 2, requires_grad=True)
        (classifier.module(watch_zeros=watch)(x) * 0).sum().backward()
        assert classifier.take_counts().zero_gradients == zeros


def test_a_module_without_gradient_says_so():
    class Cut(nn.Module):
        def forward(self, x):
            return x.detach().flatten(1)

    with pytest.raises(InputError, match="no gradient with respect to its images"):
        Classifier(Cut()).module()(torch.rand(2, 1, 2, 2, requires_grad=True))
