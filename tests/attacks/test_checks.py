"""Trust checks: each is provoked by a network, and all stay silent on sound ones."""

import dataclasses
import shlex

import numpy as np
import pytest
import torch
import typer
from masked import MASKS, breakable, digits, masked, sound
from test_published import mnist, needs_wong, wong
from torch import nn

from robustbench_lite import checks
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.cli.app import app
from robustbench_lite.evaluation import evaluate
from robustbench_lite.followup import FollowUp, command
from robustbench_lite.registry import make
from robustbench_lite.runner import Inputs
from robustbench_lite.types import Attack, Cost

NETWORK = {"logits", "repeatable", "majority"}
CONDITION = ["gradients", "one_step", "score_only", "huge_eps", "noise", "progress", "above_clean"]


def outcomes(result, status):
    found = [*result.checks, *(c for condition in result.conditions for c in condition.checks)]
    return {check.name for check in found if check.status == status}


@pytest.mark.parametrize(
    ("mask", "attack", "triggered"),
    [
        ("16 levels", "pgd(eps=0.2)", {"gradients", "score_only", "huge_eps", "progress"}),
        ("16 levels", "pgd(eps=0.5, norm=l2)", {"gradients", "score_only", "huge_eps", "progress"}),
        ("8 levels", "pgd(eps=0.2)", {"gradients", "score_only", "huge_eps", "noise"}),
        ("rounded logits", "pgd(eps=0.1)", {"gradients", "score_only", "huge_eps", "progress"}),
        ("logits times 1000", "pgd(eps=0.2)", {"gradients", "score_only", "huge_eps", "progress"}),
        ("ripple", "pgd(eps=0.1)", {"score_only"}),
        ("smooth steps", "pgd(eps=0.1)", {"gradients", "one_step", "score_only"}),
        ("root", "pgd(eps=0.1)", {"gradients", "score_only"}),
        ("steep", "fgsm(eps=0.1)", {"gradients"}),
        ("softmax", "fgsm(eps=0.1)", {"logits"}),
        ("log-softmax", "fgsm(eps=0.1)", {"logits"}),
        ("sharp softmax", "pgd(eps=0.1)", {"logits", "gradients", "score_only", "huge_eps", "progress"}),
        ("sharp softmax", "square(eps=0.2, queries=500)", {"logits", "progress"}),
    ],
)
def test_a_spoilt_gradient_is_seen(mask, attack, triggered):
    result = evaluate(masked(mask), digits(), [attack])
    assert outcomes(result, "triggered") == triggered
    for check in [*result.checks, *result.conditions[1].checks]:
        if check.status == "triggered":
            assert check.advice
            assert check.next == "doctor" or make(check.next)


def test_random_answers_are_seen():
    with torch.random.fork_rng():
        assert "repeatable" in outcomes(evaluate(masked("noise"), digits(), []), "triggered")


def test_every_mask_is_used_and_every_check_exists():
    assert set(MASKS) == {
        *("16 levels", "8 levels", "rounded logits", "logits times 1000", "ripple", "smooth steps", "root"),
        *("steep", "softmax", "log-softmax", "sharp softmax", "noise"),
    }
    result = evaluate(sound(), digits(), ["pgd(eps=0.1)"])
    assert {check.name for check in result.checks} == NETWORK
    assert [check.name for check in result.conditions[1].checks] == CONDITION
    assert result.conditions[0].checks == []


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("attack", ["pgd(eps=0.1)", "pgd(eps=0.3, norm=l2)", "apgd(eps=0.05)", "fgsm(eps=0.05)"])
def test_a_sound_network_raises_nothing(attack, seed):
    result = evaluate(sound(), digits(), [attack], seed=seed)
    assert outcomes(result, "triggered") == set()


@needs_wong
def test_a_robust_network_raises_nothing():
    result = evaluate(wong(), mnist(60), ["pgd(eps=0.1)"])
    assert outcomes(result, "passed") == {*NETWORK, *CONDITION}


def test_a_masked_network_looks_robust_and_is_not():
    classifier, eps = breakable()
    result = evaluate(classifier, digits(), [f"pgd(eps={eps})", f"square(eps={eps}, queries=1000)"])
    accuracy = result.samples.groupby("condition", sort=False)["correct"].mean().tolist()
    assert accuracy[1] > 0.9
    assert accuracy[2] < 0.05
    assert "score_only" in outcomes(result, "triggered")
    bare = evaluate(sound(), digits(), [f"pgd(eps={eps})"])
    assert bare.samples[bare.samples["kind"] == "attack"]["correct"].mean() < 0.05


def test_accuracy_above_clean_is_seen():
    """A network that knows only bright images: the shift repairs it."""

    class Bright(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = sound().network

        def forward(self, x):
            logits, bright = self.inner(x - 0.2), x.flatten(1).mean(1, keepdim=True) > 0.42
            return torch.where(bright, logits, logits.roll(1, 1))

    result = evaluate(Classifier(Bright()), digits(), ["brightness(add=0.2) + pgd(eps=0.01, steps=5)"])
    assert "above_clean" in outcomes(result, "triggered")


def test_a_network_may_keep_the_class_that_grey_is_taken_for():
    """Two classes by brightness: half of all images cannot be fooled within linf 0.5, and that is no fault."""

    class Brightness(nn.Module):
        def forward(self, x):
            mean = 9 * (x.flatten(1).mean(1, keepdim=True) - 0.95)
            return torch.cat([-mean, mean], 1)

    data = dataclasses.replace(digits(), class_names=("dark", "bright"), labels=np.zeros(100, dtype=np.int64))
    result = evaluate(Classifier(Brightness()), data, ["pgd(eps=0.1)"])
    assert result.samples["correct"].all()
    assert outcomes(result, "triggered") == set()


@pytest.mark.parametrize(
    ("attack", "stronger", "without"),
    [
        ("fgsm(eps=0.1)", "adaptive(eps=0.1)", "square(eps=0.1)"),
        (
            "night(severity=2) + pgd(eps=1, norm=l2)",
            "night(severity=2) + adaptive(eps=1, norm=l2)",
            "night(severity=2) + square(eps=1, norm=l2)",
        ),
        ("autoattack(eps=0.1)", *["square(eps=0.1)"] * 2),
        ("pgd(eps=2, norm=l1)", *["pgd(eps=2, norm=l1, steps=100, restarts=5, loss=margin)"] * 2),
        ("fmn(norm=l0)", *["pgd(norm=l2, steps=100, restarts=5, loss=margin)"] * 2),
        ("cw", "adaptive(norm=l2)", "square(norm=l2)"),
    ],
)
def test_what_to_run_next(attack, stronger, without):
    follow = FollowUp(make(attack))
    assert follow.stronger() == stronger
    assert follow.without_gradients() == without
    assert FollowUp(make(attack), blind=True).stronger() == without


def test_the_checks_do_not_depend_on_batches_or_order():
    data = digits()
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    runs = [
        evaluate(masked("ripple"), given, ["pgd(eps=0.1, steps=10)"], batch_size=size)
        for given, size in ((data, 128), (data, 7), (data.select(order), 128))
    ]
    found = [[(c.name, c.status, c.seen) for c in run.conditions[1].checks] for run in runs]
    assert found[0] == found[1] == found[2]
    assert len({run.conditions[1].check_passes for run in runs}) == 1


@pytest.mark.parametrize(("attack", "n"), [("fgsm(eps=0.1)", 100), ("pgd(eps=0.05)", 100), ("pgd(eps=0.05)", 300)])
def test_the_cost_is_bounded(attack, n):
    result = evaluate(masked("16 levels"), digits(n), [attack])
    cost = make(attack).attacks[0].max_cost()
    attacked = int(result.samples["attacked"].sum())
    most = max(1000, 0.2 * attacked * (cost.forwards + cost.gradients))
    assert 0.3 * most < result.conditions[1].check_passes <= most
    assert evaluate(sound(), digits(), [attack], probes=False).conditions[1].check_passes == 0


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("ddn(steps=10)", "no budget"),
        ("pgd(eps=0.1, target=3)", "aims at one class"),
        ("fgsm(eps=0.05) + night(severity=1)", "the chain is not"),
        ("pgd(eps=0)", "budget is 0"),
    ],
)
def test_what_makes_no_sense_is_not_run_and_says_why(attack, reason):
    result = evaluate(sound(), digits(20), [attack])
    probes = [c for c in result.conditions[1].checks if c.name not in ("gradients", "above_clean")]
    assert {c.status for c in probes} == {"not run"}
    assert all(reason in c.seen for c in probes)


@dataclasses.dataclass(frozen=True)
class Brighter(Attack):
    """An attack of one's own, which counts its budget as it likes and does not say that it takes no gradients."""

    eps: float = 0.1
    norm: str = "linf"

    def max_cost(self):
        return Cost(0, 0)

    def __call__(self, model, images, labels, streams):
        return (images + 0.1).clamp(0, 1)


def test_attacks_of_ones_own_are_checked_as_far_as_that_goes():
    found = outcomes(evaluate(sound(), digits(20), [Brighter()]), "not run")
    assert found == {"gradients", "one_step", "score_only", "huge_eps"}
    for norm in ("l0", "linf"):
        result = evaluate(sound(), digits(20), [Brighter(eps=64, norm=norm)])
        assert result.status == "done"
        assert outcomes(result, "not run") == set(CONDITION) - {"above_clean"}


def test_what_was_left_out_is_recorded():
    result = evaluate(sound(), digits(20), ["pgd(eps=0.1)"], probes=False)
    assert outcomes(result, "not run") == set(CONDITION) - {"gradients", "above_clean"}
    scores = evaluate(sound(), digits(20), ["square(eps=0.1, queries=50)"])
    assert outcomes(scores, "not run") == {"gradients", "one_step", "score_only", "huge_eps"}


@pytest.mark.parametrize(
    ("inputs", "what", "line"),
    [
        (Inputs(), "pgd(eps=0.1)", "rb attack --method 'pgd(eps=0.1)'"),
        (Inputs(), "doctor", "rb doctor"),
        (
            Inputs(model="my net.py:make", data="folder:parts", download=True, limit=50, input_size="96x128"),
            "night(severity=2) + pgd(eps=8/255)",
            "rb eval --on 'night(severity=2) + pgd(eps=8/255)' --model 'my net.py:make' --data folder:parts "
            "--download --limit 50 --input-size 96x128",
        ),
    ],
)
def test_the_command_is_a_real_one(inputs, what, line):
    assert command(inputs, what) == line
    words = shlex.split(line)
    typer.main.get_command(app).commands[words[1]].make_context("rb", words[2:])


def test_all_inputs_are_options():
    flags = {flag for p in typer.main.get_command(app).commands["attack"].params for flag in p.opts}
    assert {"--" + name.replace("_", "-") for name in Inputs().options()} <= flags


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        ({}, "none"),
        ({"beaten": 1}, "none"),  # of 64: what sound networks show
        ({"beaten": 2}, "soft"),
        ({"fooled": 2, "beaten": 2}, "soft"),
        ({"fooled": 3, "beaten": 3}, "hard"),
        ({"beaten": 20}, "hard"),
        ({"stuck": 3}, "none"),
        ({"stuck": 4}, "hard"),
        ({"gradients": 100, "zero": 5}, "none"),
        ({"gradients": 100, "zero": 6}, "hard"),
        ({"gradients": 100, "bad": 1}, "hard"),
        ({"repeatable": False}, "hard"),
    ],
)
def test_the_alarm(seen, level):
    alarm = checks.masking_alarm(64, **seen)
    assert alarm.level == level
    assert bool(alarm.reasons) == (level != "none")
