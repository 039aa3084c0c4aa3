"""On a linear network the smallest perturbation is known; attacks must decide right on both sides of it."""

import pytest
import torch
from linear import setting, smallest

from robustbench_lite import norms
from robustbench_lite.attacks.cw import CW
from robustbench_lite.attacks.fgsm import FGSM
from robustbench_lite.attacks.pgd import PGD


@pytest.mark.parametrize("loss", ["ce", "margin"])
@pytest.mark.parametrize(("norm", "steps"), [("linf", 40), ("l2", 40), ("l1", 200)])
def test_pgd_decides_right_on_both_sides(norm, steps, loss):
    classifier, images, labels, streams = setting()
    truth = smallest(classifier, images, norm)
    # Where a single pixel could leave [0, 1], as the best l1 perturbation may, the closed form does not hold.
    inside = (truth < 0.19) if norm == "l1" else (truth > 0)
    assert inside.sum() >= 3
    for i in inside.nonzero()[:, 0].tolist():
        one = slice(i, i + 1)
        for factor, fooled in ((1.02, True), (0.98, False)):
            attack = PGD(eps=float(truth[i]) * factor, norm=norm, steps=steps, loss=loss)
            adversarial = attack(classifier, images[one], labels[one], streams[[i]])
            assert (classifier(adversarial).argmax(1) != labels[one]).item() is fooled, (i, factor)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_step_is_enough_where_the_network_is_linear(norm):
    classifier, images, labels, streams = setting()
    truth = smallest(classifier, images, norm)
    for i in range(len(images)):
        one = slice(i, i + 1)
        for factor, fooled in ((1.001, True), (0.999, False)):
            attack = FGSM(eps=float(truth[i]) * factor, norm=norm)
            adversarial = attack(classifier, images[one], labels[one], streams[[i]])
            assert (classifier(adversarial).argmax(1) != labels[one]).item() is fooled


def test_cw_comes_within_five_percent_of_the_smallest():
    classifier, images, labels, streams = setting()
    adversarial = CW()(classifier, images, labels, streams)
    assert (classifier(adversarial).argmax(1) != labels).all()
    ratio = norms.size(adversarial - images, "l2") / smallest(classifier, images, "l2")
    assert ratio.min() >= 0.999
    assert ratio.max() <= 1.05, ratio


def test_cw_moves_pixels_that_are_exactly_0_or_1():
    """A tanh change of variables leaves such pixels where they are."""
    classifier, images, labels, streams = setting()
    images = (images > 0.5).float()
    labels = classifier(images).argmax(1)
    adversarial = CW()(classifier, images, labels, streams)
    assert (classifier(adversarial).argmax(1) != labels).all()
    moved = ((adversarial - images).abs() > 1e-3).float().mean()
    assert moved > 0.3


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_cw_with_confidence_passes_the_border_by_so_much(norm):
    classifier, images, labels, streams = setting()
    adversarial = CW(norm=norm, confidence=1.0)(classifier, images, labels, streams)
    logits = classifier(adversarial)
    lead = logits.gather(1, 1 - labels[:, None]) - logits.gather(1, labels[:, None])
    assert lead.min() >= 1.0


def test_a_step_with_a_tiny_gradient_has_full_length():
    gradient = torch.full((1, 1, 2, 2), 1e-25)
    assert norms.size(norms.steepest(gradient, "l2"), "l2").item() == pytest.approx(1)
