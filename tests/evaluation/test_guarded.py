"""A detector beside the network: what every row says of it, what it costs, and that it never stands alone."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from robustbench_lite.classifiers.loading import load_classifier
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.evaluation import evaluate
from robustbench_lite.guarding import GuardedClassifier, plan_guarded
from robustbench_lite.outliers.detector import Detector, Member, fit_detector
from robustbench_lite.outliers.pca import PCA
from robustbench_lite.outliers.score import Normals, Parts
from robustbench_lite.outliers.store import load_detector, save_detector
from robustbench_lite.registry import spec
from robustbench_lite.runs import read_run
from robustbench_lite.scoring import _still_fools


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", limit=40)


def split(name):
    return torch.cat([batch.images for batch in load_dataset("digits", split=name).batches(256)])


@pytest.fixture(scope="module")
def detector():
    fitted = fit_detector(Normals(split("train")), [(PCA(components=12), 1.0), (PCA(components=3), 0.0)])
    return fitted.calibrated(split("val"), rate=0.05)


@pytest.fixture(scope="module")
def classifier():
    return load_classifier("demo", device="cpu")


@pytest.fixture(scope="module")
def seen(classifier, digits, detector):
    """What every condition's images were, and what came out."""
    images = {}

    def keep(condition, batch, x):
        images.setdefault(condition, []).append(x)

    conditions = ["pgd(eps=0.15, steps=5)", "night(severity=3)", "evade(eps=0.15, steps=10)"]
    found = evaluate(
        classifier, digits, conditions, detector=detector, probes=False, batch_size=16, on_images=keep
    )
    return found, {name: torch.cat(parts) for name, parts in images.items()}


def test_every_row_has_the_score_of_the_image_that_was_classified(seen, detector):
    found, images = seen
    assert set(found.samples["condition"]) == set(images)
    for condition, rows in found.samples.groupby("condition"):
        scores = detector(images[condition])
        assert torch.allclose(torch.tensor(rows["outlier"].to_numpy()), scores, atol=1e-4)
        assert rows["flagged"].tolist() == detector.alarms(torch.tensor(rows["outlier"].to_numpy())).int().tolist()
    assert found.samples["flagged"].any()


def test_evade_succeeds_where_both_are_fooled(seen):
    rows = seen[0].samples.set_index("condition").loc["evade(eps=0.15, steps=10)"]
    both = (rows["attacked"] == 1) & (rows["prediction"] != rows["label"]) & (rows["flagged"] == 0)
    assert (rows["succeeded"] == both).all()
    assert both.any()
    assert not both.all()
    assert (rows["fools_8bit"] <= rows["succeeded"]).all()


def test_what_is_flagged_is_no_success_of_evade(classifier, digits, detector):
    strict = replace(detector, threshold=detector.threshold._replace(value=-1.0))  # every image is an alarm
    rows = evaluate(classifier, digits, ["evade(eps=0.15, steps=5)"], detector=strict, probes=False).samples
    attacked = rows[rows["condition"] != "clean"]
    assert ((attacked["attacked"] == 1) & (attacked["correct"] == 0)).any()
    assert not attacked["succeeded"].any()
    assert not attacked["fools_8bit"].any()


@pytest.mark.parametrize(("value", "expected"), [(-1.0, False), (1e9, True)])
def test_as_files_of_8_bits_images_must_pass_too(classifier, detector, value, expected):
    images = split("test")[:4]
    guard = GuardedClassifier(
        classifier, replace(detector, threshold=detector.threshold._replace(value=value)), (1, 8, 8)
    )
    labels = (classifier(images).argmax(1) + 1) % 10  # all of them wrong
    outcome = SimpleNamespace(eight_bit=images, goal=None)
    found = _still_fools(classifier, outcome, labels, torch.tensor([True, True, False, True]), guard)
    assert found.tolist() == [expected, expected, False, expected]


def test_passes_through_the_detector_are_counted_apart(seen, classifier, digits):
    by_name = {c.spec: c for c in seen[0].conditions}
    assert {c.detector_forwards for c in seen[0].conditions[:3]} == {len(digits)}
    assert {c.detector_gradients for c in seen[0].conditions[:3]} == {0}
    evade = by_name["evade(eps=0.15, steps=10)"]
    assert 0 < evade.detector_gradients == evade.gradients <= 2 * 10 * len(digits)
    assert evade.detector_gradients < evade.detector_forwards
    alone = evaluate(classifier, digits, ["pgd(eps=0.15, steps=5)"], probes=False)
    assert [c.forwards for c in alone.conditions] == [c.forwards for c in seen[0].conditions[:2]]
    assert alone.samples["outlier"].isna().all()
    assert not alone.samples["flagged"].any()
    assert alone.detector is None


@dataclass(frozen=True)
class Confidence:
    """An outlier score that asks the classifier: one minus its confidence."""

    kind: ClassVar[str] = "score"
    needs: ClassVar[str] = "classifier"
    differentiable: ClassVar[bool] = True

    def restore(self, state, shape, parts):
        module = parts.classifier.module()
        return lambda images: 1 - module(images).softmax(1).amax(1)

    def fit(self, normals, parts):
        return self.restore({}, normals.shape, parts)


def test_what_a_score_asks_of_the_network_is_no_cost_of_the_attack(classifier, digits, detector):
    parts = Parts(classifier=classifier)
    fitted = fit_detector(Normals(split("train")[:200]), [(Confidence(), 1.0)], parts)
    asking = GuardedClassifier(classifier, fitted.calibrated(split("val"), 0.05), digits.image_shape)
    classifier.take_counts()
    x = split("test")[:7]
    scores, gradient = asking.outlier_gradient(x)
    assert torch.allclose(scores, asking.outliers(x), atol=1e-5)
    assert (gradient.flatten(1).norm(dim=1) > 0).any()
    assert classifier.take_counts().forwards == 0
    assert asking.take_passes() == (14, 7)


def test_the_gradient_is_that_of_the_score(classifier, detector):
    guard = GuardedClassifier(classifier, detector, (1, 8, 8))
    x = split("test")[:300].requires_grad_()  # more than go through it at once
    scores, gradient = guard.outlier_gradient(x)
    assert torch.allclose(scores, detector(x), atol=1e-5)
    (expected,) = torch.autograd.grad(detector(x).sum(), x)
    assert torch.allclose(gradient, expected, atol=1e-4)


@dataclass(frozen=True)
class Steps:
    """A score without a gradient."""

    kind: ClassVar[str] = "score"
    needs: ClassVar[str] = ""
    differentiable: ClassVar[bool] = False

    def fit(self, normals, parts):
        return lambda images: (images * 8).round().flatten(1).mean(1)


def test_a_score_without_a_gradient_is_left_out_of_it_and_named(classifier, digits, detector):
    fitted = fit_detector(Normals(split("train")), [(PCA(components=12), 1.0), (Steps(), 1.0)])
    both = fitted.calibrated(split("val"), rate=0.05)
    guard = GuardedClassifier(classifier, both, (1, 8, 8))
    (name,) = guard.opaque
    assert name.endswith(":Steps")
    x = split("test")[:5]
    alone = Detector(both.shape, both.members[:1], threshold=both.threshold)
    _, gradient = guard.outlier_gradient(x)
    _, expected = GuardedClassifier(classifier, alone, (1, 8, 8)).outlier_gradient(x)
    assert torch.equal(gradient, expected)
    assert torch.allclose(guard.outliers(x), both(x), atol=1e-5)
    found = evaluate(classifier, digits.select(list(range(5))), [], detector=both, probes=False)
    assert found.detector.without_gradient == [name]
    (warning,) = found.conditions[-1].warnings
    assert "no gradient" in warning
    assert name in warning


def test_a_score_that_is_only_looked_at_is_not_missed(classifier):
    fitted = fit_detector(Normals(split("train")), [(PCA(components=12), 1.0), (Steps(), 0.0)])
    assert GuardedClassifier(classifier, fitted.calibrated(split("val"), 0.05), (1, 8, 8)).opaque == ()


def test_a_score_at_the_threshold_is_no_alarm(classifier, detector):
    """As in calibration: of the n scores there the one that became the threshold is none."""
    images = split("test")[:3]
    at = detector.threshold._replace(value=float(detector(images).median()))
    guard = GuardedClassifier(classifier, replace(detector, threshold=at), (1, 8, 8))
    assert guard.judge(images).alarms.sum() == 1
    assert guard.detector.alarms(detector(images)).sum() == 1


def test_nothing_but_constants_gives_no_gradient_and_no_failure(classifier):
    fitted = fit_detector(Normals(split("train")), [(Steps(), 1.0)])
    guard = GuardedClassifier(classifier, fitted.calibrated(split("val"), 0.05), (1, 8, 8))
    assert not guard.outlier_gradient(split("test")[:3]).gradient.any()


@dataclass
class Broken:
    """A scorer that finds no number."""

    def __call__(self, images):
        return images.flatten(1).sum(1) * torch.nan


def test_a_score_that_is_no_number_is_an_alarm(classifier, detector):
    broken = replace(detector, members=(Member("pca", Broken(), detector.members[0].tail, 1.0),))
    verdict = GuardedClassifier(classifier, broken, (1, 8, 8)).judge(split("test")[:3])
    assert verdict.alarms.all()


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ([], ["evade(eps=0.1)"]),
        (["night"], ["evade(eps=0.1)"]),
        (["cw"], ["evade(eps=0.1)"]),
        (["pgd(eps=0.2)", "fgsm(eps=0.2)"], ["evade(eps=0.2)"]),
        (["pgd(eps=0.2)", "pgd(eps=1, norm=l2)"], ["evade(eps=0.2)", "evade(eps=1, norm=l2)"]),
        (["night + pgd"], ["evade(eps=0.1)"]),
        (["evade(steps=3)", "pgd"], []),
        (["night + evade(steps=3)"], []),
    ],
)
def test_a_detector_never_stands_without_the_attack_on_both(given, added):
    eps = {"linf": 0.1, "l2": 0.5}
    planned = [spec(c) for c in plan_guarded(given, eps, has_detector=True)]
    assert planned[1 + len(given) :] == added


def test_what_cannot_be_is_refused(classifier, digits, detector):
    def refused(message, conditions=(), found=detector):
        with pytest.raises(InputError, match=message):
            evaluate(classifier, digits, conditions, detector=found)

    refused("has no threshold", found=replace(detector, threshold=None))
    refused("takes images of the shape", found=replace(detector, shape=(3, 8, 8)))
    refused("needs a detector", ["evade"], None)
    refused("a portfolio has one goal", ["worst(pgd, evade)"])


def test_a_run_is_read_back_with_its_detector(rb, detector, tmp_path):
    save_detector(detector, tmp_path / "guard")
    found = rb(
        *("attack", "--method", "pgd(steps=3)", "--limit", 30, "--detector", "guard", "--no-checks"),
        *("--out", "run", "--json"),
    )
    assert found.code == 0, found.err
    run = read_run("run")
    about = run.record.detector
    assert about.folder == "guard"
    assert len(about.sha256) == 64
    assert about.threshold == pytest.approx(detector.threshold.value)
    assert (about.false_alarms_promised, about.n_calibrated) == (0.05, detector.threshold.n)
    assert about.members == {"pca(components=12)": 1.0, "pca(components=3)": 0.0}
    assert about.n_seen == 0
    assert [c.spec for c in run.record.conditions] == ["clean", "pgd(eps=0.1, steps=3)", "evade(eps=0.1)"]
    assert run.samples["outlier"].notna().all()
    again = load_detector(tmp_path / "guard")
    assert again.threshold == detector.threshold


def test_images_that_the_detector_knows_are_counted(classifier, detector):
    train = load_dataset("digits", split="train", limit=20)
    found = evaluate(classifier, train, ["evade(steps=1)"], detector=detector, probes=False)
    assert found.detector.n_seen == 20
    guard = GuardedClassifier(classifier, detector, (1, 8, 8))
    assert guard.known(split("val")[:7]) == 7  # the threshold was chosen with these
    assert guard.known(split("test")[:5]) == 0


def test_bad_detectors_are_refused_by_the_command(refused, detector, tmp_path):
    save_detector(replace(detector, threshold=None), tmp_path / "uncalibrated")
    save_detector(replace(detector, shape=(1, 9, 9)), tmp_path / "other")
    (tmp_path / "empty").mkdir()
    words = ("eval", "--on", "clean", "--limit", 10, "--detector")
    assert "has no threshold" in refused(*words, "uncalibrated")
    assert "shape (1, 9, 9), the classifier gets (1, 8, 8)" in refused(*words, "other")
    assert "is no detector" in refused(*words, "empty")
    assert "is no detector" in refused(*words, "nowhere")
    assert "needs a detector" in refused("attack", "--method", "evade", "--limit", 10)
    for flag in ("--preview", "--calibrate", "--until=0.9"):
        assert "has no place for a --detector" in refused(
            "shift", "--lighting", "night", flag, "--detector", "other"
        )
