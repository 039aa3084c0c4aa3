"""``rb train`` with weights to begin from."""

from __future__ import annotations


def test_a_checkpoint_is_tuned_to_other_classes(rb, files):
    trained = rb("train", "--data", "digits", "--model", "cnn(width=4)", "--epochs", 1, "--out", "a.safetensors")
    assert trained.code == 0
    words = ("--model", "a.safetensors", "--tune", "head", "--epochs", 1, "--input-size", 8, "--channels", 1)
    planned = rb("train", "--data", "folder:parts", *words, "--out", "b.safetensors", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert planned.document["architecture"] == "cnn(width=4)"
    for note in ("head replaced: 10 → 2 classes", "mean and std taken from a.safetensors", "trained: Linear"):
        assert note in planned.err
    done = rb("train", "--data", "folder:parts", *words, "--out", "b.safetensors")
    assert done.code == 0, done.err
    assert rb("attack", "--method", "fgsm", "--model", "b.safetensors", "--data", "folder:parts").code == 0


def test_weights_and_their_normalisation(rb):
    assert rb("train", "--data", "digits", "--model", "linear", "--epochs", 1, "--out", "a.safetensors").code == 0
    given = ("--model", "linear", "--weights", "a.safetensors", "--mean", "0.5", "--std", "0.25")
    done = rb("train", "--data", "digits", *given, "--epochs", 1, "--out", "b.safetensors", "--json")
    assert done.code == 0, done.err
    assert "trained: all" in done.err
    assert "taken from" not in done.err


def test_what_cannot_be_begun_with(refused):
    assert "leaves fresh weights untrained" in refused("train", "--tune", "head")
    assert "Give all, head, or last:N" in refused("train", "--tune", "tail")
    assert "no such file" in refused("train", "--model", "nowhere.safetensors")
    assert "belong together" in refused("train", "--mean", "0.5")
    assert "means nothing to a model of images" in refused("train", "--model", "vae", "--tune", "head")
