"""Attacks for the smallest change: near the closed form on a linear network, small on a robust one."""

import pytest
import torch
from linear import setting, smallest
from test_contract import attack_of, network, streams_of
from test_published import mnist, needs_wong, wong
from torch import nn

from robustbench_lite import norms, registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import evaluate

NORMS = ["l2", "linf", "l1"]


@pytest.mark.parametrize(
    "spec",
    [
        *("ddn", "ddn(loss=margin)", "ddn(target={})", "fmn(target={})", "fmn(step_size=1, gamma=0.05)"),
        *(f"fmn(norm={norm})" for norm in NORMS),
        *("deepfool", "deepfool(norm=linf)", "cw(norm=linf)", "cw(norm=linf, target={})"),
        *("lbfgs", "lbfgs(target={})"),
    ],
)
def test_the_change_is_within_five_percent_of_the_smallest(spec):
    classifier, images, labels, streams = setting(n=40)
    if "{}" in spec:
        images, labels, streams = images[labels == 0], labels[labels == 0], streams[(labels == 0).nonzero()[:, 0]]
        spec = spec.format(1)
    attack = attack_of(spec)
    adversarial = attack(classifier, images, labels, streams)
    assert (classifier(adversarial).argmax(1) != labels).all()
    truth = smallest(classifier, images, attack.norm)
    # Where a single pixel would leave [0, 1], the closed form does not hold.
    inside = (truth < 0.19) if attack.norm == "l1" else (truth > 0)
    ratio = (norms.size(adversarial - images, attack.norm) / truth)[inside]
    assert len(ratio) >= 8
    assert ratio.min() >= 0.999
    assert ratio.quantile(0.9) <= 1.05, ratio
    assert ratio.max() <= (1.1 if spec.startswith("lbfgs") else 1.05), ratio  # where it ends depends on its start


@pytest.mark.parametrize(
    "spec",
    ["ddn", "cw(norm=linf, steps=20)", "lbfgs", *(f"fmn(norm={norm}, steps=20)" for norm in [*NORMS, "l0"])],
)
def test_nothing_found_leaves_the_images(spec):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.stack([1 + 0 * x.flatten(1).sum(1), 0 * x.flatten(1).sum(1)], 1)

    classifier, x = Classifier(Constant()), torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(4, dtype=torch.int64)
    assert torch.equal(attack_of(spec)(classifier, x, labels, streams_of(4)), x)


@pytest.mark.parametrize(
    "spec",
    [
        "ddn(steps=200, target={})",
        "lbfgs(target={})",
        *(f"fmn(norm={norm}, target={{}})" for norm in [*NORMS, "l0"]),
    ],
)
def test_a_target_is_reached(spec):
    classifier, x = network(), torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    y = classifier(x).argmax(1)
    target = (int(y[0]) + 1) % 3
    x, y = x[y != target], y[y != target]
    adversarial = attack_of(spec.format(target))(classifier, x, y, streams_of(len(x)))
    assert (classifier(adversarial).argmax(1) == target).float().mean() > 0.9


def fewest(classifier, images):
    """The fewest values that must change here: the largest gains in [0, 1] until the sign turns."""
    w, b = classifier.network.w.detach(), classifier.network.b.detach()
    x = images.flatten(1)
    score = x @ w + b
    towards = -score.sign()[:, None] * w
    gains = torch.where(towards > 0, (1 - x) * towards, -x * towards).sort(dim=1, descending=True).values
    return 1 + (gains.cumsum(1) < score.abs()[:, None]).sum(1)


@pytest.mark.parametrize("bias", [0.0, 4.0, 8.0])
@pytest.mark.parametrize("spread", [0.1, 0.3, 10.0])
def test_fmn_changes_as_few_values_as_possible(spread, bias):
    classifier, images, _, streams = setting(n=200)
    classifier.network.b.data += bias
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    images = (0.5 + spread * noise).clamp(0, 1)
    labels = classifier(images).argmax(1)
    adversarial = attack_of("fmn(norm=l0)")(classifier, images, labels, streams)
    assert (classifier(adversarial).argmax(1) != labels).all()
    truth = fewest(classifier, images)
    assert truth.max() > (1 if bias == 0 else 5)
    assert torch.equal(norms.size(adversarial - images, "l0").long(), truth)


def test_deepfool_pays_for_every_class_and_stops():
    classifier, x = network(), torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    y = classifier(x).argmax(1)
    classifier.take_counts()
    adversarial = attack_of("deepfool(steps=1)")(classifier, x, y, streams_of(12))
    assert classifier.take_counts()[:2] == (12 + 24 + 12 + 120, 24)
    attack_of("deepfool(steps=1, candidates=2)")(classifier, x, y, streams_of(12))
    assert classifier.take_counts()[:2] == (12 + 12 + 12 + 120, 12)
    attack_of("deepfool(steps=50)")(classifier, x, y, streams_of(12))
    assert classifier.take_counts().gradients < 10 * 24
    assert not torch.equal(adversarial, x)


def test_ddn_rounds_to_grey_values():
    classifier, images, labels, streams = setting()
    images = (images * 255).round() / 255
    adversarial = attack_of("ddn(levels=256)")(classifier, images, labels, streams)
    assert torch.allclose(adversarial * 255, (adversarial * 255).round(), atol=1e-3)
    assert (classifier(adversarial).argmax(1) != labels).all()


@pytest.mark.parametrize(
    "spec",
    [
        *("ddn(steps=0)", "ddn(gamma=0)", "ddn(gamma=1)", "ddn(init_norm=0)", "ddn(levels=1)", "ddn(eps=0.1)"),
        *("fmn(steps=0)", "fmn(gamma=0)", "fmn(gamma=1)", "fmn(step_size=0)", "fmn(norm=l3)", "fmn(eps=0.1)"),
        *("deepfool(steps=0)", "deepfool(candidates=1)", "deepfool(overshoot=-1)", "deepfool(norm=l1)"),
    ],
)
def test_what_cannot_be_is_refused(spec):
    with pytest.raises(InputError):
        registry.make(spec)


# Medians over the first 100 test images that the network classifies correctly (benchmarks/minimal.py).
MEASURED = {
    "ddn": 1.82,
    "lbfgs": 1.49,
    "fmn": 2.16,
    "fmn(norm=linf)": 0.157,
    "cw(norm=linf, steps=50)": 0.170,
    "deepfool(norm=linf)": 0.276,
    "fab(targets=1)": 0.168,
}


@needs_wong
@pytest.mark.slow
@pytest.mark.parametrize("spec", MEASURED)
def test_medians_on_a_robust_network_stay(spec):
    result = evaluate(wong(), mnist(101), [spec])
    rows = result.samples[result.samples["condition"] == spec]
    assert rows["attacked"].sum() >= 98
    assert rows["succeeded"].sum() == rows["attacked"].sum()
    norm = registry.make(spec).attacks[0].norm
    assert rows[rows["attacked"] == 1][norm].median() < 1.03 * MEASURED[spec]
