"""Scores that ask a classifier: beside pytorch-ood on the same features and logits, and by closed forms."""

from __future__ import annotations

import pytest
import torch
from score_parts import SHAPE, classifier, noise, normals, parts, stripes
from torch import nn

from robustbench_lite import registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.features import last_layer
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.msp import unlikeliness
from robustbench_lite.outliers.score import Normals, Parts

IMAGES = torch.cat([stripes(20, 7)[0], noise(20, 7)])


def fitted(spec, given=None, asked=None):
    return registry.make_one("score", spec).fit(given or normals(), asked or parts())


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("pytorch_ood.detector")


class TestBesidePytorchOOD:
    """With the same logits or features they agree to 1e-5."""

    def test_of_logits(self, theirs):
        logits = classifier()(IMAGES)
        for spec, found in {
            "msp": 1 + theirs.MaxSoftmax.score(logits),
            "max_logit": theirs.MaxLogit.score(logits),
            "energy": theirs.EnergyBased.score(logits),
            "energy(temperature=2.5)": theirs.EnergyBased.score(logits, 2.5),
        }.items():
            assert torch.allclose(fitted(spec)(IMAGES), found, rtol=1e-5, atol=1e-5), spec

    @pytest.mark.parametrize(("temperature", "eps"), [(1000.0, 0.0014), (1.0, 0.02)])
    def test_odin(self, theirs, temperature, eps):
        network = classifier().module()
        found = 1 + theirs.ODIN(network, temperature=temperature, eps=eps).predict(IMAGES)
        ours = fitted(f"odin(temperature={temperature}, eps={eps})")(IMAGES)
        assert torch.allclose(ours, found, rtol=1e-5, atol=1e-6)
        plain = fitted(f"odin(temperature={temperature}, eps=0)")(IMAGES)
        assert (ours < plain).float().mean() > 0.9  # the step makes images surer

    def test_mahalanobis(self, theirs):
        known = classifier().features(normals().images).double()
        detector = theirs.Mahalanobis(None).fit_features(known, normals().labels)
        # The inverse of a covariance in float32 would differ more between any two programs.
        detector.mu, detector.cov = detector.mu.double(), detector.cov.double()
        apart = known - detector.mu[normals().labels]
        detector.precision = torch.linalg.inv(apart.T @ apart)
        # Theirs is a half of the distance under the sum, where ours has the mean, of the squares.
        found = 2 * len(known) * detector.predict_features(classifier().features(IMAGES).double())
        assert torch.allclose(fitted("mahalanobis(shrink=false)")(IMAGES).double(), found, rtol=1e-5)

    @pytest.mark.parametrize("k", [1, 10, 96])
    def test_knn(self, theirs, k):
        detector = theirs.KNN(None, k=k).fit_features(classifier().features(normals().images), normals().labels)
        found = detector.predict_features(classifier().features(IMAGES)).float()
        assert torch.allclose(fitted(f"knn(k={k})")(IMAGES), found, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("components", [4, 8])
    def test_vim(self, theirs, components):
        layer = last_layer(classifier(), IMAGES)
        detector = theirs.ViM(None, components, layer.weight, layer.bias)
        detector.fit_features(classifier().features(normals().images), normals().labels)
        found = detector.predict_features(classifier().features(IMAGES))
        assert torch.allclose(fitted(f"vim(components={components})")(IMAGES), found, rtol=1e-5, atol=1e-5)


def test_of_a_sure_classifier_the_digits_are_kept():
    logits = torch.tensor([[30.0, 0.0, -1.0], [60.0, 0.0, 0.0]], dtype=torch.float64)
    exact = (logits[:, 1:].exp().sum(1) / logits.exp().sum(1)).float()
    assert torch.allclose(unlikeliness(logits.float()), exact, rtol=1e-6)
    assert (exact > 0).all()


def test_predictions_stand_in_for_labels():
    """They are what is used without labels; of a classifier that is mostly right they give much the same."""
    with_labels = fitted("mahalanobis")(IMAGES)
    predicted = classifier()(normals().images).argmax(1)
    assert (predicted == normals().labels).float().mean() > 0.9
    without = fitted("mahalanobis", Normals(normals().images))(IMAGES)
    same = fitted("mahalanobis", Normals(normals().images, predicted))(IMAGES)
    assert torch.equal(without, same)
    assert torch.allclose(with_labels, without, rtol=0.2)


class Pixels(nn.Module):
    """Features that are two pixels."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)
        nn.init.eye_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(x.flatten(1)[:, :2])


def pixels(*pairs):
    return torch.tensor(pairs).view(len(pairs), 1, 1, 2)


def test_mahalanobis_by_hand():
    """Two classes of one covariance diag(0.01, 0.04) around (0.2, 0.5) and (0.8, 0.5)."""
    given = pixels(
        *[(x + a, 0.5 + b) for x in (0.2, 0.8) for a, b in ((0.1, 0.2), (0.1, -0.2), (-0.1, 0.2), (-0.1, -0.2))]
    )
    labels = torch.tensor([0] * 4 + [1] * 4)
    scorer = fitted("mahalanobis(shrink=false)", Normals(given, labels), Parts(Classifier(Pixels())))
    found = scorer(pixels((0.2, 0.5), (0.8, 0.9), (0.5, 0.5), (0.0, 0.5)))
    assert torch.allclose(found, torch.tensor([0.0, 4.0, 9.0, 4.0]), atol=1e-4)


def test_knn_by_hand():
    """Only the direction of the features counts."""
    given = pixels((0.5, 0.0), (0.0, 0.3), (0.2, 0.2))
    scorer = fitted("knn(k=2)", Normals(given), Parts(Classifier(Pixels())))
    found = scorer(pixels((0.9, 0.0), (0.4, 0.4)))
    near = (2 - 2**0.5) ** 0.5  # between directions 45 degrees apart
    assert torch.allclose(found, torch.tensor([near, near]), atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("energy(temperature=0)", "temperature"),
        ("odin(temperature=-1)", "temperature"),
        ("odin(eps=2)", "eps"),
        ("knn(k=0)", "k=0"),
        ("vim(components=0)", "components"),
    ],
)
def test_impossible_arguments_are_refused(spec, reason):
    with pytest.raises(InputError, match=reason):
        registry.make_one("score", spec)


def test_too_few_images_are_told():
    few = normals(n=8)
    with pytest.raises(InputError, match="no neighbour number 10"):
        fitted("knn(k=10)", few)
    with pytest.raises(InputError, match="do not span 16 features"):
        fitted("mahalanobis(shrink=false)", few)
    with pytest.raises(InputError, match="nothing is left"):
        fitted("vim(components=8)", few)
    assert fitted("mahalanobis", few)(IMAGES).isfinite().all()
    assert fitted("vim", few)(IMAGES).isfinite().all()


def test_functions_and_wide_layers_are_told():
    function = Parts(Classifier(lambda x: x.flatten(1)[:, :3]))
    assert fitted("energy", asked=function)(IMAGES).shape == (40,)
    for spec in ("odin", "knn"):
        with pytest.raises(InputError, match="function that returns scores"):
            fitted(spec, asked=function)
    wide = Parts(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(72 * 72, 2))))
    given = Normals(noise(20, 0, (1, 72, 72)))
    for spec in ("mahalanobis", "vim"):
        with pytest.raises(InputError, match="takes 5184 numbers"):
            fitted(spec, given, wide)


def test_negative_logits_are_told():
    network = nn.Sequential(nn.Flatten(), nn.Linear(SHAPE[1] * SHAPE[2], 2))
    nn.init.constant_(network[1].bias, -50.0)
    with pytest.raises(InputError, match="none can be matched"):
        fitted("vim", asked=Parts(Classifier(network)))


@pytest.mark.parametrize(("n", "k"), [(2, 1), (1400, 1), (3000, 3)])
def test_the_usual_neighbour_grows_with_the_images(n, k):
    scorer = registry.make_one("score", "knn").restore({"known": torch.eye(n, 16)}, SHAPE, parts())
    assert scorer.k == k
