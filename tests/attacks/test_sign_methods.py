"""BIM, MI-FGSM and R+FGSM: where a linear network falls, and what of them is PGD or FGSM."""

import pytest
import torch
from linear import setting, smallest
from test_published import mnist, needs_wong, wong

from robustbench_lite.attacks.bim import BIM
from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import evaluate

ATTACKS = {
    "bim": BIM,
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


@pytest.mark.parametrize("name", ATTACKS)
def test_what_makes_no_sense_is_refused(name):
    with pytest.raises(InputError):
        ATTACKS[name](eps=8.0)


@pytest.mark.parametrize("arguments", [{"steps": 0}, {"step_size": 0.0}, {"step_size": -1.0}])
def test_steps_that_make_no_sense_are_refused(arguments):
    with pytest.raises(InputError):
        BIM(**arguments)


def test_bim_is_pgd_from_the_image_with_equal_steps():
    classifier, images, labels, streams = setting()
    pgd = PGD(eps=0.05, steps=10, step_size=0.00625, random_start=False)
    assert torch.equal(
        BIM(eps=0.05)(classifier, images, labels, streams), pgd(classifier, images, labels, streams)
    )


def resisting(specs, n=200):
    rows = evaluate(wong(), mnist(n), specs, batch_size=n).samples
    return rows.groupby("condition", sort=False)["correct"].sum().tolist()


@needs_wong
def test_bim_finds_more_than_one_step():
    _, one, ten = resisting(["fgsm(eps=0.2)", "bim(eps=0.2)"])
    assert ten < one / 2
