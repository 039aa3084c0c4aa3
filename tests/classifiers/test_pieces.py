"""Large batches go through the network in pieces: the same numbers, a graph at a time."""

import weakref

import pytest
import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier, Counts
from robustbench_lite.classifiers.networks import cnn
from robustbench_lite.classifiers.pieces import default_batch, in_pieces
from robustbench_lite.runner import Inputs, prepare, run

SHAPE = (3, 16, 16)  # pieces of 260


class Watched(nn.Module):
    """Notes how many images come, and how many hidden layers of before are still alive."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = cnn(2, input_shape=SHAPE, num_classes=4)
        self.sizes, self.alive, self.hidden = [], [], []

    def forward(self, x):
        self.alive.append(sum(hidden() is not None for hidden in self.hidden))
        self.sizes.append(len(x))
        x = x * 2
        self.hidden.append(weakref.ref(x))
        return self.network(x)


def images(n):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("n", "shape", "sizes"),
    [
        (1, (1, 28, 28), [1]),
        (380, (1, 28, 28), [380]),
        (500, (1, 28, 28), [250, 250]),
        (200, (3, 32, 32), [67, 67, 66]),
        (40, (3, 224, 224), [20, 20]),
        (0, (1, 2, 2), [0]),
    ],
)
def test_pieces_are_even_and_of_the_best_size(n, shape, sizes):
    pieces = in_pieces(torch.zeros(()).expand(n, *shape))
    assert [len(piece) for piece in pieces] == sizes


def test_pieces_give_the_same_logits_and_gradients_with_one_graph_alive():
    network = Watched().eval()
    classifier, x = Classifier(network), images(700)
    labels = torch.arange(700) % 4

    def loss(logits):
        assert len(logits) == len(labels)
        return nn.functional.cross_entropy(logits, labels, reduction="none")

    z = x.clone().requires_grad_()
    wanted = network(z)
    (gradient,) = torch.autograd.grad(loss(wanted).sum(), z)
    network.sizes.clear(), network.alive.clear()
    found = classifier.gradient(x, loss)
    assert network.sizes == [234, 233, 233]
    assert network.alive == [0, 0, 0]
    assert torch.allclose(found.logits, wanted, atol=1e-6)
    assert torch.allclose(classifier(x), wanted, atol=1e-6)
    assert torch.allclose(found.gradient, gradient, atol=1e-6 * float(gradient.abs().max()))
    assert classifier.take_counts() == Counts(1400, 700, 0, 0)


def test_a_loss_that_has_no_slope_at_zeros_spoils_nothing():
    """Rows that are not known yet are zeros, where this loss is infinite and its slope is not a number."""
    classifier = Classifier(Watched())
    _, gradient = classifier.gradient(images(700), lambda logits: logits.norm(dim=1).log().sqrt())
    expected = [
        classifier.gradient(part, lambda z: z.norm(dim=1).log().sqrt()).gradient for part in images(700).split(50)
    ]
    assert torch.allclose(gradient, torch.cat(expected), atol=1e-6)


def test_functions_get_the_whole_batch():
    sizes = []

    def scores(x):
        sizes.append(len(x))
        return x.flatten(1)[:, :4]

    Classifier(scores)(images(700))
    assert sizes[-1] == 700


@pytest.mark.parametrize(
    ("shape", "default"), [((1, 28, 28), 1024), ((3, 32, 32), 488), ((3, 64, 64), 128), ((3, 224, 224), 128)]
)
def test_the_default_batch_is_larger_for_small_images_in_pieces(shape, default):
    assert default_batch(shape, pieces=True) == default
    assert default_batch(shape, pieces=False) == 128


@pytest.mark.parametrize(("given", "used"), [(None, 1024), (7, 7)])
def test_the_batch_size_that_was_used_is_in_the_record(given, used, tmp_path):
    prepared = prepare(Inputs(limit=10, batch_size=given))
    assert run(prepared, command="eval", out=tmp_path / "run").record.config["batch_size"] == used
