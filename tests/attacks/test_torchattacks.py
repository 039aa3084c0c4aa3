"""The attacks of torchattacks through our evaluator: the same images, counted, checked and repeatable."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite import evaluate, load_classifier, load_dataset, norms, registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.networks import cnn
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.rng import Streams


def test_a_missing_library_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    with pytest.raises(InputError, match=r"pip install 'robustbench-lite\[torchattacks\]'"):
        registry.make("torchattacks:PGD")


library = pytest.importorskip("torchattacks")
WRAPPED = [name for name in library.__all__ if name not in ("MultiAttack", "LGV")]
SOME = ["PGD(eps=0.1, steps=4)", "PGDL2(eps=0.5, steps=4)", "CW(steps=5)", "APGDT(eps=0.1, steps=3)", "GN"]
SOME += ["EADL1(max_iterations=10, binary_search_steps=2)", "Square(eps=0.1, n_queries=20)"]


@pytest.fixture(scope="module")
def classifier():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(cnn(4, input_shape=(1, 8, 8), num_classes=5), mean=[0.4], std=[0.3])


@pytest.fixture
def images():
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def streams(n=6):
    return Streams(0, "x", tuple(f"id{i}" for i in range(n)))


def attack_of(spec):
    (part,) = registry.make(f"torchattacks:{spec}").parts
    return part


@pytest.mark.parametrize("name", WRAPPED)
def test_make_and_spec_are_inverses(name):
    condition = registry.make(f"TorchAttacks:{name.lower()}")
    assert registry.spec(condition) == f"torchattacks:{name}"
    assert registry.make(registry.spec(condition)) == condition
    attack = condition.attacks[0]
    assert attack.minimal is not hasattr(attack, "eps")
    assert attack.max_cost().forwards > 0


def test_arguments_keep_their_values():
    condition = registry.make("torchattacks:FAB(norm=L2, eps=1, steps=7, alpha_max=0.2, multi_targeted=true)")
    assert registry.spec(condition) == (
        "torchattacks:FAB(norm=l2, eps=1, steps=7, alpha_max=0.2, multi_targeted=true)"
    )
    assert registry.make(registry.spec(condition)) == condition
    assert condition.attacks[0].norm == "l2"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("torchattacks", "which attack of it"),
        ("torchattacks:PDG", "Did you mean 'pgd'"),
        ("torchattacks:MultiAttack", "unknown attack of torchattacks"),
        ("torchattacks:PGD(epsilon=0.1)", "unknown argument of torchattacks:PGD 'epsilon'.*eps"),
        ("torchattacks:CW(eps=0.1)", "has no eps"),
        ("torchattacks:PGD(steps=many)", "steps=many is refused"),
        ("torchattacks:PGD(eps=8)", "Did you mean eps=8/255"),
        ("torchattacks:APGD(norm=l7)", "unknown norm 'l7'"),
    ],
)
def test_bad_specs_are_refused(spec, said):
    with pytest.raises(InputError, match=said):
        registry.make(spec)


def test_unknown_argument_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Known: eps"):
        registry.make("torchattacks:FGSM(beta=1)")


@pytest.mark.parametrize("spec", ["PGD(eps=0.1, alpha=0.02, steps=6, random_start=false)", "CW(c=5, steps=20)"])
def test_it_is_the_library_that_runs(spec, classifier, images):
    """The library called by itself, on the network with its normalisation in front, gives the same images."""

    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = classifier.network

        def forward(self, x):
            return self.network((x - 0.4) / 0.3)

    attack = attack_of(spec)
    labels = classifier(images).argmax(1)
    alone = type(attack).theirs(Normalised().eval(), **vars(attack))(images, labels)
    classifier.network.zero_grad(set_to_none=True)  # which the library leaves behind
    assert not torch.equal(alone, images)
    assert torch.allclose(attack(classifier, images, labels, streams()), alone, atol=1e-6)


@pytest.mark.parametrize("spec", SOME)
def test_it_keeps_what_every_attack_must(spec, classifier, images):
    attack, labels = attack_of(spec), classifier(images).argmax(1)
    before, weights = images.clone(), [p.clone() for p in classifier.network.parameters()]
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = attack(classifier, images, labels, streams())
    again = attack(classifier, images, labels, streams())
    assert torch.equal(first, again)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    parameters = list(classifier.network.parameters())
    assert all(map(torch.equal, parameters, weights))
    assert all(p.grad is None and p.requires_grad for p in parameters)
    assert first.shape == images.shape
    assert not first.requires_grad
    assert first.min() >= 0
    assert first.max() <= 1
    if not attack.minimal:
        assert norms.size(first - images, attack.norm).max() <= attack.eps + 1e-6
        unchanged = dataclasses.replace(attack, eps=0)(classifier, images, labels, streams())
        assert torch.equal(unchanged, images)


@pytest.mark.parametrize(
    ("spec", "forwards", "gradients"),
    [
        ("FGSM(eps=0.01)", 1, 1),
        ("PGD(eps=0.01, steps=7)", 7, 7),
        ("EOTPGD(eps=0.01, steps=3, eot_iter=4)", 12, 12),
    ],
)
def test_what_it_spends_is_counted(spec, forwards, gradients, classifier, images):
    labels = classifier(images).argmax(1)
    classifier.take_counts()
    attack = attack_of(spec)
    attack(classifier, images, labels, streams())
    counts = classifier.take_counts()
    assert (counts.forwards, counts.gradients) == (6 * forwards, 6 * gradients)
    assert attack.max_cost().gradients >= gradients


def test_each_backward_pass_of_a_jacobian_is_a_gradient(classifier, images):
    labels = classifier(images).argmax(1)
    classifier.take_counts()
    attack_of("DeepFool(steps=1)")(classifier, images, labels, streams())
    assert classifier.take_counts().gradients == 6 * 5  # five classes


def test_images_that_lie_channels_last_do_not_crash_it(classifier):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        colour = Classifier(cnn(4, input_shape=(3, 8, 8), num_classes=5).to(memory_format=torch.channels_last))
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)
    for spec in ("PGDL2(eps=0.5, steps=2)", "APGD(eps=0.1, norm=l2)"):
        assert attack_of(spec)(colour, x, colour(x).argmax(1), streams(4)).shape == x.shape


def test_blind_gradients_are_reported(images):
    class Steps(nn.Module):
        def forward(self, x):
            score = x.flatten(1).sum(1)
            return torch.stack([score * 0, score * 0 + 1], 1)

    classifier = Classifier(Steps())
    labels = classifier(images).argmax(1)
    attack_of("PGD(eps=0.1, steps=3)")(classifier, images, labels, streams())
    assert classifier.take_counts().zero_gradients == 3 * 6


def test_scores_alone_are_refused(images):
    class Scores:
        def __call__(self, x):
            return x.flatten(1)[:, :5]

    with pytest.raises(InputError, match="needs a network of PyTorch"):
        attack_of("PGD(eps=0.1)")(Scores(), images, torch.zeros(6, dtype=torch.int64), streams())


def test_a_failure_of_the_library_is_told(classifier, images):
    with pytest.raises(InputError, match="torchattacks:TIFGSM fails: RuntimeError"):
        attack_of("TIFGSM(eps=0.1)")(classifier, images, classifier(images).argmax(1), streams())


def test_in_a_run_it_is_verified_scored_afresh_and_its_faults_are_named():
    data = load_dataset("digits", limit=8)
    result = evaluate(
        load_classifier("demo"), data, ["torchattacks:AutoAttack(eps=0.5)", "torchattacks:PGD(steps=3)"]
    )
    clean, auto, pgd = result.conditions
    assert auto.spec == "torchattacks:AutoAttack(eps=0.5)"
    assert pgd.threat_model[0].norm == "linf"
    assert pgd.threat_model[0].eps == 0.1
    assert "10 steps, not the published 100" in auto.warnings[0]
    assert "alpha · steps = 0.0235 is less than eps = 0.1" in pgd.warnings[0]
    assert pgd.gradients == 3 * result.samples.query("condition == @pgd.spec")["attacked"].sum()
    accuracy = result.samples.groupby("condition")["correct"].mean()
    assert accuracy[auto.spec] <= accuracy[pgd.spec] <= accuracy[clean.spec]


def test_the_faults_of_a_member_of_worst_are_named():
    spec = "worst(fgsm(norm=l2), torchattacks:CW(steps=2), eps=0.3)"
    (_, worst) = evaluate(load_classifier("demo"), load_dataset("digits", limit=4), [spec]).conditions
    assert worst.spec == spec
    assert "does not search c" in " ".join(worst.warnings)
