"""Portfolios: the worst of several attacks, per image."""

import pytest
import torch
from linear import setting, smallest
from torch import nn

from robustbench_lite import registry
from robustbench_lite.attacks.autoattack import AutoAttack, _Expectation
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.networks import mlp
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams


def attack_of(spec):
    (part,) = registry.make(spec).parts
    return part


def small_setting(n=40):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = Classifier(mlp(32, input_shape=(1, 8, 8), num_classes=5))
    images = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():  # so that it takes the images for different classes, some of them barely
        classifier.network[-1].bias -= classifier(images).mean(0)
    return classifier, images, classifier(images).argmax(1), Streams(0, "x", tuple(map(str, range(n))))


def test_an_image_falls_if_it_falls_to_any_member():
    classifier, x, y, streams = small_setting()
    members = ["fgsm", "pgd(steps=4, random_start=false)", "fgsm(target=2)"]
    trace = attack_of(f"worst({', '.join(members)}, eps=0.05)").trace(classifier, x, y, streams)
    fooled = classifier(trace.images).argmax(1) != y
    # None of these attacks draws random numbers: alone they do what they do in the portfolio.
    alone = [classifier(_run(m, classifier, x, y, streams)).argmax(1) != y for m in members]
    assert torch.equal(fooled, torch.stack(alone).any(0))
    assert 0 < fooled.sum() < len(x)
    for i, by in enumerate(trace.by):
        first = next((m for m, hits in zip(members, alone, strict=True) if hits[i]), None)
        assert by == first
    assert len(set(trace.by)) > 2


def _run(member, classifier, x, y, streams):
    head, _, rest = member.partition("(")
    text = f"{head}(eps=0.05, {rest}" if rest else f"{head}(eps=0.05)"
    return attack_of(text)(classifier, x, y, streams)


def test_only_survivors_are_paid_for():
    classifier, x, y, streams = small_setting()
    fallen = int((classifier(_run("fgsm", classifier, x, y, streams)).argmax(1) != y).sum())
    assert 0 < fallen < len(x)
    classifier.take_counts()
    attack_of("worst(fgsm, fgsm(target=2), eps=0.05)")(classifier, x, y, streams)
    assert classifier.take_counts().gradients == len(x) + len(x) - fallen


@pytest.mark.parametrize(("share", "falls"), [(0.98, False), (1.02, True)])
def test_a_minimum_norm_member_counts_within_the_budget_only(share, falls):
    classifier, x, y, streams = setting()
    eps = share * float(smallest(classifier, x, "l2")[0])
    trace = attack_of(f"worst(ddn(steps=60), eps={eps})").trace(classifier, x[:1], y[:1], streams[[0]])
    assert (trace.by == ["ddn(steps=60)"]) is falls
    assert ((classifier(trace.images).argmax(1) != y[:1]).item()) is falls


def test_autoattack_has_the_published_budgets():
    attack = attack_of("autoattack(eps=0.1)")
    names = ["apgd", "apgd(loss=dlr, targets=9)", "fab(targets=9)", "square"]
    assert [registry.spec(member) for member in attack.attacks] == names
    assert attack.max_cost().gradients == 100 + 900 + 900
    assert attack.max_cost().forwards >= 5000 + 1900
    l2 = [registry.spec(member) for member in attack_of("autoattack(norm=l2)").attacks]
    assert l2 == [
        "apgd(norm=l2)",
        "apgd(norm=l2, loss=dlr, targets=9)",
        "fab(norm=l2, targets=9)",
        "square(norm=l2)",
    ]
    rand = attack_of("autoattack(version=rand)")
    assert [registry.spec(member) for member in rand.attacks] == ["apgd", "apgd(loss=dlr)"]
    assert rand.max_cost().gradients == 20 * 200
    with pytest.raises(InputError, match="version of autoattack"):
        AutoAttack(version="plus")


@pytest.mark.slow
def test_autoattack_finds_what_its_members_find():
    classifier, x, y, streams = small_setting(12)
    attack = attack_of("autoattack(eps=0.02)")
    trace = attack.trace(classifier, x, y, streams)
    pgd = attack_of("pgd(eps=0.02, loss=margin, restarts=2)")(classifier, x, y, streams)
    fooled = classifier(trace.images).argmax(1) != y
    assert not (~fooled & (classifier(pgd).argmax(1) != y)).any()
    assert 0 < fooled.sum() < len(x)
    assert [by is not None for by in trace.by] == fooled.tolist()


def test_the_random_version_sees_the_mean_of_a_random_network():
    """Its gradient is that of the mean, where a single one points anywhere."""

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator = torch.Generator().manual_seed(0)

        def forward(self, x):
            noise = 8 * torch.randn(x.shape, generator=self.generator)
            score = (x * (1 + noise)).flatten(1).sum(1)
            return torch.stack([score * 0, score], 1)

    classifier = Classifier(Noisy())
    x = torch.full((2, 1, 8, 8), 0.5)

    def spread(model):
        gradient = model.gradient(x, lambda logits: logits[:, 1]).gradient
        return (gradient - 1).std().item()

    single, mean = spread(classifier), spread(_Expectation(classifier))
    assert 0.15 < mean / single < 0.3  # 1 / sqrt(20) = 0.22
    classifier.take_counts()
    _Expectation(classifier)(x)
    assert classifier.take_counts().forwards == 40
