"""What every registered attack must keep, whatever it does."""

import copy

import pytest
import torch
from linear import Linear
from torch import nn

from robustbench_lite import norms, registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.networks import cnn
from robustbench_lite.guarding import GuardedClassifier
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.pca import PCA
from robustbench_lite.outliers.score import Normals
from robustbench_lite.rng import Streams
from robustbench_lite.types import Condition

SPECS = [
    "fgsm(eps=0.1)",
    "fgsm(eps=0.8, norm=l2)",
    "fgsm(eps=0.1, target=2)",
    "rfgsm(eps=0.1)",
    "rfgsm(eps=0.1, random_share=0.2, target=2)",
    "bim(eps=0.1, steps=5)",
    "bim(eps=0.1, steps=5, step_size=0.03, target=least-likely)",
    "mifgsm(eps=0.1, steps=5)",
    "mifgsm(eps=0.1, steps=5, step_size=0.04, decay=0.5, target=1)",
    "pgd(eps=0.1, steps=5, restarts=2)",
    "pgd(eps=0.8, norm=l2, steps=5)",
    "pgd(eps=2, norm=l1, steps=8)",
    "pgd(eps=0.1, steps=5, loss=margin, target=least-likely)",
    "apgd(eps=0.1, steps=12, restarts=2)",
    "apgd(eps=0.8, norm=l2, steps=12, loss=margin, target=1)",
    "apgd(eps=0.1, steps=6, loss=dlr, targets=9)",
    "cw(steps=10, search_steps=3)",
    "cw(steps=10, search_steps=2, target=1)",
    "cw(norm=linf, steps=10, search_steps=3)",
    "lbfgs(steps=10, search_steps=3)",
    "lbfgs(steps=10, search_steps=2, target=1)",
    "ddn(steps=10)",
    "ddn(steps=10, target=1)",
    "ddn(steps=10, levels=256, gamma=0.05)",
    "fmn(steps=10)",
    "fmn(steps=10, norm=linf)",
    "fmn(steps=10, norm=l1, target=1)",
    "fmn(steps=10, norm=l0)",
    "fmn(steps=10, step_size=1, target=least-likely)",
    "deepfool(steps=5)",
    "deepfool(steps=5, norm=linf, candidates=2)",
    "autoattack(eps=0.6)",
    "autoattack(eps=0.6, version=rand)",
    "adaptive(eps=0.6)",
    "adaptive(eps=4, norm=l2)",
    "fab(steps=5)",
    "fab(steps=5, norm=l2, targets=2, restarts=2)",
    "fab(steps=5, norm=l1, candidates=2)",
    "worst(fgsm, pgd(steps=3), fmn(steps=3, norm=linf), eps=0.1)",
    "worst(ddn(steps=5), fgsm(norm=l2), eps=0.4)",
    "square(eps=0.1, queries=40, restarts=2)",
    "square(eps=0.8, norm=l2, queries=40)",
    "square(eps=0.1, queries=40, target=least-likely)",
    "evolution(eps=0.1, queries=40, population=4)",
    "evolution(eps=0.8, norm=l2, queries=40, target=1)",
    "evade(eps=0.1, steps=10)",
    "evade(eps=0.8, norm=l2, steps=10, variant=orthogonal)",
    "evade(eps=0.1, steps=10, variant=selective, loss=ce)",
    "onepixel(queries=40, population=10)",
    "onepixel(pixels=3, queries=40, population=10, target=1)",
]


def attack_of(spec):
    (part,) = registry.make(spec).parts
    return part


def network(channels=1, classes=3, side=8):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(cnn(4, input_shape=(channels, side, side), num_classes=classes))


def model_for(spec, channels=1):
    """The network; for an attack on both with a detector beside it, which half of the images pass."""
    classifier = network(channels)
    if not spec.startswith("evade"):
        return classifier
    fitted = fit_detector(Normals(images_of(60, channels)), [(PCA(components=4), 1.0)])
    return GuardedClassifier(classifier, fitted.calibrated(images_of(40, channels, seed=4), 0.5), (channels, 8, 8))


def images_of(n=6, channels=1, side=8, seed=3):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def streams_of(n):
    return Streams(0, "x", tuple(f"id{i}" for i in range(n)))


def test_every_registered_attack_is_here():
    # torchattacks is a library, with tests of its own
    assert {spec.partition("(")[0] for spec in SPECS} == set(registry.BUILTIN["attack"]) - {"torchattacks"}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("spec", SPECS)
def test_the_result_is_an_image_within_the_budget(spec, channels):
    attack, classifier, x = attack_of(spec), model_for(spec, channels), images_of(channels=channels)
    y = classifier(x).argmax(1)
    before = x.clone()
    weights = copy.deepcopy(classifier.network.state_dict())
    adversarial = attack(classifier, x, y, streams_of(len(x)))
    assert torch.equal(x, before)
    assert all(torch.equal(weights[k], v) for k, v in classifier.network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in classifier.network.parameters())
    assert adversarial.shape == x.shape
    assert adversarial.dtype == x.dtype
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    if hasattr(attack, "pixels"):
        assert norms.size(adversarial - x, "l0").max() <= attack.pixels * channels
    elif not attack.minimal:
        assert norms.size(adversarial - x, attack.norm).max() <= attack.eps * (1 + 1e-6) + 1e-6


@pytest.mark.parametrize("spec", SPECS)
def test_an_image_fares_the_same_alone_and_in_any_order(spec):
    attack, classifier, x = attack_of(spec), model_for(spec), images_of()
    y = classifier(x).argmax(1)
    together = attack(classifier, x, y, streams_of(len(x)))
    again = attack(classifier, x, y, streams_of(len(x)))
    assert torch.equal(together, again)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    shuffled = attack(classifier, x[order], y[order], streams_of(len(x))[order])
    assert torch.allclose(shuffled, together[order], atol=1e-4)
    for i in (0, 4):
        alone = attack(classifier, x[i : i + 1], y[i : i + 1], streams_of(len(x))[[i]])
        assert torch.allclose(alone, together[i : i + 1], atol=1e-4)


@pytest.mark.parametrize("spec", SPECS)
def test_no_attack_costs_more_than_it_says(spec):
    attack, classifier, x = attack_of(spec), model_for(spec), images_of()
    y = classifier(x).argmax(1)
    classifier.take_counts()
    attack(classifier, x, y, streams_of(len(x)))
    counts, most = classifier.take_counts(), attack.max_cost()
    assert counts.gradients <= most.gradients * len(x)
    assert (counts.gradients > 0) == (most.gradients > 0) == attack.needs_gradient
    assert 0 < counts.forwards <= (most.forwards + 1) * len(x)


@pytest.mark.parametrize("spec", [s for s in SPECS if "(eps=" in s])
def test_no_budget_no_change(spec):
    attack, classifier, x = attack_of(spec), model_for(spec), images_of()
    part = type(attack)(**{**vars(attack), "eps": 0.0})
    assert torch.equal(part(classifier, x, classifier(x).argmax(1), streams_of(len(x))), x)


@pytest.mark.parametrize("spec", ["fgsm(eps=0.3)", "pgd(eps=0.3, steps=10)", "cw(steps=30, search_steps=5)"])
def test_two_classes(spec):
    attack, classifier = attack_of(spec), Classifier(Linear())
    x = images_of(side=6)
    y = classifier(x).argmax(1)
    assert (classifier(attack(classifier, x, y, streams_of(len(x)))).argmax(1) != y).all()


@pytest.mark.parametrize("spec", ["pgd(eps=0.5, steps=20, target={})", "cw(target={})"])
def test_a_target_is_reached(spec):
    classifier, x = network(), images_of(n=12)
    y = classifier(x).argmax(1)
    target = (int(y[0]) + 1) % 3
    x, y = x[y != target], y[y != target]
    assert len(x) >= 4
    adversarial = attack_of(spec.format(target))(classifier, x, y, streams_of(len(x)))
    assert (classifier(adversarial).argmax(1) == target).float().mean() > 0.9


def test_restarts_start_elsewhere_and_never_lose_what_was_found():
    classifier, x = network(), images_of(n=40)
    y = classifier(x).argmax(1)
    streams = streams_of(len(x))

    def fooled(restarts):
        attack = attack_of(f"pgd(eps=0.03, steps=2, restarts={restarts})")
        return classifier(attack(classifier, x, y, streams)).argmax(1) != y

    once, often = fooled(1), fooled(6)
    assert (once & ~often).sum() == 0
    assert often.sum() > once.sum()


def test_pgd_stops_paying_for_what_has_fallen():
    classifier, x = network(), images_of(n=20)
    y = classifier(x).argmax(1)
    classifier.take_counts()
    attack_of("pgd(eps=0.9, steps=50)")(classifier, x, y, streams_of(len(x)))
    assert classifier.take_counts().gradients < 0.5 * 50 * len(x)


def test_gradients_that_are_not_finite_are_counted_and_harmless():
    class Broken(nn.Module):
        def forward(self, x):
            score = x.flatten(1).sum(1)
            # sqrt has an infinite slope at 0, which meets a factor of 0
            score = score + (x - x).flatten(1).sum(1).sqrt()
            return torch.stack([score * 0, score], 1)

    classifier, x = Classifier(Broken()), images_of(side=6)
    y = classifier(x).argmax(1)
    adversarial = attack_of("pgd(eps=0.1, steps=3, random_start=false)")(classifier, x, y, streams_of(len(x)))
    assert adversarial.isfinite().all()
    assert classifier.take_counts().bad_gradients == 3 * len(x)


def test_unset_budget_is_said():
    with pytest.raises(Exception, match="eps is not set"):
        attack_of("pgd")(network(), images_of(), torch.zeros(6, dtype=torch.int64), streams_of(6))


def test_a_condition_knows_its_kind():
    assert Condition().kind == "clean"
    assert registry.make("pgd(eps=0.1)").kind == "attack"
    assert registry.make("night + pgd(eps=0.1)").kind == "chain"
