"""Adversarial training: the published formulas by hand, budgets, and texts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustbench_lite import norms, registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.networks import cnn
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams
from robustbench_lite.training.by_attack import ByAttack
from robustbench_lite.training.defences import make_defence, told
from robustbench_lite.training.fast import Fast
from robustbench_lite.training.madry import Madry
from robustbench_lite.training.recipe import Recipe, make_recipe
from robustbench_lite.training.trades import Trades

COUNT, SHAPE, CLASSES = 24, (2, 8, 8), 3


def uniform(*shape, seed=0):
    return torch.empty(*shape).uniform_(generator=torch.Generator().manual_seed(seed))


IMAGES = uniform(COUNT, *SHAPE)
LABELS = torch.arange(COUNT) % CLASSES
STREAMS = Streams(3, "training, epoch 2", tuple(map(str, range(COUNT))))


def criterion(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = cnn(width=4, input_shape=SHAPE, num_classes=CLASSES)
        for layer in made.modules():
            if isinstance(layer, nn.BatchNorm2d):  # as after training
                layer.running_mean.uniform_(-0.2, 0.2)
                layer.running_var.uniform_(0.5, 1.5)
    return made.train()


@pytest.fixture
def classifier(network):
    return Classifier(network, mean=[0.4, 0.6], std=[0.2, 0.3])


@pytest.fixture(scope="module")
def linear():
    """Two classes; the gradient of the cross-entropy lies along the difference of the weights."""
    layer = nn.Linear(128, 2)
    layer.weight.data = uniform(2, 128, seed=1) - 0.5
    layer.bias.data.zero_()
    return nn.Sequential(nn.Flatten(), layer)


def by_hand(network, x, labels, start, eps, steps, step_size):
    """PGD in linf as Madry et al. have it, written out; the network in eval mode."""
    network.eval()
    z = (x + start.clamp(-eps, eps)).clamp(0, 1)
    for _ in range(steps):
        z = z.detach().requires_grad_()
        logits = network(
            (z - torch.tensor([0.4, 0.6]).view(1, -1, 1, 1)) / torch.tensor([0.2, 0.3]).view(1, -1, 1, 1)
        )
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), z)
        z = torch.min(torch.max(z.detach() + step_size * slope.sign(), x - eps), x + eps).clamp(0, 1)
    network.train()
    return z


class TestInner:
    @pytest.mark.parametrize(
        ("defence", "steps", "step_size"),
        [(Fast(), 1, 1.25 * 0.1), (Fast(steps=4), 4, 2.5 * 0.1 / 4), (Madry(), 7, 2.5 * 0.1 / 7)],
    )
    def test_it_is_the_published_attack(self, network, classifier, defence, steps, step_size):
        found = defence.attacked(classifier, IMAGES, LABELS, STREAMS, 0.1)
        start = norms.random_start(STREAMS, IMAGES, 0.1, "linf")
        wanted = by_hand(network, IMAGES, LABELS, start, 0.1, steps, step_size)
        # A sign may differ where rounding decides; it must be rare.
        assert ((found - wanted).abs() > 1e-5).float().mean() < 0.002
        assert found.requires_grad is False

    def test_trades_raises_the_divergence_from_the_clean_prediction(self, network, classifier):
        found = Trades(steps=5).attacked(classifier, IMAGES, LABELS, STREAMS, 0.1)
        clean = classifier(IMAGES).softmax(1)

        def divergence(images):
            return (clean * (clean.log() - classifier(images).log_softmax(1))).sum(1)

        start = norms.random_start(STREAMS, IMAGES, 0.1, "linf")
        assert (divergence(found) > divergence((IMAGES + start).clamp(0, 1))).all()
        other = Trades(steps=5).attacked(classifier, IMAGES, (LABELS + 1) % CLASSES, STREAMS, 0.1)
        assert torch.equal(found, other)  # it asks for no label

    @pytest.mark.parametrize("defence", [Fast(), Madry(), Trades()])
    def test_on_a_linear_network_it_reaches_the_worst_loss(self, linear, defence):
        """The margin y·(w·x) falls by eps · ‖w‖₁ and no further (linf); images far from the edges of [0, 1]."""
        model, x, eps = Classifier(linear), 0.3 + 0.4 * IMAGES, 0.05
        labels = LABELS % 2
        found = defence.attacked(model, x, labels, STREAMS, eps)
        difference = linear[1].weight[1] - linear[1].weight[0]
        before, after = (m[:, 1] - m[:, 0] for m in (model(x), model(found)))
        # Trades knows no label, and may move the prediction either way.
        fall = (after - before).abs() if isinstance(defence, Trades) else (1 - 2 * labels) * (after - before)
        worst = (eps * difference.abs().sum()).expand(COUNT)
        if isinstance(defence, Fast):  # its one step leaves those pixels short that began on the other side
            sign = norms.per_sample(1 - 2 * labels, x) * difference.sign().view(1, *SHAPE)
            short = eps - sign * norms.random_start(STREAMS, x, eps, "linf") - 1.25 * eps
            worst = worst - (short.clamp_min(0).flatten(1) * difference.abs()).sum(1)
        torch.testing.assert_close(fall, worst, rtol=1e-4, atol=1e-4)

    def test_the_worst_loss_in_l2_and_l1(self, linear):
        model, x, labels = Classifier(linear), 0.3 + 0.4 * IMAGES, LABELS % 2
        difference = (linear[1].weight[1] - linear[1].weight[0]).detach()
        for norm, eps, dual in (("l2", 0.5, difference.norm()), ("l1", 0.2, difference.abs().max())):
            found = Madry(norm=norm, steps=30).attacked(model, x, labels, STREAMS, eps)
            before, after = (m[:, 1] - m[:, 0] for m in (model(x), model(found)))
            fall = (1 - 2 * labels) * (after - before)
            torch.testing.assert_close(fall, (eps * dual).expand(COUNT), rtol=0.03, atol=1e-4)

    @pytest.mark.parametrize(
        "text",
        [
            *("fast", "fast(norm=l2)", "pgd", "pgd(norm=l2)", "pgd(norm=l1)", "pgd(step_size=3)"),
            *("trades", "trades(norm=l2)", "fgsm", "mifgsm(steps=2)", "ddn(steps=5)", "deepfool(norm=linf)"),
            "worst(fgsm, bim(steps=2))",
        ],
    )
    def test_the_budget_is_kept(self, classifier, text):
        defence, eps = make_defence(text), 0.07
        edges = IMAGES.round()  # black and white: the edges of [0, 1] matter
        for images in (IMAGES, edges):
            found = defence.attacked(classifier, images, LABELS, STREAMS, eps)
            assert norms.size(found - images, defence.norm).max() <= eps + 1e-6
            assert found.min() >= 0
            assert found.max() <= 1
            assert not found.requires_grad
        assert (found != images).any()

    def test_all_steps_are_taken(self, classifier):
        """Other than the attack of that name, which stops at the first success."""
        near = registry.make("pgd(eps=0.1, steps=7)").parts[0]
        wrong = classifier(IMAGES).argmax(1)
        with classifier.frozen():
            stopped = near(classifier, IMAGES, (wrong + 1) % CLASSES, STREAMS)
        far = Madry().attacked(classifier, IMAGES, (wrong + 1) % CLASSES, STREAMS, 0.1)
        loss = criterion(classifier(far), (wrong + 1) % CLASSES) - criterion(
            classifier(stopped), (wrong + 1) % CLASSES
        )
        assert loss.mean() > 0

    def test_the_network_comes_back_as_it_was(self, network, classifier):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        for text in ("fast", "pgd", "trades", "fgsm"):
            make_defence(text).attacked(classifier, IMAGES, LABELS, STREAMS, 0.1)
        assert all(module.training for module in network.modules())
        assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    def test_the_streams_decide(self, classifier):
        one, two = (Madry().attacked(classifier, IMAGES, LABELS, STREAMS, 0.1) for _ in range(2))
        other = Madry().attacked(classifier, IMAGES, LABELS, replace(STREAMS, condition="training, epoch 3"), 0.1)
        assert torch.equal(one, two)
        assert not torch.equal(one, other)

    def test_shares_of_the_classes_are_labels_too(self, classifier):
        shares = F.one_hot(LABELS, CLASSES).float()
        for text in ("fast", "pgd", "trades", "fgsm"):
            defence = make_defence(text)
            one, two = (defence.attacked(classifier, IMAGES, y, STREAMS, 0.1) for y in (LABELS, shares))
            torch.testing.assert_close(one, two)


class TestLoss:
    def test_trades_is_the_published_formula(self):
        """CE(clean) + beta · KL(clean ‖ adversarial), and its gradient, which flows through both predictions."""
        clean, attacked = (uniform(COUNT, CLASSES, seed=s).mul(4).double().requires_grad_() for s in (5, 6))
        found = Trades(beta=6).loss(clean, attacked, LABELS, criterion)
        p, q = clean.exp() / clean.exp().sum(1, keepdim=True), attacked.exp() / attacked.exp().sum(1, keepdim=True)
        wanted = -p[range(COUNT), LABELS].log() + 6 * (p * (p / q).log()).sum(1)
        torch.testing.assert_close(found, wanted)
        for one, two in zip(
            *(torch.autograd.grad(v.sum(), (clean, attacked)) for v in (found, wanted)), strict=True
        ):
            torch.testing.assert_close(one, two)

    @pytest.mark.parametrize("defence", [Fast(), Madry(), ByAttack(registry.make("fgsm").parts[0])])
    def test_the_others_learn_from_attacked_images_alone(self, defence):
        logits = uniform(COUNT, CLASSES, seed=5)
        assert torch.equal(defence.loss(None, logits, LABELS, criterion), criterion(logits, LABELS))
        assert not defence.sees_clean


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("fast", Fast()),
            ("PGD", Madry()),
            ("pgd(eps=8/255, norm=l1, steps=10)", Madry(eps=8 / 255, norm="l1", steps=10)),
            ("trades(beta=1)", Trades(beta=1.0)),
        ],
    )
    def test_names(self, text, wanted):
        assert make_defence(text) == wanted
        assert make_defence(told(wanted)) == wanted

    def test_options_are_arguments(self):
        given = {"eps": "8/255", "norm": "l2", "steps": 3, "step_size": "1/255"}
        assert make_defence("pgd", given) == Madry(8 / 255, "l2", 3, 1 / 255)
        with pytest.raises(InputError, match="eps is given in --adversarial and beside it"):
            make_defence("pgd(eps=0.1)", given)

    @pytest.mark.parametrize(
        "text", ["mifgsm(eps=0.1, steps=5)", "ddn(steps=5, eps=0.1)", "worst(fgsm, pgd, eps=0.1)"]
    )
    def test_any_attack(self, text):
        defence = make_defence(text)
        assert isinstance(defence, ByAttack)
        assert defence.eps == 0.1
        assert make_defence(told(defence)) == defence

    def test_one_of_ones_own(self, tmp_path):
        (tmp_path / "own.py").write_text(
            "from dataclasses import dataclass\n"
            "from robustbench_lite.training.defence import Defence\n"
            "@dataclass(frozen=True)\n"
            "class Still(Defence):\n"
            "    eps: float | None = None\n"
            "    norm = 'linf'\n"
            "    def attacked(self, classifier, images, labels, streams, eps):\n"
            "        return images\n"
            "    def loss(self, clean, adversarial, labels, criterion):\n"
            "        return criterion(adversarial, labels)\n"
        )
        defence = make_defence(f"{tmp_path}/own.py:Still", {"eps": 0.1})
        assert defence.eps == 0.1
        assert make_defence(told(defence)) == defence

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("pdg", "pgd"),
            ("night", "is no attack"),
            ("pgd + fgsm", "is a chain"),
            ("evade", "detector"),
            ("onepixel", "l0"),
            ("fast(norm=l1)", "norm"),
            ("pgd(steps=0)", "steps=0"),
            ("pgd(step_size=0)", "step_size=0"),
            ("pgd(eps=0)", "eps=0"),
            ("pgd(eps=8)", "eps=8/255"),
            ("trades(beta=-1)", "beta=-1"),
            ("fgsm(steps=3)", "steps"),
            ("os:system", "is no attack"),
        ],
    )
    def test_what_cannot_be_is_refused(self, text, said):
        with pytest.raises(InputError, match=said):
            make_defence(text)

    def test_recipe(self):
        recipe = make_recipe(adversarial="pgd", arguments={"steps": 3})
        assert recipe == Recipe(Madry(steps=3), warmup=0.3)
        assert make_recipe(adversarial="fgsm", warmup=0).warmup == 0
        assert make_recipe() == Recipe()
        assert recipe.with_eps({"linf": 0.2}).adversarial == Madry(eps=0.2, steps=3)
        with pytest.raises(InputError, match="no usual budget in linf"):
            recipe.with_eps({})

    @pytest.mark.parametrize(
        ("given", "name"), [({"arguments": {"step_size": "1"}}, "step-size"), ({"warmup": 0.1}, "warmup")]
    )
    def test_arguments_of_nothing_are_refused(self, given, name):
        with pytest.raises(InputError, match=f"--{name} means nothing without --adversarial"):
            make_recipe(**given)
