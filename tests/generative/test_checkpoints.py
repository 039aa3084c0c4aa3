"""Models of images as checkpoints: kept by ``rb train``, shown by ``rb generate``."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from made_images import correlated
from PIL import Image

import robustbench_lite as rb_package
from robustbench_lite import load_generator, registry
from robustbench_lite.errors import InputError
from robustbench_lite.generative.bounds import assess
from robustbench_lite.generative.density import PCA
from robustbench_lite.generative.loading import save_generator
from robustbench_lite.sheets import Block, contact_sheet
from robustbench_lite.weights import CheckpointInfo, save_checkpoint

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Untrained networks as checkpoints: what they show is nothing, but it is always the same."""
    folder = tmp_path_factory.mktemp("networks")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in ("vae", "autoencoder"):
            spec = f"{name}(latents=3, body=mlp, width=8)"
            network = registry.make_one("generator", spec).network(SHAPE).eval()
            network.begin_at(torch.tensor(correlated(20, SHAPE)).float())
            save_generator(folder / f"{name}.safetensors", spec, network, {})
    return folder


def digits(split):
    return np.concatenate([b.images.numpy() for b in rb_package.load_dataset("digits", split=split).batches(128)])


@pytest.mark.parametrize("spec", ["histogram", "gaussian", "pca(components=5)", "mixture(components=2, axes=3)"])
def test_rb_train_keeps_a_density_to_the_last_bit(rb, tmp_path, spec):
    done = rb("train", "--model", spec, "--data", "digits", "--out", "m.safetensors", "--seed", 3, "--json")
    assert done.code == 0
    fitted = registry.make_one("generator", spec).fit(digits("train"), 3)
    nats = fitted.log_likelihood(digits("val"))
    assert done.document == {
        "model": spec,
        "data": "digits",
        "train_images": 1061,
        "val_images": 375,
        "checkpoint": "m.safetensors",
        "seed": 3,
        "likelihood": "continuous density",
        "val_nats": pytest.approx(nats.mean()),
        "val_bits_per_dim": pytest.approx(-nats.mean() / 64 / np.log(2)),
    }
    kept = load_generator(tmp_path / "m.safetensors")
    assert (kept.spec, kept.info.kind, kept.info.input_shape) == (spec, "generator", SHAPE)
    assert kept.info.history["data"] == "digits"
    np.testing.assert_array_equal(kept.model.log_likelihood(digits("val")), nats)
    np.testing.assert_array_equal(kept.model.sample(3, 1), fitted.sample(3, 1))


def test_a_kept_model_and_one_fitted_on_the_spot_give_the_same_sheets(rb, tmp_path):
    assert rb("train", "--model", "pca", "--data", "digits", "--out", "pca.safetensors").code == 0
    for view in ((), ("--traverse",), ("--reconstruct",), ("--interpolate", "0,7")):
        sheets = []
        for model in ("pca", "pca.safetensors"):
            done = rb("generate", "--model", model, "--data", "digits", *view, "--n", 4, "--overwrite", "--json")
            assert done.code == 0
            sheets.append((tmp_path / "sheet.png").read_bytes())
        assert sheets[0] == sheets[1]
    assert (done.document["model"], done.document["checkpoint"]) == ("pca", "pca.safetensors")


def test_a_checkpoint_without_data_gives_samples_and_traversals(rb, networks, tmp_path):
    vae = networks / "vae.safetensors"
    done = rb("generate", "--model", vae, "--n", 5, "--json")
    assert done.code == 0
    assert done.document == {
        "model": "vae(latents=3, body=mlp, width=8)",
        "checkpoint": str(vae),
        "n": 5,
        "sheet": "sheet.png",
    }
    first = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert rb("generate", "--model", vae, "--n", 3, "--overwrite").code == 0
    fewer = np.asarray(Image.open(tmp_path / "sheet.png"))
    np.testing.assert_array_equal(fewer[48:96, 16 : 16 + 3 * 52 - 4], first[48:96, 16 : 16 + 3 * 52 - 4])
    done = rb("generate", "--model", vae, "--traverse", "--overwrite", "--json")
    assert (sorted(done.document["latents"]), done.document["measure"]) == ([0, 1, 2], "change")
    done = rb("generate", "--model", vae, "--traverse", "--data", "digits", "--overwrite", "--json")
    assert (sorted(done.document["latents"]), done.document["measure"]) == ([0, 1, 2], "KL")
    assert done.document["importance"] == sorted(done.document["importance"], reverse=True)
    assert done.document["deviations"] == [-3, -2, -1, 0, 1, 2, 3]


def test_samples_of_a_network_stand_beside_the_histogram(rb, networks):
    done = rb("generate", "--model", networks / "vae.safetensors", "--data", "digits", "--json")
    assert done.code == 0
    told = done.document["two_sample"]
    assert told["model"]["accuracy"] > 0.9
    assert list(told) == ["n", "features", "real", "model", "histogram"]
    shown = rb("generate", "--model", networks / "vae.safetensors", "--data", "digits", "--overwrite")
    assert "told from 180 real images" in shown.out


def test_bounds_stand_apart_from_the_densities(rb, networks):
    words = ("generate", "--model", networks / "vae.safetensors", "--data", "digits")
    told = rb(*words, "--json").document["bounds"]
    wanted = assess(load_generator(networks / "vae.safetensors").model, torch.from_numpy(digits("test")))
    assert (told["likelihood"], told["n"], told["k"]) == ("logistic", 361, 50)
    assert (told["elbo"], told["importance"]) == pytest.approx((wanted.elbo, wanted.importance), rel=1e-6)
    assert told["bits_per_dim"] == pytest.approx(-told["elbo"] / 64 / np.log(2))
    shown = " ".join(rb(*words, "--overwrite").out.split())
    assert "likelihood logistic" in shown
    assert "they compare with those of no other family or table" in shown
    assert f"-ELBO 361 {-told['elbo']:.2f} {told['bits_per_dim']:.3f}" in shown.replace("│", "").replace("  ", " ")
    assert "importance-weighted, k=50" in shown
    assert "bounds" not in rb("generate", "--model", "pca", "--overwrite", "--json").document


def test_images_of_another_size_are_said_to_be_scaled(rb, networks, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "parts" / split / "good").mkdir(parents=True)
        for i in range(6):
            Image.fromarray(np.full((12, 10), 40 * i, np.uint8)).save(tmp_path / f"parts/{split}/good/{i}.png")
    words = ("generate", "--model", networks / "vae.safetensors", "--reconstruct")
    told = rb(*words, "--data", "folder:parts").err
    assert "the test images (12×10, the first) are scaled to 8×8" in told
    assert "scaled" not in rb(*words, "--data", "digits", "--overwrite").err


def test_the_sheet_of_an_interpolation_has_reconstructions_and_images_at_its_ends(rb, tmp_path):
    done = rb("generate", "--model", "pca", "--interpolate", "3,9", "--split", "val", "--n", 5, "--json")
    assert done.code == 0
    assert done.document["images"] == [3, 9]
    assert done.document["path"] == "linear"
    assert done.document["shares"] == [0, 0.25, 0.5, 0.75, 1]
    images, axes = digits("val")[[3, 9]].astype(float), PCA().fit(digits("train")).axes
    centred = images.reshape(2, -1) - axes.mean
    back = (axes.mean + centred @ axes.directions.T @ axes.directions).clip(0, 1).reshape(2, *SHAPE)
    shares = np.linspace(0, 1, 5)[:, None, None, None]
    fade = (1 - shares) * images[0] + shares * images[1]
    truth = np.asarray(Image.open(io.BytesIO(contact_sheet([Block("", back, 2)]))))[48:96]
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    gutter = (sheet[48:900] < 255).all(axis=2).any(axis=0).argmax()  # where the tiles begin
    left = next(x for x in range(16, 200) if (sheet[64 : 64 + 48, x] == truth[:, 16]).all())
    assert left >= gutter - 48
    np.testing.assert_array_equal(sheet[64:112, left : left + 48], truth[:, 16:64])
    np.testing.assert_array_equal(sheet[64:112, left + 4 * 52 : left + 4 * 52 + 48], truth[:, 68:116])
    below = np.asarray(Image.open(io.BytesIO(contact_sheet([Block("", fade, 5)]))))[48:96]
    top = 64 + 48 + 4 + 16 + 32
    np.testing.assert_array_equal(sheet[top : top + 48, left : left + 5 * 52 - 4], below[:, 16 : 16 + 5 * 52 - 4])


def test_errors_of_reconstruction_are_those_of_the_projection(rb):
    done = rb("generate", "--model", "pca", "--reconstruct", "--n", 3, "--json")
    assert done.code == 0
    axes, test = PCA().fit(digits("train")).axes, digits("test").astype(float)
    images = test[done.document["images"]].reshape(3, -1) - axes.mean
    back = (axes.mean + images @ axes.directions.T @ axes.directions).clip(0, 1)
    truth = ((images + axes.mean - back) ** 2).mean(1)
    np.testing.assert_allclose(done.document["mse"], truth, rtol=1e-6)
    assert done.document["latents"] == 20


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("vae", "--reconstruct"), "--reconstruct needs images. Give --data."),
        (("vae", "--interpolate", "0,1"), "--interpolate needs images. Give --data."),
        (("vae", "--traverse", "--first", 3), "--first is about training images"),
        (("vae", "--data", "digits", "--input-size", 9), "are 1×9×9; "),
        (("vae", "--data", "digits", "--channels", 3), "are 3×8×8; "),
        (("autoencoder",), "an autoencoder is no distribution"),
        (("autoencoder", "--traverse"), "an autoencoder has no prior"),
    ],
)
def test_what_a_checkpoint_cannot_show_is_refused(refused, networks, words, reason):
    model, *rest = words
    assert reason in refused("generate", "--model", networks / f"{model}.safetensors", *rest)


def test_an_autoencoder_is_shown_with_images(rb, networks):
    model = networks / "autoencoder.safetensors"
    for view in (("--reconstruct",), ("--traverse",), ("--interpolate", "0,1")):
        assert rb("generate", "--model", model, "--data", "digits", *view, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--model", "pca", "--epochs", 3), "--epochs means nothing to pca"),
        (("--model", "pca", "--batch-size", 3), "--batch-size means nothing to pca"),
        (("--model", "pca", "--device", "cpu"), "--device means nothing to pca"),
        (("--model", "pca(components=65)"), "pca(components=64) at the most"),
        (("--model", "own.py:Flat"), "own.py:Flat cannot be kept in a file: its class has no restore()"),
    ],
)
def test_what_cannot_be_kept_is_refused(refused, tmp_path, words, reason):
    own = "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Flat:\n    kind = 'generator'\n"
    (tmp_path / "own.py").write_text(f"{own}    def fit(self, images, seed=0): ...\n")
    assert reason in refused("train", *words, "--data", "digits", "--out", "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_dry_run_fits_nothing(rb, tmp_path):
    done = rb("train", "--model", "pca", "--data", "digits", "--out", "m.safetensors", "--dry-run", "--json")
    assert json.loads(done.out)["train_images"] == 1061
    assert list(tmp_path.iterdir()) == []


OWN = """
from dataclasses import dataclass
from robustbench_lite.generative.vae import VAE

@dataclass(frozen=True)
class Mine:
    width: int = 8
    kind = "generator"

    def check(self, count, shape): ...

    def network(self, shape):
        return VAE(3, "mlp", self.width).network(shape)
"""


def test_a_checkpoint_of_a_program_is_shown_where_the_program_is_named(rb, refused, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    done = rb("train", "--model", "own.py:Mine", "--data", "digits", "--epochs", 1, "--out", "m.safetensors")
    assert done.code == 0, done.err
    done = rb("generate", "--model", "own.py:Mine", "--weights", "m.safetensors", "--n", 3, "--json")
    assert (done.code, done.document["checkpoint"]) == (0, "m.safetensors")
    error = refused("generate", "--model", "m.safetensors", "--overwrite")
    assert "no file makes one run" in error
    assert "--model own.py:Mine --weights m.safetensors" in error.replace("'", "")
    assert "--weights means nothing" in refused("generate", "--model", "pca", "--weights", "m.safetensors")


@pytest.mark.parametrize("program", ["evil.py:Mine", "evil:Mine", "os:mkdir(path=done)"])
@pytest.mark.parametrize("kind", ["generator", "classifier"])
def test_no_checkpoint_makes_a_program_run(tmp_path, monkeypatch, kind, program):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemError('was run')")
    info = CheckpointInfo(
        kind=kind, architecture=program, class_names=["a"], input_shape=SHAPE, mean=[], std=[], history={}
    )
    save_checkpoint(tmp_path / "m.safetensors", {"a": torch.zeros(1)}, info)
    load = load_generator if kind == "generator" else rb_package.load_classifier
    with pytest.raises(InputError, match="no file makes one run"):
        load("m.safetensors")
    assert not (tmp_path / "done").exists()
