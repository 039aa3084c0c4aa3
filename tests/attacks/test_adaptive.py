"""The adaptive portfolio: its verdict, its budgets, and what it does where gradients mislead."""

import dataclasses

import pytest
import torch
from linear import setting, smallest
from masked import breakable, digits, sound

from robustbench_lite.attacks.adaptive import Adaptive
from robustbench_lite.attacks.climbing import Rows, climb, falling
from robustbench_lite.attacks.reference import UNKNOWN, Reference, slope_of
from robustbench_lite.errors import UnknownNameError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.registry import make, spec
from robustbench_lite.rng import Streams


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("share", "falls"), [(0.85, False), (1.02, True)])
def test_it_decides_right_on_both_sides_of_the_border(norm, share, falls):
    classifier, x, y, streams = setting(n=4)
    for i in range(len(x)):
        eps = share * float(smallest(classifier, x[i : i + 1], norm)[0])
        # A slope that leaves out the dearest tries: a linear network needs none.
        attack = Adaptive(eps=eps, norm=norm, reference=Reference(1e-6, "none"))
        found = attack(classifier, x[i : i + 1], y[i : i + 1], streams[[i]])
        assert bool(classifier(found).argmax(1) != y[i]) is falls


def test_a_climb_keeps_the_first_success_and_ends_the_tries_of_its_owner():
    classifier, x, y, _ = setting(n=3)
    eps = 1.1 * float(smallest(classifier, x, "linf").max())
    owner = torch.tensor([0, 1, 2, 0, 1, 2])
    rows = Rows(owner, x[owner], y[owner], y[owner], x[owner])
    classifier.take_counts()
    summit = climb(classifier, rows, eps, [eps] * 5, "linf")
    # All owners fall after one step: 6 gradients at the images, 6 where they have fallen, none later.
    assert summit.hit.all()
    assert classifier.take_counts().gradients == 12
    assert (classifier(summit.point).argmax(1) != y[owner]).all()
    assert (summit.lead > 0).all()


def test_steps_fall_along_a_cosine():
    assert falling(1, 0.02, 1) == [1]
    lengths = falling(1, 0.02, 9)
    assert lengths[0] == 1
    assert lengths[4] == pytest.approx(0.51)
    assert lengths[-1] == pytest.approx(0.02)


def test_the_slope_is_a_median_and_unknown_for_few():
    assert slope_of([0.1] * 7, [1.0] * 7) == float("inf")
    assert slope_of([0.1] * 4 + [0.05] * 5, [1.0] * 9) == 20


def right_digits(classifier, n=40):
    (batch,) = digits(n).batches(n)
    right = classifier(batch.images).argmax(1) == batch.labels
    x, y = batch.images[right], batch.labels[right]
    return x, y, Streams(0, "x", tuple(map(str, range(len(x)))))


def test_budgets_follow_how_near_an_image_is_to_falling():
    """The same images on two scales of margins: where they say more, the dear tries are left out."""
    classifier = sound()
    x, y, streams = right_digits(classifier)
    spent = {}
    for slope in (1e-3, 20.0):
        attack = Adaptive(eps=0.02, reference=Reference(slope, "none"))
        classifier.take_counts()
        attack(classifier, x, y, streams)
        spent[slope] = classifier.take_counts().gradients
    assert spent[1e-3] < 0.6 * spent[20.0]


@pytest.mark.slow
def test_a_verdict_depends_on_no_other_image():
    classifier = sound()
    x, y, streams = right_digits(classifier, 24)
    attack = Adaptive(eps=0.06, reference=Reference(20.0, "none"))
    together = attack.trace(classifier, x, y, streams)
    assert 0 < sum(by is None for by in together.by) < len(x)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    for part in order.split(12):
        alone = attack.trace(classifier, x[part], y[part], streams[part])
        assert alone.by == [together.by[i] for i in part.tolist()]
        assert torch.allclose(alone.images, together.images[part], atol=1e-5)


@pytest.mark.slow
def test_the_sample_is_the_same_for_every_batch_size_and_stands_in_the_record():
    attack = Adaptive(eps=0.06)
    runs = [evaluate(sound(), digits(24), [attack], batch_size=size, probes=False) for size in (13, 24)]
    first, second = [r.conditions[1].parameters[0] for r in runs]
    assert first == second
    assert first["name"] == "adaptive"
    assert 0 < first["reference.slope"] < float("inf")
    assert first["reference.alarm"] in ("none", "soft")
    correct = [list(r.samples["correct"]) for r in runs]
    assert correct[0] == correct[1]
    assert runs[0].conditions[1].spec == "adaptive(eps=0.06)"


def test_it_breaks_a_network_that_hides_its_gradient():
    """Plain PGD reports more than 90 %; a hard alarm sends every try after every image."""
    classifier, eps = breakable()
    result = evaluate(classifier, digits(30), [f"pgd(eps={eps})", f"auto(eps={eps})"], probes=False)
    accuracy = result.samples.groupby("condition")["correct"].mean()
    assert accuracy[f"pgd(eps={eps})"] > 0.9
    assert accuracy[f"adaptive(eps={eps})"] == 0
    found = result.conditions[2]
    assert found.parameters[0]["reference.alarm"] == "hard"
    assert "zero" in found.parameters[0]["reference.because"]
    assert "gradients mislead" in found.warnings[0]
    assert "square" in set(result.samples["by"].dropna())


@pytest.mark.slow
def test_it_is_never_above_pgd_and_a_healthy_network_raises_no_hard_alarm():
    specs = ["pgd(eps=0.06, steps=100, restarts=3, loss=margin)", "adaptive(eps=0.06)"]
    result = evaluate(sound(), digits(), specs, probes=False)
    rows = {
        condition: part.set_index("index")["correct"] for condition, part in result.samples.groupby("condition")
    }
    assert not (rows[specs[1]] > rows[specs[0]]).any()
    assert result.conditions[2].parameters[0]["reference.alarm"] != "hard"


def test_a_sample_that_falls_as_a_whole_says_nothing_of_margins():
    result = evaluate(sound(), digits(12), ["adaptive(eps=0.5)"], probes=False)
    given = result.conditions[1].parameters[0]
    assert (given["reference.slope"], given["reference.alarm"]) == (float("inf"), "none")
    assert not result.samples.set_index("condition").loc["adaptive(eps=0.5)", "correct"].any()


@pytest.mark.slow
def test_without_a_sample_nothing_is_left_out():
    assert UNKNOWN.slope == float("inf")
    classifier = sound()
    x, y, streams = right_digits(classifier, 4)
    attack = Adaptive(eps=0.005)
    classifier.take_counts()
    attack(classifier, x, y, streams)
    counts, most = classifier.take_counts(), attack.max_cost()
    # Only what a descent did not reach is missing from the most that it may cost.
    assert 0.4 * most.gradients < counts.gradients / len(x) <= most.gradients
    assert counts.forwards / len(x) <= most.forwards


def test_auto_is_adaptive():
    (attack,) = make("auto(eps=0.1)").parts
    assert spec(attack) == "adaptive(eps=0.1)"
    seen = dataclasses.replace(attack, reference=UNKNOWN)
    assert seen == attack
    assert spec(seen) == spec(attack)
    with pytest.raises(UnknownNameError, match="reference"):
        make("adaptive(reference=1)")
