"""Comparisons of recipes: the numbers are those of ``evaluate`` on the files, and one failure is one row."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn import functional as F

import robustbench_lite as rb
from robustbench_lite import tradeoff
from robustbench_lite.errors import InputError
from robustbench_lite.intervals import paired_interval, wilson
from robustbench_lite.training.defence import Defence
from robustbench_lite.training.recipe import Recipe

ARCHITECTURE, OPTIONS = "cnn(width=8)", rb.TrainingOptions(epochs=6, batch_size=32, seed=1)
ON = ("pgd(steps=5)", "night(severity=3)", "gaussian_blur(severity=3)")


@dataclass(frozen=True)
class Uphill(Defence):
    """Steps along the sign of the gradient, written by hand."""

    eps: float | None = None
    steps: int = 5
    norm = "linf"

    def attacked(self, classifier, images, labels, streams, eps):
        found = images.clone()
        with classifier.frozen():
            for _ in range(self.steps):
                slope = classifier.gradient(found, lambda z: F.cross_entropy(z, labels, reduction="none")).gradient
                found = torch.clamp(found + 2.5 * eps / self.steps * slope.sign(), images - eps, images + eps)
                found = found.clamp(0, 1)
        return found

    def loss(self, clean, adversarial, labels, criterion):
        return criterion(adversarial, labels)


@dataclass(frozen=True)
class Broken(Uphill):
    """Fails in its first batch."""

    error: str = "ValueError"

    def attacked(self, classifier, images, labels, streams, eps):
        raise getattr(builtins, self.error)("no attack")


OWN = """
from torch import nn


def net(*, num_classes: int):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))
"""
RECIPES = {"uphill": Recipe(adversarial=Uphill(), warmup=0.3)}


@pytest.fixture(scope="module")
def digits():
    return rb.load_dataset("digits", split="train", limit=800), rb.load_dataset("digits", split="val", limit=150)


@pytest.fixture(scope="module")
def compared(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    return rb.trade_off(*digits, RECIPES, folder, architecture=ARCHITECTURE, options=OPTIONS, on=ON), folder


def short(digits, recipes, folder, **more):
    options = more.pop("options", rb.TrainingOptions(epochs=1))
    return rb.trade_off(*digits, recipes, folder, architecture="linear", options=options, on=ON, **more)


def test_the_numbers_are_those_of_evaluate_on_the_files(compared, digits):
    found, folder = compared
    before = None
    for row in found.rows:
        network = rb.load_classifier(str(folder / row["file"]), device="cpu")
        samples = rb.evaluate(network, digits[1], ON, seed=1).samples
        right = {c: rows.sort_values("index")["correct"].to_numpy() for c, rows in samples.groupby("condition")}
        attack = next(c for c in right if c.startswith("pgd"))
        for kind, condition in (("clean", "clean"), ("robust", attack)):
            assert row[f"{kind}_accuracy"] == right[condition].mean()
            assert (row[f"{kind}_ci_low"], row[f"{kind}_ci_high"]) == wilson(int(right[condition].sum()), 150)
            if before is not None:
                fall = paired_interval(before[condition], right[condition])
                assert (row[f"{kind}_gain_low"], row[f"{kind}_gain_high"]) == (-fall.high, -fall.low)
                assert row[f"{kind}_gain"] == pytest.approx(right[condition].mean() - before[condition].mean())
        shifts = {c: right[c].mean() for c in ("night(severity=3)", "gaussian_blur(severity=3)")}
        assert {shift["condition"]: shift["accuracy"] for shift in row["shifts"]} == shifts
        assert row["worst_shift"] == min(shifts, key=shifts.get)
        assert row["worst_shift_accuracy"] == min(shifts.values())
        assert row["n"] == 150
        before = before or right


@pytest.mark.slow
def test_the_networks_are_those_of_train(compared, digits):
    found, folder = compared
    for row, recipe in zip(found.rows, (Recipe(), *RECIPES.values()), strict=True):
        alone = rb.train(ARCHITECTURE, *digits, OPTIONS, recipe=recipe).network.state_dict()
        written = rb.load_classifier(str(folder / row["file"]), device="cpu").network.state_dict()
        assert all(torch.equal(alone[name], written[name]) for name in alone)


def test_attacked_training_is_more_robust_and_takes_longer(compared):
    found, _ = compared
    standard, uphill = found.rows
    assert [standard["recipe"], uphill["recipe"]] == ["standard", "uphill"]
    assert uphill["robust_gain_low"] > 0.1
    assert standard["robust_gain"] is None
    assert standard["times"] == standard["cpu_times"] == 1
    # Five gradients before each step; the clock of a busy machine is left out.
    assert uphill["cpu_times"] > 1.5


def test_what_is_trained_first_pays_for_nothing_else(digits, tmp_path):
    """The yardstick is trained first: the same recipe again takes the same time."""
    again = short(digits, {"again": Recipe()}, tmp_path, options=rb.TrainingOptions(epochs=6)).rows[1]
    assert 0.5 < again["cpu_times"] < 2
    assert again["clean_gain"] == again["robust_gain"] == 0


def test_the_table_has_a_row_per_recipe_and_a_column_per_shift(compared):
    table = compared[0].table
    assert table["recipe"].tolist() == ["standard", "uphill"]
    assert {"clean_accuracy", "robust_accuracy", "times", "night(severity=3)"} <= set(table.columns)


@pytest.mark.slow
def test_the_same_again_but_for_the_time(digits, tmp_path):
    timed = {"seconds", "cpu_seconds", "times", "cpu_times"}
    found = [short(digits, RECIPES, tmp_path / name).document() for name in "ab"]
    for document in found:
        document["recipes"] = [{k: v for k, v in row.items() if k not in timed} for row in document["recipes"]]
    assert found[0] == found[1]


def test_a_recipe_that_fails_is_a_row(digits, tmp_path):
    recipes = {"broken": Recipe(adversarial=Broken()), **RECIPES}
    found = short(digits, recipes, tmp_path)
    assert [row["status"] for row in found.rows] == ["done", "failed", "done"]
    assert "no attack" in found.rows[1]["reason"]
    assert found.rows[1]["clean_accuracy"] is None
    assert set(found.rows[0]) == set(found.rows[1])
    assert found.status == "done"


def test_nothing_that_could_be_trained_is_an_error(digits, tmp_path):
    with pytest.raises(InputError, match="diverged"):
        short(digits, {}, tmp_path, options=rb.TrainingOptions(epochs=2, lr=1e36, batch_size=8))


def test_a_network_of_ones_own(digits, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    few = [part.select(range(60)) for part in digits]
    options, where = rb.TrainingOptions(epochs=1), tmp_path / "out"
    found = rb.trade_off(*few, {}, where, architecture=f"{tmp_path / 'own.py'}:net", options=options, on=ON)
    assert [row["status"] for row in found.rows] == ["done"]


def test_ctrl_c_keeps_what_is_finished(digits, tmp_path):
    recipes = {"stopped": Recipe(adversarial=Broken(error="KeyboardInterrupt")), **RECIPES}
    found = short(digits, recipes, tmp_path)
    assert found.status == "interrupted"
    assert [row["recipe"] for row in found.rows] == ["standard"]
    assert [file.name for file in tmp_path.glob("*.safetensors")] == ["standard.safetensors"]


@pytest.mark.slow
def test_resume_trains_only_what_is_not_there(digits, tmp_path, monkeypatch):
    first = short(digits, RECIPES, tmp_path)
    trained = []

    def watched(*given, **named):
        trained.append(named["recipe"])
        return rb.train(*given, **named)

    monkeypatch.setattr(tradeoff, "train", watched)
    again = short(digits, RECIPES, tmp_path, resume=True)
    assert trained == []
    assert again.rows == first.rows
    harder = {"uphill": replace(RECIPES["uphill"], adversarial=Uphill(steps=2))}
    short(digits, harder, tmp_path, resume=True)
    assert [recipe.adversarial.steps for recipe in trained] == [2]
    trained.clear()
    short(digits, harder, tmp_path, resume=True, options=rb.TrainingOptions(epochs=2))
    assert len(trained) == 2


@pytest.mark.slow
def test_resume_goes_on_with_the_one_that_was_stopped(digits, tmp_path):
    options = rb.TrainingOptions(epochs=3)

    def stop(progress):
        if (progress.recipe, progress.what, progress.done) == ("uphill", "training", 2):
            raise KeyboardInterrupt

    whole = short(digits, RECIPES, tmp_path / "whole", options=options)
    stopped = short(digits, RECIPES, tmp_path / "cut", options=options, on_progress=stop)
    assert (stopped.status, len(stopped.rows)) == ("interrupted", 1)
    assert (tmp_path / "cut" / "uphill.resume").is_file()
    seen = []
    found = short(digits, RECIPES, tmp_path / "cut", options=options, resume=True, on_progress=seen.append)
    assert [p.done for p in seen if (p.recipe, p.what) == ("uphill", "training")][-1] == 3
    assert sum(p.what == "training" and p.done > 0 for p in seen) <= 2  # the first epochs are not trained again
    assert found.rows[1]["clean_accuracy"] == whole.rows[1]["clean_accuracy"]
    states = [rb.load_classifier(str(tmp_path / f / "uphill.safetensors"), device="cpu") for f in ("whole", "cut")]
    assert states[0].weights_sha256 == states[1].weights_sha256
    assert not list(tmp_path.rglob("*.resume"))


@pytest.mark.parametrize(
    ("on", "told"),
    [
        (("pgd", "fgsm"), "are several"),
        (("cw",), "has no budget"),
        (("night(severitee=3)",), "severitee"),
        (("color_temperature",), "colour"),
    ],
)
def test_conditions_that_do_not_fit(digits, tmp_path, on, told):
    with pytest.raises(InputError, match=told):
        rb.trade_off(*digits, {}, tmp_path / "none", on=on)
    assert not (tmp_path / "none").exists()


def test_names_that_would_share_a_file(digits, tmp_path):
    with pytest.raises(InputError, match="one file name"):
        rb.trade_off(*digits, {"a b": Recipe(), "a-b": Recipe()}, tmp_path)


def test_the_test_split_is_warned_of(digits, tmp_path):
    test = rb.load_dataset("digits", split="test", limit=50)
    assert "part of training" in short(digits, {}, tmp_path, test_set=test).about["warning"]
    assert not short(digits, {}, tmp_path).about["warning"]
