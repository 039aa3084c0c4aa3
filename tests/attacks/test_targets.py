"""What an attack is to reach: a class, the least likely class, or a distribution over the classes."""

import numpy as np
import pytest
import torch
from test_contract import attack_of, images_of, network, streams_of

from robustbench_lite import registry
from robustbench_lite.applying import check_fits
from robustbench_lite.attacks.losses import loss_function, reached
from robustbench_lite.errors import InputError

SHARES = "(0.5, 0.3, 0.2)"
WANTED = torch.tensor([0.5, 0.3, 0.2])


def probabilities(classifier, images):
    return classifier(images).softmax(1)


@pytest.mark.parametrize(
    "spec",
    [
        *("pgd(eps=0.5, target={})", "pgd(eps=2, norm=l2, target={})", "apgd(eps=0.5, target={})"),
        *("bim(eps=0.5, steps=40, target={})", "mifgsm(eps=0.5, steps=40, target={})", "ddn(target={})"),
    ],
)
def test_a_distribution_is_reached(spec):
    classifier, x = network(), images_of(n=12)
    classifier.network[-1].weight.data *= 200  # sure of itself: the images are far from the goal
    y = classifier(x).argmax(1)
    assert ((probabilities(classifier, x) - WANTED).abs().amax(1) > 0.05).all()
    adversarial = attack_of(spec.format(SHARES))(classifier, x, y, streams_of(len(x)))
    near = (probabilities(classifier, adversarial) - WANTED).abs().amax(1) <= 0.05
    assert near.float().mean() >= 0.9


@pytest.mark.parametrize("spec", ["fgsm(eps=0.05, target={})", "rfgsm(eps=0.05, random_share=0.1, target={})"])
def test_one_step_comes_nearer_to_a_distribution(spec):
    classifier, x = network(), images_of(n=12)
    classifier.network[-1].weight.data *= 200
    y = classifier(x).argmax(1)
    adversarial = attack_of(spec.format(SHARES))(classifier, x, y, streams_of(len(x)))

    def divergence(images):
        return -(WANTED * probabilities(classifier, images).log()).sum(1)

    assert (divergence(adversarial) < divergence(x)).float().mean() >= 0.9


def test_reached_is_within_0_05_of_every_probability():
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.54, 0.26, 0.2], [0.56, 0.24, 0.2], [0.5, 0.3, 0.0]]).log()
    logits[3, 2] = torch.nan
    hit = reached(logits, WANTED.expand(4, 3), targeted=True)
    assert hit.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("pgd(target=(0.5, 0.6, 0))", "no probability distribution"),
        ("bim(target=(1.5, -0.5))", "no probability distribution"),
        ("fgsm(target=())", "no probability distribution"),
        ("pgd(loss=margin, target=(0.5, 0.5))", "the loss margin needs a class"),
        ("apgd(loss=dlr, target=(0.5, 0.5))", "the loss dlr needs a class"),
        ("ddn(loss=margin, target=(0.5, 0.5))", "the loss margin needs a class"),
        ("cw(target=(0.5, 0.5))", "cw: target"),
        ("fmn(target=(0.5, 0.5))", "fmn: target"),
        ("bim(steps=0)", "bim: steps=0"),
        ("bim(step_size=-1)", "bim: step_size"),
    ],
)
def test_what_cannot_be_is_refused(spec, reason):
    with pytest.raises(InputError, match=reason):
        registry.make(spec)


def test_a_loss_that_needs_a_class_refuses_a_distribution():
    with pytest.raises(InputError, match="needs a class"):
        loss_function("margin", WANTED[None], targeted=True)


def test_a_distribution_over_another_number_of_classes_is_refused():
    classifier, x = network(), images_of()
    with pytest.raises(InputError, match="target has 2 probabilities: the network has 3"):
        attack_of("pgd(eps=0.1, target=(0.5, 0.5))")(classifier, x, torch.zeros(6), streams_of(6))


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("pgd(eps=0.1, target=(0.5, 0.5))", "target has 2 probabilities: data has 3 classes"),
        ("pgd(eps=0.1, target=3)", "target=3 is no class"),
        ("night + pgd(eps=0.1, target=1)", "is the label of every image"),
        ("pgd(eps=128, norm=l2)", "Did you mean eps=128/255"),
        ("pgd(eps=1000, norm=l1)", "Did you mean eps=1000/255"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(spec, reason):
    with pytest.raises(InputError, match=reason):
        check_fits([registry.make(spec)], "data", np.ones(5, dtype=np.int64), 3, (1, 28, 28))


def test_the_longest_way_is_a_budget():
    check_fits([registry.make("pgd(eps=28, norm=l2)")], "data", np.ones(5, dtype=np.int64), 3, (1, 28, 28))
