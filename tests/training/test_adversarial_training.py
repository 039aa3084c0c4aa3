"""Whole adversarial trainings: what they reach, how they are validated, and catastrophic overfitting."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from robustbench_lite import registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.evaluation import evaluate
from robustbench_lite.training import overfitting, trainer
from robustbench_lite.training.defences import make_defence
from robustbench_lite.training.fast import Fast
from robustbench_lite.training.loop import Hooks, Step, fit, seeded
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import Recipe, make_recipe
from robustbench_lite.training.robust_validation import MOST, accuracy_under, robust_accuracy, to_attack
from robustbench_lite.training.tensors import Tensors
from robustbench_lite.training.trainer import Epoch, train
from robustbench_lite.training.validating import Validated

EPS = 0.1
MNIST = Path(__file__).parents[2].parent / "shared/data"


def recipe(text="pgd(steps=3)", **given):
    return make_recipe(adversarial=text, arguments={"eps": EPS}, **given)


GIVEN = [{"text": "trades(steps=2)"}, {"text": "fgsm"}, {"mix": "clean=1, attack=1"}]


def sha(trained):
    return Classifier(trained.network).weights_sha256


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", split="train", limit=500), load_dataset("digits", split="val", limit=150)


@pytest.fixture(scope="module")
def robust(digits):
    return train("mlp(width=64)", *digits, TrainingOptions(epochs=15), recipe=recipe(), baselines=False)


@pytest.fixture(scope="module")
def standard(digits):
    return train("mlp(width=64)", *digits, TrainingOptions(epochs=15), baselines=False)


def under_attack(trained, data, eps):
    classifier = Classifier(trained.network, mean=trained.info.mean, std=trained.info.std)
    return evaluated(classifier, data, 30, 5, eps)


def evaluated(classifier, data, steps, seed, eps=EPS):
    spec = f"pgd(eps={eps}, steps={steps})"
    samples = evaluate(classifier, data, [spec], seed=seed, probes=False).samples
    return float(samples.loc[samples["condition"] == spec, "correct"].mean())


class TestTraining:
    def test_it_withstands_what_standard_training_does_not(self, robust, standard, digits):
        plain, hardened = (under_attack(trained, digits[1], 0.15) for trained in (standard, robust))
        assert hardened > plain + 0.25
        assert under_attack(robust, digits[1], EPS) == pytest.approx(
            _best(robust)["robust_accuracy"], abs=0.06
        )  # other starts, more steps

    def test_the_history_says_what_was_done(self, robust):
        history = robust.info.history
        assert history["adversarial"] == {
            "method": "pgd(eps=0.1, steps=3)",
            "warmup": 0.3,
            "validation_attack": "pgd(eps=0.1, steps=10)",
            "validation_images": 150,
        }
        assert history["overfitting"] == []
        assert all(0 <= epoch["robust_accuracy"] <= 1 for epoch in history["epochs"])
        json.dumps(history, allow_nan=False)

    def test_the_best_epoch_is_the_most_robust(self, robust):
        best = max(robust.info.history["epochs"], key=lambda e: (e["robust_accuracy"], -e["val_loss"]))
        assert robust.info.history["best_epoch"] == best["epoch"]

    def test_standard_training_has_none_of_it(self, standard):
        assert standard.info.history["adversarial"] is None
        assert _best(standard)["robust_accuracy"] is None

    @pytest.mark.parametrize(
        "given", [{"text": "trades(steps=2)"}, {"text": "fgsm"}, {"mix": "clean=1, attack=1"}]
    )
    def test_the_seed_decides_the_weights(self, digits, given):
        options, shas = [TrainingOptions(epochs=2, seed=seed) for seed in (0, 0, 1)], []
        for one in options:
            torch.rand(3)
            shas.append(sha(train("mlp(width=16)", *digits, one, recipe=recipe(**given), baselines=False)))
        assert shas[0] == shas[1] != shas[2]

    def test_a_mixture_learns_from_clean_images_too(self, digits):
        """Half of the images are not attacked: more of what was shown was right."""
        right = [
            train(
                "mlp(width=16)",
                *digits,
                TrainingOptions(epochs=4),
                recipe=recipe(mix=mix, warmup=0),
                baselines=False,
            ).info.history["epochs"][-1]["train_accuracy"]
            for mix in (None, "clean=1, attack=1")
        ]
        assert right[1] > right[0] + 0.05


def _last(trained):
    return trained.info.history["epochs"][-1]["train_accuracy"]


def _best(trained):
    history = trained.info.history
    return history["epochs"][history["best_epoch"] - 1]


class TestBudget:
    def test_it_rises_along_a_line(self):
        rising = recipe(warmup=0.5)
        assert [rising.eps_at(share) for share in (0.05, 0.25, 0.5, 1.0)] == pytest.approx([0.01, 0.05, 0.1, 0.1])
        assert recipe(warmup=0).eps_at(0.01) == EPS
        assert Recipe().eps_at(0.5) == 0

    def test_the_attack_gets_it(self, digits, monkeypatch):
        seen = []

        def attacked(self, classifier, images, labels, streams, eps):
            seen.append(eps)
            return images

        monkeypatch.setattr("robustbench_lite.training.madry.Madry.attacked", attacked)
        options = TrainingOptions(epochs=2, batch_size=100)  # 10 steps
        train("linear", *digits, options, recipe=recipe("pgd", warmup=0.4), baselines=False)
        assert seen == pytest.approx([EPS * min(1, (k + 1) / 4) for k in range(10)])


class TestValidation:
    def test_few_images_in_proportion_and_always_the_same(self):
        labels = torch.tensor([0] * 3000 + [1] * 980 + [2] * 20)
        data = Tensors(torch.arange(4000.0).view(-1, 1, 1, 1), labels, tuple(map(str, range(4000))))
        one, two = to_attack(recipe(), data), to_attack(recipe(), data)
        assert torch.equal(one.images, two.images)
        assert len(one.labels) == MOST
        shares = torch.bincount(one.labels) / MOST
        torch.testing.assert_close(shares, torch.bincount(labels) / 4000, atol=0.004, rtol=0)
        assert torch.equal(labels[one.images.flatten().long()], one.labels)
        assert one.ids == tuple(str(int(i)) for i in one.images.flatten())
        assert to_attack(Recipe(), data) is None

    def test_it_is_the_attack_of_that_name(self, robust, digits):
        classifier = Classifier(robust.network, mean=robust.info.mean, std=robust.info.std)
        batch = next(digits[1].batches(500))
        data = Tensors(batch.images, batch.labels, batch.sample_ids)
        found = robust_accuracy(classifier, data, make_defence("pgd"), EPS, 0)
        assert found == pytest.approx(evaluated(classifier, digits[1], 10, 0))
        assert found == _best(robust)["robust_accuracy"]  # the best epoch is what was kept

    @pytest.mark.parametrize("norm", ["l2", "l1"])
    def test_other_norms(self, robust, digits, norm):
        classifier = Classifier(robust.network, mean=robust.info.mean, std=robust.info.std)
        batch = next(digits[1].batches(500))
        data, defence = Tensors(batch.images, batch.labels, batch.sample_ids), make_defence(f"pgd(norm={norm})")
        small, large = (robust_accuracy(classifier, data, defence, eps, 0) for eps in (0.01, 4))
        assert small > 0.7 > 0.5 > large

    def test_patience_waits_for_the_end_of_the_warm_up(self, digits, monkeypatch):
        losses = iter(range(100))
        monkeypatch.setattr(
            trainer, "validated", lambda *given: Validated(next(losses), 0.5, 0.0)
        )  # 1 stays the best
        options = TrainingOptions(epochs=10, patience=2)
        for warmup, epochs in ((0.5, 7), (0, 3)):
            given = train("linear", *digits, options, recipe=recipe("pgd", warmup=warmup), baselines=False)
            assert len(given.info.history["epochs"]) == epochs


class TestOverfitting:
    @pytest.fixture
    def collapse(self, monkeypatch):
        """The second epoch is found overfitted, the first two times it is judged."""
        found = iter([(0.6, 0.5), (0.9, 0.1), (0.7, 0.2), *[(0.6, 0.5)] * 9])
        both = []

        def own(*given):
            both[:] = next(found)
            return both[0]

        monkeypatch.setattr(overfitting, "accuracy_under", own)
        monkeypatch.setattr(overfitting, "robust_accuracy", lambda *given: both[1])

    def test_the_epoch_is_taken_back_and_the_steps_are_doubled(self, digits, collapse, caplog):
        epochs = []
        options = TrainingOptions(epochs=4, batch_size=100)
        trained = train(
            "mlp(width=16)",
            *digits,
            options,
            recipe=recipe("fast", warmup=0),
            baselines=False,
            on_epoch=epochs.append,
        )
        history = trained.info.history
        assert [e.epoch for e in epochs] == [1, 2, 3, 4]
        assert [(e["epoch"], e["adversarial"], e["goes_on_with"]) for e in history["overfitting"]] == [
            (2, "fast(eps=0.1)", "fast(eps=0.1, steps=2)"),
            (2, "fast(eps=0.1, steps=2)", "fast(eps=0.1, steps=4)"),
        ]
        assert history["overfitting"][0]["accuracy"] == 0.9
        assert history["overfitting"][0]["robust_accuracy"] == 0.1
        assert "epoch 2 is taken back: 90 % of the validation images" in caplog.text
        json.dumps(history, allow_nan=False)

    def test_what_was_taken_back_leaves_no_trace(self, digits, collapse, monkeypatch):
        """As if the attack had been the longer one from that epoch on."""
        options = TrainingOptions(epochs=3, batch_size=100)
        one = train("mlp(width=16)", *digits, options, recipe=recipe("fast", warmup=0), baselines=False)
        steps = {1: 1}
        monkeypatch.setattr(overfitting.Watch, "undone", lambda self, judged: False)
        plain = trainer.Objective.__call__

        def scheduled(self, chunk, step):
            longer = Fast(EPS, steps=steps.get(step.epoch, 4))
            self.recipe = Recipe(longer)
            return plain(self, chunk, step)

        monkeypatch.setattr(trainer.Objective, "__call__", scheduled)
        two = train("mlp(width=16)", *digits, options, recipe=recipe("fast", warmup=0), baselines=False)
        assert sha(one) == sha(two)

    def test_the_state_carries_it(self, digits):
        class Holder:
            recipe = Recipe(Fast(EPS))

        watch = overfitting.Watch(Holder(), None)
        entry = {"epoch": 2, "goes_on_with": "fast(eps=0.1, steps=2)"}
        watch.restore({"overfitting": [entry]})
        assert watch.objective.recipe == Recipe(Fast(EPS, steps=2))
        assert watch.state() == {"overfitting": [entry]}
        watch = overfitting.Watch(Holder(), None)
        watch.restore({"overfitting": [entry, entry]})
        assert watch.objective.recipe == Recipe(Fast(EPS, steps=4))

    def test_no_program_that_a_state_names_is_run(self, tmp_path):
        """What goes on is found anew from the recipe that was asked for."""
        (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

        class Holder:
            recipe = Recipe(Fast(EPS))

        program = f"{tmp_path / 'own.py'}:Own"
        state = {"adversarial": program, "overfitting": [{"epoch": 1, "goes_on_with": program}]}
        overfitting.Watch(Holder(), None).restore(state)
        assert not (tmp_path / "ran").exists()

    def test_the_loop_keeps_it_through_an_epoch_that_is_taken_back(self):
        network, more, states = torch.nn.Linear(2, 2), {"tries": 0}, []

        def undone(judged):
            more["tries"] += judged.epoch == 2
            return more["tries"] == 1

        def hooks(begin=None):
            return Hooks(
                lambda epoch, loss, lr: Epoch(epoch, loss, 0.0, loss, 0.0, lr, 0.0),
                lambda epoch: None,
                undone=undone,
                keep=states.append,
                begin=begin,
                restored=lambda entry: Epoch(**entry),
                more=lambda: dict(more),
                more_restored=more.update,
            )

        def loss(chunk, step):
            return network(torch.ones(len(chunk), 2)).square().mean()

        with seeded(0, torch.device("cpu")):
            fit(network, 4, loss, TrainingOptions(epochs=2), hooks())
            assert [state["more"]["tries"] for state in states] == [0, 2]
            more["tries"] = 0
            fit(network, 4, loss, TrainingOptions(epochs=3), hooks(begin=states[-1]))
        assert more["tries"] == 2

    @pytest.mark.parametrize(
        ("text", "watched", "longer"),
        [
            ("fast", True, "fast(eps=0.1, steps=2)"),
            ("fast(step_size=0.2)", True, "fast(eps=0.1, steps=2)"),
            ("pgd(steps=2)", True, "pgd(eps=0.1, steps=4)"),
            ("fgsm", True, "pgd(eps=0.1, steps=2)"),
            ("pgd", False, None),
            ("square(queries=10)", False, None),
        ],
    )
    def test_short_attacks_are_watched(self, text, watched, longer):
        class Holder:
            recipe = make_recipe(adversarial=text, arguments={"eps": EPS})

        assert overfitting.Watch(Holder(), object()).needed is watched
        if longer:
            assert overfitting.told(overfitting._longer(Holder.recipe.adversarial)) == longer

    @pytest.mark.slow
    @pytest.mark.skipif(not (MNIST / "MNIST").is_dir(), reason="needs MNIST")
    def test_fast_collapses_on_mnist_and_the_answer_mends_it(self, monkeypatch):
        train_set = load_dataset("mnist", split="train", limit=6000, root=MNIST)
        val_set = load_dataset("mnist", split="val", limit=500, root=MNIST)
        options, found = TrainingOptions(epochs=5, batch_size=128), []
        fast = make_recipe(adversarial="fast", arguments={"eps": 0.3})
        for gap in (math.inf, overfitting.GAP):
            monkeypatch.setattr(overfitting, "GAP", gap)
            trained = train("strided", train_set, val_set, options, recipe=fast, baselines=False)
            found.append(trained.info.history)
        collapsed, mended = found
        assert collapsed["epochs"][-1]["robust_accuracy"] < 0.15
        assert mended["overfitting"]
        assert mended["epochs"][-1]["robust_accuracy"] > 0.4


@pytest.mark.parametrize("text", ["pgd(steps=3)", "trades(steps=3)", "fast", "fgsm"])
def test_batch_norm_sees_a_batch_once_and_no_step_of_an_attack(digits, text):
    norm = torch.nn.BatchNorm2d(1)
    network = torch.nn.Sequential(norm, torch.nn.Flatten(), torch.nn.Linear(64, 10))
    batch = next(digits[0].batches(40))
    data = Tensors(batch.images, batch.labels, batch.sample_ids)
    mixed = recipe(text, mix="clean=1, attack=1")
    objective = trainer.Objective(network, [0.0], [1.0], data, mixed, TrainingOptions(), 10)
    objective(torch.arange(40), Step(1, 0, 10)).backward()
    assert norm.num_batches_tracked == 1
    assert norm.training


def test_accuracy_under_the_attack_of_the_training(robust, digits):
    classifier = Classifier(robust.network, mean=robust.info.mean, std=robust.info.std)
    batch = next(digits[1].batches(500))
    data = Tensors(batch.images, batch.labels, batch.sample_ids)
    clean = (classifier(batch.images).argmax(1) == batch.labels).float().mean()
    assert accuracy_under(classifier, data, make_defence("fast"), 1e-6, 0) == pytest.approx(float(clean))
    wide = accuracy_under(classifier, data, make_defence("fast"), EPS, 0)
    assert robust_accuracy(classifier, data, make_defence("fast"), EPS, 0) <= wide < clean
    assert registry.make_one("defence", "fast") == Fast()
