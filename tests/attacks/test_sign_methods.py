"""BIM, MI-FGSM and R+FGSM: where a linear network falls, and what of them is PGD or FGSM."""

import pytest
import torch
from linear import setting, smallest
from test_published import mnist, needs_wong, wong
from torch import nn

from robustbench_lite.attacks.bim import BIM
from robustbench_lite.attacks.fgsm import FGSM
from robustbench_lite.attacks.mifgsm import MIFGSM
from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.attacks.rfgsm import RFGSM
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.rng import Streams
from robustbench_lite.types import LogitsAndGradient

ATTACKS = {
    "bim": BIM,
    "mifgsm": MIFGSM,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_linear_network_on_both_sides_of_the_closed_form(name):
    classifier, images, labels, streams = setting()
    truth = smallest(classifier, images, "linf")
    for i in range(len(images)):
        one = slice(i, i + 1)
        for factor, fooled in ((1.01, True), (0.99, False)):
            attack = ATTACKS[name](eps=float(truth[i]) * factor)
            adversarial = attack(classifier, images[one], labels[one], streams[[i]])
            assert (classifier(adversarial).argmax(1) != labels[one]).item() is fooled, (i, factor)


@pytest.mark.parametrize("name", [*ATTACKS, "rfgsm"])
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises(InputError):
        {**ATTACKS, "rfgsm": RFGSM}[name](eps=8.0)


@pytest.mark.parametrize("arguments", [{"steps": 0}, {"step_size": 0.0}, {"step_size": -1.0}])
@pytest.mark.parametrize("name", ["bim", "mifgsm"])
def test_steps_that_make_no_sense_are_refused(name, arguments):
    with pytest.raises(InputError):
        ATTACKS[name](**arguments)


def test_bim_is_pgd_from_the_image_with_equal_steps():
    classifier, images, labels, streams = setting()
    pgd = PGD(eps=0.05, steps=10, step_size=0.00625, random_start=False)
    assert torch.equal(
        BIM(eps=0.05)(classifier, images, labels, streams), pgd(classifier, images, labels, streams)
    )


class Recorder:
    """A model of one's own: its gradients are given, its verdict never changes."""

    def __init__(self, gradients):
        self.gradients, self.seen = list(gradients), []

    def __call__(self, images):
        return torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)

    def gradient(self, images, loss):
        self.seen.append(images)
        return LogitsAndGradient(self(images), self.gradients.pop(0).view_as(images))


def test_mifgsm_adds_gradients_of_the_same_l1_norm():
    """The second is a thousand times smaller, and yet turns the sign where it outweighs the first's share."""
    first, second = torch.tensor([3.0, -1.0, 0.0, 0.0]), 1e-3 * torch.tensor([-1.0, 2.0, -1.0, 0.0])
    image, label = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    for decay, signs in ((1.0, [1, 1, -1, 0]), (0.0, [-1, 1, -1, 0])):
        model = Recorder([first, second])
        result = MIFGSM(eps=0.2, steps=2, decay=decay)(model, image, label, Streams(0, "test", ("0",)))
        assert torch.allclose(model.seen[1].flatten(), torch.tensor([0.6, 0.4, 0.5, 0.5]))
        moved = (result - model.seen[1]).flatten()
        assert torch.allclose(moved, 0.1 * torch.tensor(signs, dtype=torch.float32), atol=1e-6)


def test_mifgsm_without_momentum_is_bim():
    classifier, images, labels, streams = setting()
    mine = MIFGSM(eps=0.05, decay=0.0, step_size=0.01)(classifier, images, labels, streams)
    assert torch.equal(mine, BIM(eps=0.05, step_size=0.01)(classifier, images, labels, streams))


def test_rfgsm_on_a_linear_network_moves_both_halves():
    """Where the random sign agrees with the gradient's a pixel moves by eps, elsewhere not at all."""
    classifier, images, labels, streams = setting()
    eps = 0.5 * float(smallest(classifier, images, "linf").min())
    moved = (RFGSM(eps=eps)(classifier, images, labels, streams) - images).abs() / eps
    whole = (moved - 1).abs() < 1e-3
    assert (whole | (moved < 1e-3)).all()
    assert 0.4 < whole.float().mean() < 0.6


def test_rfgsm_without_the_random_step_is_fgsm():
    classifier, images, labels, streams = setting()
    fgsm = FGSM(eps=0.05)(classifier, images, labels, streams)
    assert torch.equal(RFGSM(eps=0.05, random_share=0.0)(classifier, images, labels, streams), fgsm)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(InputError, match="random_share"):
        RFGSM(random_share=share)


def test_rfgsm_finds_the_slope_that_is_hidden_at_the_image():
    """Gradient masking in small: around the image itself the logits are flat."""

    class Flat(nn.Module):
        def forward(self, x):
            away = (x - 0.5) * ((x - 0.5).abs() > 0.01)
            return torch.stack([0.5 - away.flatten(1).sum(1), away.flatten(1).sum(1)], 1)

    classifier, images = Classifier(Flat()), torch.full((4, 1, 6, 6), 0.5)
    labels, streams = classifier(images).argmax(1), Streams(0, "test", tuple("abcd"))
    assert torch.equal(FGSM(eps=0.1)(classifier, images, labels, streams), images)
    fooled = classifier(RFGSM(eps=0.1)(classifier, images, labels, streams)).argmax(1) != labels
    assert fooled.all()


def resisting(specs, n=200):
    rows = evaluate(wong(), mnist(n), specs, batch_size=n).samples
    return rows.groupby("condition", sort=False)["correct"].sum().tolist()


@needs_wong
def test_ten_steps_find_more_than_one():
    _, one, bim, mifgsm = resisting(["fgsm(eps=0.2)", "bim(eps=0.2)", "mifgsm(eps=0.2)"])
    assert bim < one / 2
    assert mifgsm < one
