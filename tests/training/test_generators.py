"""Training of models of images, and their checkpoints."""

from __future__ import annotations

import json
import math

import pytest
import torch
from typer.testing import CliRunner

import robustbench_lite as rb
from robustbench_lite import registry
from robustbench_lite.classifiers.loading import build_network, load_classifier
from robustbench_lite.cli.app import app
from robustbench_lite.errors import InputError
from robustbench_lite.generative.latent import LatentModel, VariationalModel
from robustbench_lite.generative.loading import load_generator, save_generator
from robustbench_lite.training.generators import GeneratorOptions, train_generator
from robustbench_lite.weights import CheckpointInfo, save_checkpoint

FEW = GeneratorOptions(epochs=2, batch_size=16)
SPECS = [
    "autoencoder(latents=3, width=4)",
    "autoencoder(latents=3, body=mlp, width=8, tied=true, noise=0.1)",
    "autoencoder(latents=3, body=linear)",
    "vae(latents=3, width=4)",
    "vae(latents=3, body=mlp, width=8, likelihood=bernoulli, binarise=stochastic)",
    "vae(latents=3, body=linear, likelihood=gaussian)",
    "vae(latents=3, width=4, likelihood=continuous_bernoulli, beta=4)",
]


def stripes(count, shape=(1, 8, 8), seed=0):
    """Images of a bright bar at a place that differs, under a little noise."""
    random = torch.Generator().manual_seed(seed)
    images = torch.full((count, *shape), 0.2)
    for image, place in zip(images, torch.randint(shape[-1], (count,), generator=random), strict=True):
        image[..., place] = 0.8
    return (images + 0.02 * torch.empty_like(images).normal_(generator=random)).clamp(0, 1)


TRAIN, VAL = stripes(40), stripes(20, seed=1)


def same(one, other):
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("spec", SPECS)
def test_the_seed_decides_the_weights_and_a_file_keeps_them(spec, tmp_path):
    trained = []
    for seed in (0, 0, 1):
        torch.rand(3)  # the global generator is somewhere else each time
        trained.append(train_generator(spec, TRAIN, VAL, GeneratorOptions(epochs=2, batch_size=16, seed=seed)))
    assert same(trained[0].network, trained[1].network)
    assert not same(trained[0].network, trained[2].network)
    assert trained[0].spec == spec
    save_generator(tmp_path / "g.safetensors", spec, trained[0].network, trained[0].history)
    fitted = load_generator(tmp_path / "g.safetensors")
    assert same(fitted.model, trained[0].network)
    assert (fitted.spec, fitted.info.kind, fitted.info.input_shape) == (spec, "generator", (1, 8, 8))
    assert fitted.info.history == json.loads(json.dumps(trained[0].history))
    assert not fitted.model.training
    assert not any(p.requires_grad for p in fitted.model.parameters())


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (4, 28, 28), (7, 64, 8), (1, 30, 45)])
def test_any_shape(spec, shape):
    network = registry.make_one("generator", spec).network(shape).eval()
    network.begin_at(stripes(4, shape))
    images = stripes(2, shape).requires_grad_()
    assert isinstance(network, LatentModel)
    latents = network.encode(images)
    shown = network.decode(latents)
    assert latents.shape == (2, 3)
    assert shown.shape == images.shape
    assert shown.min() >= 0
    assert shown.max() <= 1
    if isinstance(network, VariationalModel):
        nats = network.log_likelihood(images, latents)
        assert nats.shape == (2,)
        assert nats.isfinite().all()
        nats.sum().backward()
    else:
        shown.sum().backward()
    assert images.grad.isfinite().all()


@pytest.mark.parametrize("spec", ["autoencoder", "vae"])
def test_128_pixels_and_the_smallest_latent_map(spec):
    network = registry.make_one("generator", spec).network((1, 128, 128)).eval()
    assert network.decode(network.encode(torch.full((1, 1, 128, 128), 0.5))).shape == (1, 1, 128, 128)


def test_it_learns():
    train = stripes(200, seed=2)
    spec = "autoencoder(latents=8, body=mlp, width=64)"
    network = train_generator(spec, train, VAL, GeneratorOptions(epochs=40, batch_size=16)).network
    error = (network.decode(network.encode(VAL)) - VAL).square().mean()
    assert error < 0.2 * (VAL - train.mean(0)).square().mean()


def test_the_images_stay_as_they_are_and_so_do_the_generators():
    torch.manual_seed(5)
    state, before = torch.get_rng_state(), TRAIN.clone()
    train_generator("vae(latents=2, width=4, likelihood=bernoulli, binarise=static)", TRAIN, VAL, FEW)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(TRAIN, before)


@pytest.mark.parametrize(
    ("spec", "train", "val", "reason"),
    [
        ("vae", TRAIN[:, :, :7], VAL[:, :, :7], "from 8×8 up; these are 1×7×8"),
        ("autoencoder", TRAIN[:1], VAL, "1 image is too few"),
        ("vae", TRAIN, stripes(4, (1, 9, 8)), "differ"),
        ("vae", TRAIN * math.nan, VAL, "outside"),
        ("vae", TRAIN, VAL * 2, "outside"),
        ("vae", TRAIN, VAL[:0], "refused"),
        ("pca", TRAIN, VAL, "no network"),
        ("cnn", TRAIN, VAL, "unknown generator"),
        ("vae(latents=0)", TRAIN, VAL, "at least 1"),
        ("vae(width=0)", TRAIN, VAL, "at least 1"),
        ("vae(body=linear, width=3)", TRAIN, VAL, "no width"),
        ("vae(beta=-1)", TRAIN, VAL, "0 or more"),
        ("vae(binarise=static)", TRAIN, VAL, "likelihood=bernoulli"),
        ("vae(likelihood=normal)", TRAIN, VAL, "refused"),
        ("autoencoder(tied=true)", TRAIN, VAL, "linear layers"),
        ("autoencoder(noise=2)", TRAIN, VAL, "0 to 1"),
    ],
)
def test_bad_input(spec, train, val, reason):
    with pytest.raises(InputError, match=reason):
        train_generator(spec, train, val, FEW)


def test_a_loss_that_explodes_at_once_is_refused():
    with pytest.raises(InputError, match=r"diverged in epoch 1: the loss is not finite. Give a smaller --lr"):
        train_generator("vae", TRAIN, VAL, GeneratorOptions(epochs=3, lr=1e30))


def test_a_loss_that_explodes_later_leaves_the_last_good_epoch(monkeypatch, caplog):
    losses = iter([2.0, 1.0, math.nan])
    monkeypatch.setattr("robustbench_lite.training.generators._validate", lambda *_: next(losses))
    trained = train_generator("vae(latents=2)", TRAIN, VAL, GeneratorOptions(epochs=5))
    assert [e["val_loss"] for e in trained.history["epochs"]] == [2.0, 1.0]
    assert all(tensor.isfinite().all() for tensor in trained.network.state_dict().values())
    assert "diverged in epoch 3: the loss is not finite. The best epoch before is kept" in caplog.text


def test_the_kinds_are_not_mixed_up(tmp_path):
    trained = train_generator("vae(latents=2, width=4)", TRAIN, VAL, FEW)
    save_generator(tmp_path / "vae.safetensors", trained.spec, trained.network, trained.history)
    network = build_network("linear", num_classes=2, input_shape=(1, 8, 8))
    info = CheckpointInfo(
        architecture="linear", class_names=["a", "b"], input_shape=(1, 8, 8), mean=[0.5], std=[1.0], history={}
    )
    save_checkpoint(tmp_path / "net.safetensors", network, info)
    with pytest.raises(InputError, match=r"is a model of images \(vae\(latents=2, width=4\)\), no classifier"):
        load_classifier(str(tmp_path / "vae.safetensors"))
    with pytest.raises(InputError, match="is a model of images"):
        load_classifier("linear", weights=tmp_path / "vae.safetensors", num_classes=2, input_shape=(1, 8, 8))
    with pytest.raises(InputError, match=r"is a classifier \(linear\), no model of images"):
        load_generator(tmp_path / "net.safetensors")
    torch.save(network.state_dict(), tmp_path / "net.pt")
    with pytest.raises(InputError, match="does not say which model it is"):
        load_generator(tmp_path / "net.pt")
    with pytest.raises(InputError, match="no such file"):
        load_generator(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="no state"):
        save_generator(tmp_path / "x.safetensors", "own", object(), {})


def command(*words):
    return CliRunner().invoke(app, [*words, "--device", "cpu"], catch_exceptions=False)


def test_rb_train(tmp_path):
    out = str(tmp_path / "vae.safetensors")
    words = ("train", "--model", "vae(latents=2, width=4)", "--data", "digits", "--limit", "100", "--out", out)
    planned = json.loads(command(*words, "--dry-run", "--json").stdout)
    assert planned["model"] == "vae(latents=2, width=4)"
    assert not (tmp_path / "vae.safetensors").exists()
    done = json.loads(command(*words, "--epochs", "2", "--json").stdout)
    assert (done["train_images"], done["epochs"], done["likelihood"]) == (100, 2, "logistic")
    assert done["nats_of"] == "log probabilities of images of 256 grey levels"
    assert done["bits_per_dim"] == pytest.approx(-done["elbo"] / (64 * math.log(2)))
    assert done["elbo"] == pytest.approx(done["reconstruction"] - done["kl"])
    assert (done["n"], done["k"], len(done["kl_per_unit"])) == (done["val_images"], 50, 2)
    assert rb.load_generator(out).info.history["data"] == "digits"
    assert command(*words).exit_code == 2  # it exists
    refused = command("attack", "--method", "fgsm", "--model", out, "--data", "digits")
    assert refused.exit_code == 2
    assert "no classifier" in " ".join(refused.output.split())
    shown = command("train", *words[1:], "--epochs", "1", "--overwrite").stdout
    assert "likelihood: logistic" in shown


def test_rb_train_warns_of_collapse_and_of_what_is_no_likelihood(tmp_path):
    spec = "vae(latents=2, body=mlp, width=8, likelihood=bernoulli, beta=1000)"
    words = ("train", "--model", spec, "--data", "digits", "--limit", "100", "--epochs", "40", "--lr", "0.01")
    result = command(*words, "--out", str(tmp_path / "vae.safetensors"))
    shown = " ".join(result.output.split())
    assert "posterior collapse: True" in shown
    assert "warning: posterior collapse: 0 of 2 latents are used" in shown
    assert "bernoulli is no likelihood of grey values" in shown
    assert "nats of: cross-entropies with grey values, which are no likelihoods" in shown


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("train", "--model", "vae(latent=2)"), "Did you mean 'latents'"),
        (("train", "--model", "vae", "--first", "1"), "too few to train"),
        (("generate", "--model", "vae"), "must be trained first"),
    ],
)
def test_what_rb_refuses(words, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*words, "--data", "digits"], catch_exceptions=False)
    assert result.exit_code == 2
    assert reason in " ".join(result.output.split())
