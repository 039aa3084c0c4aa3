"""``rb train`` that is stopped: Ctrl-C, --resume, a training that diverges, a disk that is full."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
from safetensors import safe_open

from robustbench_lite.classifiers.loading import load_classifier
from robustbench_lite.training import loop, resuming
from robustbench_lite.weights import read_info

TRAIN = ("train", "--model", "linear", "--epochs", 4, "--limit", 200)
VAE = ("train", "--model", "vae(latents=2, body=mlp, width=4)", "--epochs", 4, "--limit", 200)


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    monkeypatch.setattr(resuming, "SHARE", float("inf"))


@pytest.fixture
def stop(monkeypatch):
    """Ctrl-C in the first step of an epoch; 0: no longer."""
    real, at = loop.batches, []

    def batches(order, size):
        calls.append(order)
        if at and len(calls) == at[0]:
            raise KeyboardInterrupt
        return real(order, size)

    def set_to(epoch):
        calls.clear()
        at[:] = [epoch] * bool(epoch)

    calls = []
    monkeypatch.setattr(loop, "batches", batches)
    return set_to


def sha(path="net.safetensors"):
    return load_classifier(str(path), device="cpu").weights_sha256


def weights(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).tolist() for name in file.keys()}  # noqa: SIM118


def test_ctrl_c_keeps_the_best_and_resume_goes_on(rb, stop, caplog):
    assert rb(*TRAIN, "--out", "whole.safetensors").code == 0
    assert not Path("whole.resume").exists()
    stop(3)
    done = rb(*TRAIN)
    assert done.code == 130
    assert "interrupted after epoch 2 of 4; the best so far is in net.safetensors\n" in done.err
    last = done.err.splitlines()[-1]
    assert last == "Go on: rb train --model linear --epochs 4 --limit 200 --resume"
    assert read_info(Path("net.safetensors")).history["interrupted"]
    assert Path("net.resume").exists()
    stop(0)
    done = rb(*last.removeprefix("Go on: rb ").split(), "--json")
    assert done.code == 0
    assert "note: the training goes on after epoch 2 of 4." in caplog.text
    assert done.document["epochs"] == 4
    assert not done.document["interrupted"]
    assert not Path("net.resume").exists()
    assert sha() == sha("whole.safetensors")


def test_ctrl_c_in_the_first_epoch(rb, stop, tmp_path):
    stop(1)
    done = rb(*TRAIN)
    assert (done.code, done.err.splitlines()[-1]) == (130, "interrupted")
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".png"]


def test_a_script_that_always_says_resume(rb, stop, refused):
    stop(2)
    done = rb(*TRAIN, "--resume")
    assert done.code == 130
    assert "note: there is no net.resume to go on from; the training begins." in done.err
    stop(0)
    assert rb(*TRAIN, "--resume").code == 0
    assert "net.safetensors exists already, and there is no net.resume" in refused(*TRAIN, "--resume")


def test_a_stopped_training_is_not_overwritten_unasked(rb, stop, refused):
    stop(3)
    rb(*TRAIN)
    before = Path("net.resume").read_bytes()
    message = refused(*TRAIN)
    assert "a training of net.safetensors was stopped after epoch 2 of 4 (net.resume)" in message
    assert "--resume goes on, --overwrite starts anew." in message
    message = refused(*TRAIN, "--resume", "--lr", 0.1)
    assert "net.resume is of another training: lr was 0.003, is now 0.1." in message
    rb(*TRAIN, "--overwrite", "--dry-run")
    assert Path("net.resume").read_bytes() == before
    stop(0)
    assert rb(*TRAIN, "--overwrite", "--lr", 0.1).code == 0
    assert not Path("net.resume").exists()


@pytest.mark.parametrize("words", [(), ("--resume",)])
def test_a_damaged_state(refused, tmp_path, words):
    (tmp_path / "net.resume").write_bytes(b"precious")
    message = refused(*TRAIN, *words)
    assert "net.resume cannot be read" in message
    assert "Remove it, or give --overwrite, to start anew." in message
    assert (tmp_path / "net.resume").read_bytes() == b"precious"


def test_a_model_of_images_goes_on_as_well(rb, stop):
    assert rb(*VAE, "--out", "whole.safetensors").code == 0
    stop(3)
    done = rb(*VAE)
    assert done.code == 130
    assert "interrupted after epoch 2 of 4; the best so far is in net.safetensors" in done.err
    stop(0)
    assert rb(*VAE, "--resume").code == 0
    assert not Path("net.resume").exists()
    assert weights("net.safetensors") == weights("whole.safetensors")
    assert read_info(Path("net.safetensors")).history["interrupted"] is False


def test_resume_means_nothing_to_what_is_fitted_at_once(refused):
    assert "--resume means nothing to pca" in refused("train", "--model", "pca", "--resume")


def test_a_training_that_diverges_leaves_the_last_good_epoch(rb, monkeypatch, caplog):
    real = loop._Loop.train

    def train(self, epoch):
        return 1e6 if epoch == 3 else real(self, epoch)

    monkeypatch.setattr(loop._Loop, "train", train)
    done = rb(*TRAIN, "--json")
    assert done.code == 5
    assert "warning: training diverged in epoch 3: the loss is 1e+06, and was " in caplog.text
    assert "Give a smaller --lr than 0.003" in caplog.text
    assert done.document["epochs"] == 2
    assert done.document["diverged"]
    assert read_info(Path("net.safetensors")).history["diverged"]
    assert not Path("net.resume").exists()  # it would only diverge again


def full(monkeypatch, *folders):
    """No checkpoint can be put into these folders."""
    real = os.replace

    def replace(source, target):
        if Path(target).suffix == ".safetensors" and any(Path(target).is_relative_to(f) for f in folders):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_a_network_that_cannot_be_written_is_not_lost(rb, monkeypatch, tmp_path, tmp_path_factory):
    assert rb(*TRAIN, "--out", "whole.safetensors").code == 0
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    with monkeypatch.context() as patch:
        full(patch, tmp_path, "net.safetensors")
        done = rb(*TRAIN)
    assert done.code == 2
    (place,) = elsewhere.rglob("*.safetensors")
    assert (
        f"error: cannot write net.safetensors: No space left on device, where the trained network should go. "
        f"Make room; it is in {place}: move it; or --resume writes it without training again.\n" in done.err
    )
    assert sha(place) == sha("whole.safetensors")
    monkeypatch.setattr(loop._Loop, "train", None)
    assert rb(*TRAIN, "--resume").code == 0
    assert sha() == sha("whole.safetensors")


def test_no_place_at_all(rb, monkeypatch, tmp_path, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    full(monkeypatch, tmp_path, "net.safetensors", elsewhere)
    done = rb(*TRAIN)
    assert done.code == 2
    assert "Make room; --resume writes it without training again." in done.err
    assert Path("net.resume").exists()
