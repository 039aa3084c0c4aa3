"""The loop: the same rows whatever the batches, nothing taken on trust, nothing lost."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from robustbench_lite import norms
from robustbench_lite.applying import plan
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.networks import cnn
from robustbench_lite.data.dataset import DamagedImageError, Dataset
from robustbench_lite.errors import InputError, RbError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.registry import make, spec
from robustbench_lite.run_rows import COLUMNS
from robustbench_lite.types import Attack, Cost, Shift

CONDITIONS = [
    "pgd(eps=0.1, steps=10, restarts=2)",
    "cw(steps=10, search_steps=3)",
    "night(severity=3)",
    "gaussian_noise(severity=5)",
    "night(severity=2) + pgd(eps=0.05, steps=5)",
]


def dataset(n=40, seed=0, read=None, **changes):
    generator = np.random.default_rng(seed)
    images = generator.random((n, 1, 8, 8), dtype=np.float32)
    fields = {
        "spec": "made",
        "split": "test",
        "class_names": ("a", "b", "c"),
        "labels": generator.integers(3, size=n),
        "files": tuple(f"{i}.png" for i in range(n)),
        "sample_ids": tuple(f"{i:016x}" for i in range(n)),
        "read": read or (lambda i: images[i]),
        "eps": {"linf": 0.1, "l2": 0.5},
    }
    return Dataset(**{**fields, **changes})


def network(seed=0, classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Classifier(cnn(4, input_shape=(1, 8, 8), num_classes=classes))


def labelled_by(classifier, data):
    """The same images with the network's own predictions as labels, so that attacks have something to do."""
    images = torch.from_numpy(np.stack([data.read(i) for i in range(len(data))]))
    labels = classifier(images).argmax(1).numpy()
    labels[::7] = (labels[::7] + 1) % 3
    return dataset(len(data), labels=labels)


def by_sample(result):
    return result.samples.drop(columns="index").sort_values(["condition", "sample_id"]).reset_index(drop=True)


def same_verdicts(one, other):
    columns = ["sample_id", "condition", "prediction", "correct", "attacked", "succeeded"]
    pd.testing.assert_frame_equal(by_sample(one)[columns], by_sample(other)[columns])


@pytest.mark.slow
def test_batches_order_and_halves_make_no_difference():
    classifier = network()
    data = labelled_by(classifier, dataset())
    whole = evaluate(classifier, data, CONDITIONS, batch_size=128)
    for batch_size in (1, 7):
        same_verdicts(whole, evaluate(classifier, data, CONDITIONS, batch_size=batch_size))
    order = np.random.default_rng(1).permutation(len(data)).tolist()
    same_verdicts(whole, evaluate(classifier, data.select(order), CONDITIONS, batch_size=7))
    halves = [evaluate(classifier, data.select(part), CONDITIONS) for part in (range(0, 40, 2), range(1, 40, 2))]
    both = type(whole)(**{**vars(halves[0]), "samples": pd.concat([h.samples for h in halves])})
    same_verdicts(whole, both)


def test_shifts_give_the_same_bits_in_any_batch():
    classifier, data = network(), dataset()
    sizes = [
        by_sample(evaluate(classifier, data, ["night(severity=4)"], batch_size=b))["l2"].to_numpy()
        for b in (1, 7, 128)
    ]
    assert np.array_equal(sizes[0], sizes[1])
    assert np.array_equal(sizes[0], sizes[2])


def test_another_seed_gives_other_noise_and_another_network_the_same():
    data = dataset()
    sizes = [
        by_sample(evaluate(network(net), data, ["gaussian_noise"], seed=seed))["l2"].to_numpy()
        for net, seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert np.array_equal(sizes[0], sizes[1])
    assert not np.array_equal(sizes[0], sizes[2])


def test_the_rows_say_what_happened():
    classifier = network()
    data = labelled_by(classifier, dataset())
    result = evaluate(classifier, data, ["pgd(eps=0.3, steps=10)"])
    assert list(result.samples.columns) == list(COLUMNS)
    clean, attacked = (rows for _, rows in result.samples.groupby("condition", sort=False))
    assert clean["correct"].tolist() == [int(i % 7 != 0) for i in range(40)]
    # Wrong before means wrong after, and nothing was spent on it.
    wrong_before = clean["correct"].to_numpy() == 0
    assert (attacked["correct"].to_numpy()[wrong_before] == 0).all()
    assert (attacked["attacked"].to_numpy() == ~wrong_before).all()
    assert (attacked["linf"].to_numpy()[wrong_before] == 0).all()
    assert (attacked["succeeded"] == (attacked["attacked"] == 1) & (attacked["correct"] == 0)).all()
    assert attacked["linf"].max() <= 0.3 + 1e-6
    # margin and confidence against the closed forms
    images = torch.from_numpy(np.stack([data.read(i) for i in range(40)]))
    logits = classifier(images)
    labels = torch.from_numpy(data.labels)
    own = logits.gather(1, labels[:, None])[:, 0]
    rest = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    np.testing.assert_allclose(clean["margin"], own - rest, atol=1e-5)
    np.testing.assert_allclose(clean["confidence"], logits.softmax(1).amax(1), atol=1e-6)


def test_a_chain_starts_its_attack_at_the_shifted_image():
    classifier = network()
    data = labelled_by(classifier, dataset())
    result = evaluate(
        classifier, data, ["night(severity=2)", "night(severity=2) + pgd(eps=0.02)", "pgd(eps=0.02)"]
    )
    night, chain = (
        result.samples[result.samples["condition"] == name].reset_index()
        for name in ("night(severity=2)", "night(severity=2) + pgd(eps=0.02)")
    )
    assert (chain["correct"] <= night["correct"]).all()
    assert (chain["attacked"] == night["correct"]).all()
    # The chain's night is the same night: what was not attacked has the same size.
    still = chain["attacked"] == 0
    assert (chain["l2"][still] == night["l2"][still]).all()


def test_an_attack_for_the_smallest_change_has_a_curve_if_it_is_alone():
    classifier = network()
    data = labelled_by(classifier, dataset())
    result = evaluate(classifier, data, ["ddn(steps=20)", "pgd(eps=0.1)", "night(severity=1) + ddn(steps=20)"])
    clean, ddn, pgd, chain = result.conditions
    assert clean.curve == pgd.curve == chain.curve == []
    accuracy = {c: rows["correct"].mean() for c, rows in result.samples.groupby("condition")}
    assert ddn.curve[0].accuracy == accuracy["clean"]
    assert ddn.curve[-1].accuracy == accuracy["ddn(steps=20)"]
    assert 0.5 in [p.eps for p in ddn.curve]  # the data's usual budget


def test_the_attacks_of_a_portfolio_are_recorded_as_specs():
    result = evaluate(network(), dataset(), ["worst(fgsm, pgd(steps=2), eps=0.1)"])
    assert result.conditions[1].parameters == [
        {"name": "worst", "attacks": ["fgsm", "pgd(steps=2)"], "eps": 0.1},
    ]


def test_what_a_condition_costs_is_counted():
    classifier = network()
    data = labelled_by(classifier, dataset())
    result = evaluate(classifier, data, ["fgsm(eps=0.1)", "gaussian_noise"])
    clean, fgsm, noise = result.conditions
    attacked = int((result.samples["attacked"] == 1).sum())
    assert (clean.forwards, clean.gradients) == (40, 0)
    assert (fgsm.forwards, fgsm.gradients) == (attacked + 40, attacked)
    assert (noise.forwards, noise.gradients) == (40, 0)
    assert [c.n for c in result.conditions] == [40, 40, 40]
    assert fgsm.threat_model[0].eps == 0.1


def test_the_usual_budget_is_filled_in():
    conditions = plan(["pgd", "pgd(norm=l2)", "pgd(eps=0.1)", "clean"], {"linf": 0.1, "l2": 0.5})
    assert [spec(c) for c in conditions] == ["clean", "pgd(eps=0.1)", "pgd(eps=0.5, norm=l2)"]
    with pytest.raises(InputError, match="no usual eps for l1"):
        plan(["pgd(norm=l1)"], {"linf": 0.1})


def test_a_targeted_attack_counts_what_reached_the_target():
    classifier = network()
    data = labelled_by(classifier, dataset())
    target = int(np.bincount(data.labels, minlength=3).argsort()[1])
    result = evaluate(classifier, data, [f"pgd(eps=0.3, target={target})"])
    rows = result.samples[result.samples["kind"] == "attack"]
    assert (rows["label"] == target).any()
    assert (rows["attacked"][rows["label"] == target] == 0).all()
    assert (rows["succeeded"] == ((rows["attacked"] == 1) & (rows["prediction"] == target))).all()
    assert rows["succeeded"].sum() > 0


def test_an_attack_towards_a_distribution_counts_what_came_near_it():
    classifier = network()
    classifier.network[-1].weight.data *= 200  # sure of itself: the images are far from the goal
    data = labelled_by(classifier, dataset())
    wanted = torch.tensor([0.5, 0.3, 0.2])
    result = evaluate(classifier, data, ["pgd(eps=0.1, target=(0.5, 0.3, 0.2))"])
    rows = result.samples[result.samples["kind"] == "attack"]
    logits = torch.cat([classifier(batch.images) for batch in data.batches(40)])
    near = (logits.softmax(1) - wanted).abs().amax(1) <= 0.05
    right = logits.argmax(1) == torch.from_numpy(data.labels)
    assert rows["attacked"].tolist() == (right & ~near).int().tolist()
    reached = rows[rows["succeeded"] == 1]
    assert len(reached) > 5
    assert (reached["prediction"] == 0).all()
    assert ((reached["confidence"] - 0.5).abs() <= 0.0501).all()
    assert result.conditions[1].threat_model[0].target == "(0.5, 0.3, 0.2)"


@dataclass(frozen=True)
class Bad(Shift):
    fault: str = "nan"
    severity: float = 3

    def __call__(self, images, streams):
        return {
            "nan": images * torch.nan,
            "range": images + 0.5,
            "shape": images[:, :, :4],
            "type": images.double(),
            "none": None,
        }[self.fault]


@dataclass(frozen=True)
class Greedy(Attack):
    eps: float = 0.1
    norm: str = "linf"

    def max_cost(self):
        return Cost(0, 0)

    def __call__(self, model, images, labels, streams):
        return 1 - images


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "NaN or infinity"),
        ("range", r"outside \[0, 1\]"),
        ("shape", "for images of"),
        ("type", "float64"),
        ("none", "NoneType"),
    ],
)
def test_no_shift_is_trusted(fault, message):
    # The clean rows are done by then and are kept; the error comes back beside them.
    result = evaluate(network(), dataset(), [Bad(fault)])
    assert result.status == "failed"
    assert isinstance(result.error, InputError)
    assert message.replace("\\", "") in str(result.error)
    assert result.samples["condition"].unique().tolist() == ["clean"]


def test_no_attack_is_trusted_with_the_budget():
    classifier = network()
    result = evaluate(classifier, labelled_by(classifier, dataset()), [Greedy()])
    assert isinstance(result.error, InputError)
    assert "over its budget" in str(result.error)


def test_our_own_fault_is_said_to_be_ours(monkeypatch):
    monkeypatch.setattr(Bad, "__module__", "robustbench_lite.shifts.bad")
    error = evaluate(network(), dataset(), [Bad("range")]).error
    assert isinstance(error, RbError)
    assert not isinstance(error, InputError)


def test_scoring_is_done_afresh():
    """An attack that claims success but changes nothing leaves the image right."""

    @dataclass(frozen=True)
    class Liar(Attack):
        eps: float = 0.1
        norm: str = "linf"

        def max_cost(self):
            return Cost(0, 0)

        def __call__(self, model, images, labels, streams):
            return images.clone()

    classifier = network()
    result = evaluate(classifier, labelled_by(classifier, dataset()), [Liar()])
    rows = result.samples[result.samples["kind"] == "attack"]
    assert rows["succeeded"].sum() == 0
    assert rows["correct"].tolist() == result.samples[result.samples["kind"] == "clean"]["correct"].tolist()


def test_interrupted_keeps_what_was_computed():
    calls = []

    def stop(progress):
        calls.append(progress)
        if len(calls) == 7:  # before and after clean and noise, then clean again and before noise
            raise KeyboardInterrupt

    result = evaluate(network(), dataset(), ["gaussian_noise"], batch_size=10, on_progress=stop)
    assert result.status == "interrupted"
    assert result.samples.groupby("condition")["index"].count().to_dict() == {
        "clean": 20,
        "gaussian_noise(severity=3)": 10,
    }


def test_damaged_images_are_left_out_and_named():
    good = dataset()

    def read(i):
        if i in (3, 17):
            raise DamagedImageError(f"{i}.png is cut off.")
        return good.read(i)

    result = evaluate(network(), dataset(read=read), ["gaussian_noise"], batch_size=7)
    assert [s.file for s in result.skipped] == ["3.png", "17.png"]
    clean = result.samples[result.samples["kind"] == "clean"]
    assert sorted(set(range(40)) - set(clean["index"])) == [3, 17]
    assert [c.n for c in result.conditions] == [38, 38]
    gone = dataset(read=lambda i: (_ for _ in ()).throw(DamagedImageError("gone")))
    for batch_size in (None, 7):
        with pytest.raises(InputError, match="holds no image that can be read"):
            evaluate(network(), gone, [], batch_size=batch_size)


def test_what_does_not_fit_the_images_is_refused_before_anything_is_computed():
    grey, seen = dataset(), []
    with pytest.raises(InputError, match="needs images of 3 channels"):
        evaluate(network(), grey, ["color_temperature", "gaussian_noise"], on_progress=seen.append)
    assert seen == []


class Wrapped(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.inner, self.change = network().network, change

    def forward(self, x):
        return self.change(self.inner(x), x)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda z, x: z.softmax(1), "probabilities"),
        (lambda z, x: z.log_softmax(1), "log-probabilities"),
        (lambda z, x: z + torch.randn_like(z), "differently each time"),
    ],
)
def test_a_network_that_spoils_the_numbers_is_warned_of(change, sentence):
    with torch.random.fork_rng():
        result = evaluate(Classifier(Wrapped(change)), dataset(), [])
    assert any(sentence in check.seen for check in result.checks if check.status == "triggered")


def test_a_sound_network_is_not_warned_of():
    classifier = network()
    images = torch.from_numpy(np.stack([dataset().read(i) for i in range(40)]))
    data = dataset(labels=classifier(images).argmax(1).numpy())
    result = evaluate(classifier, data, ["pgd"])
    assert {check.status for check in result.checks} == {"passed"}
    assert "triggered" not in {check.status for check in result.conditions[1].checks}


def test_blind_attacks_are_warned_of():
    result = evaluate(
        Classifier(Wrapped(lambda z, x: (z * 1e6).round())),
        dataset(
            labels=network()(torch.from_numpy(np.stack([dataset().read(i) for i in range(40)]))).argmax(1).numpy()
        ),
        ["fgsm(eps=0.1)"],
    )
    assert any("exactly zero" in check.seen for check in result.conditions[1].checks)


def test_no_better_than_the_majority_is_warned_of():
    result = evaluate(network(), dataset(labels=np.zeros(40, dtype=np.int64) + np.eye(40, dtype=np.int64)[0]), [])
    right = int(result.samples["correct"].sum())
    assert right <= 39
    (majority,) = (check for check in result.checks if check.name == "majority")
    assert majority.status == "triggered"
    assert "always saying 'a': 97.5%" in majority.seen


def test_nan_on_a_changed_image_is_wrong_and_said():
    bright = Wrapped(lambda z, x: torch.where((x > 0.999).flatten(1).any(1)[:, None], torch.nan, z))
    data = dataset(read=lambda i: np.full((1, 8, 8), 0.5, dtype=np.float32))
    result = evaluate(Classifier(bright), data, [make("brightness(add=0.5)")])
    rows = result.samples[result.samples["kind"] == "shift"]
    assert (rows["prediction"] == -1).all()
    assert (rows["correct"] == 0).all()
    assert "40 changed images" in result.conditions[1].warnings[0]


def test_nan_on_clean_images_is_refused():
    with pytest.raises(InputError, match="NaN or infinity for 40 of 40 unchanged images"):
        evaluate(Classifier(Wrapped(lambda z, x: z * torch.nan)), dataset(), [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": dataset(0)}, "no image"),
        ({"batch_size": 0}, "batch size 0"),
        ({"classifier": network(classes=5)}, "5 classes, made has 3"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        evaluate(**{"classifier": network(), "dataset": dataset(), "conditions": [], **arguments})


def test_the_size_of_the_change_is_from_the_clean_image():
    result = evaluate(network(), dataset(), [make("brightness(add=0.1)")])
    rows = result.samples[result.samples["kind"] == "shift"]
    assert rows["linf"].max() == pytest.approx(0.1, abs=1e-6)
    assert norms.size(torch.full((1, 64), 0.1), "l2").item() == pytest.approx(rows["l2"].max(), rel=0.01)


def test_examples_do_not_depend_on_the_batches():
    classifier = network()
    data = labelled_by(classifier, dataset())
    one, other = (evaluate(classifier, data, ["pgd(eps=0.2)"], batch_size=b) for b in (128, 7))
    assert [(e.sample_id, e.role) for e in one.examples] == [(e.sample_id, e.role) for e in other.examples]
    assert {e.role for e in one.examples} == {"worst", "ordinary"}
    assert all(e.clean in one.images and e.changed in one.images for e in one.examples)


def test_a_bare_network_is_refused_and_the_result_is_short():
    with pytest.raises(InputError, match=r"Wrap it: rb\.Classifier"):
        evaluate(network().network, dataset(), [])
    result = evaluate(network(), dataset(), ["gaussian_noise"])
    assert len(result.images) > 0
    assert len(repr(result)) < 5000
