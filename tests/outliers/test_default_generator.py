"""The generator that is trained where none is given."""

from __future__ import annotations

import pytest
import torch
from score_parts import noise, stripes

import robustbench_lite as rb
from robustbench_lite import registry
from robustbench_lite.errors import InputError
from robustbench_lite.generative.latent import VariationalModel
from robustbench_lite.outliers import default_generator as module
from robustbench_lite.outliers.default_generator import default_generator
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.score import Normals, Parts


@pytest.fixture(scope="module")
def normals():
    return Normals(stripes(60, 0, (1, 12, 10))[0])


@pytest.fixture(scope="module")
def trained(normals):
    said = []
    return default_generator(normals, lambda *progress: said.append(progress)).network, said


def test_it_can_be_asked_at_once(normals, trained):
    model, said = trained
    assert isinstance(model, VariationalModel)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert said[0] == (0, 60, "training vae")
    assert 1 < len(said) <= 61
    detector = fit_detector(normals, [(registry.make_one("score", "statistics"), 1.0)], Parts(generator=model))
    assert float(detector(noise(20, 3, (1, 12, 10))).min()) > float(
        detector(stripes(20, 9, (1, 12, 10))[0]).mean()
    )


def test_fit_detector_trains_it_where_none_is_given(monkeypatch):
    monkeypatch.setattr(module, "_MOST", 1)
    data = rb.load_dataset("digits", split="train", limit=80)
    detector = rb.fit_detector(data, [(registry.make_one("score", "elbo"), 1.0)], calibration=0)
    assert isinstance(detector.parts.generator, VariationalModel)
    assert detector(next(data.batches(4)).images).isfinite().all()


def test_the_same_normals_give_the_same_model(normals, trained):
    images = stripes(3, 9, (1, 12, 10))[0]
    again = default_generator(normals).network
    assert torch.equal(again.encode(images), trained[0].encode(images))


def test_it_does_not_see_what_measures_the_tails(normals, monkeypatch):
    """It is trained on the images that the scores are fitted to; pictures of a part stay together."""
    grouped = Normals(normals.images, groups=tuple(str(i // 4) for i in range(60)))
    seen = {}

    class Spy:
        needs, differentiable, kind = "", True, "score"

        def fit(self, normals, parts):
            seen["fit"] = normals.images
            return lambda images: images.flatten(1).sum(1)

    monkeypatch.setattr(registry, "spec", lambda score: "spy")
    fit_detector(grouped, [(Spy(), 1.0)])

    def train(spec, train, val, options, on_epoch):
        seen.update(train=train, val=val)
        return type("Trained", (), {"network": None})

    monkeypatch.setattr(module, "train_generator", train)
    default_generator(grouped)
    assert torch.equal(seen["train"], seen["fit"])
    assert len(seen["train"]) + len(seen["val"]) == 60


def test_large_images_are_reduced(monkeypatch):
    seen = {}

    def train(spec, train, val, options, on_epoch):
        seen.update(shape=train.shape[1:], epochs=options.epochs)
        return type("Trained", (), {"network": None})

    monkeypatch.setattr(module, "train_generator", train)
    default_generator(Normals(stripes(40, 0, (3, 160, 80))[0]))
    assert seen["shape"] == (3, 64, 32)


def test_too_few_or_too_small_images_are_refused():
    with pytest.raises(InputError, match="too few"):
        default_generator(Normals(stripes(2, 0)[0]))
    with pytest.raises(InputError, match="from 8×8 up"):
        default_generator(Normals(stripes(20, 0, (1, 5, 12))[0]))
