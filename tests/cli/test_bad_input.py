"""Bad input: exit code 2 and one line that names the thing and the remedy (see ``refused`` in conftest)."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

PARTS = ("--data", "folder:parts", "--split", "all")
BRIGHT = ("--model", "nets.py:Bright", *PARTS)


def rewrite(source, target, *, description=None, **changed):
    """A checkpoint with another description or other tensors."""
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if description is not None:
        metadata = {"robustbench_lite": description}
    save_file({**state, **changed}, target, metadata=metadata)
    return target


# Data


def test_missing_folder(refused, tmp_path):
    message = refused("attack", "--model", "x.safetensors", "--data", "folder:nowhere")
    assert "x.safetensors" in message  # the network is loaded first
    message = refused("train", "--data", "folder:nowhere")
    assert "no such folder: nowhere" in message
    assert str(tmp_path / "nowhere") in message


def test_empty_class_folder(refused, files):
    (files / "parts/c").mkdir()
    message = refused("attack", *BRIGHT)
    assert str(Path("parts/c")) in message
    assert "holds no image" in message
    assert "Delete it, or fill it" in message


def test_text_named_png(refused, files):
    (files / "parts/a/note.png").write_text("no picture")
    message = refused("attack", *BRIGHT)
    assert "a/note.png" in message
    assert "--max-damaged" in message


def test_text_named_png_is_put_up_with_and_named_on_demand(rb, files):
    (files / "parts/a/note.png").write_text("no picture")
    done = rb("attack", "--method", "fgsm", *BRIGHT, "--max-damaged", 0.2)
    assert done.code == 0
    assert "warning: 1 images could not be read (first: a/note.png)" in done.err


def test_folder_without_classes(refused, tmp_path):
    (tmp_path / "flat").mkdir()
    assert "Put the images into one folder per class" in refused("train", "--data", "folder:flat")


@pytest.mark.parametrize("flag", ["--limit", "--first"])
@pytest.mark.parametrize("count", [0, -3])
def test_no_samples(refused, flag, count):
    assert f"{flag} {count} is refused. Give at least 1." in refused("attack", flag, count)


def test_split_without_images(refused, files):
    for name in "ab":
        (files / "divided/train" / name).mkdir(parents=True)
        shutil.copy(files / f"parts/{name}/0.png", files / f"divided/train/{name}/0.png")
    message = refused("attack", "--model", "nets.py:Bright", "--data", "folder:divided")
    assert "has no split 'test'" in message
    assert "--split" in message


def test_unknown_split(refused):
    assert "Did you mean 'test'?" in refused("attack", "--split", "tests")


def test_unknown_data(refused, checkpoint):
    assert "Did you mean 'mnist'?" in refused("attack", "--model", checkpoint, "--data", "mnst")


def test_demo_with_other_data(refused, files):
    message = refused("attack", *PARTS)
    assert "the demo network knows the digits only" in message
    assert "rb train --data folder:parts" in message


@pytest.mark.parametrize("size", ["0", "96x", "big", "8x8x3", "-8"])
def test_bad_input_size(refused, size):
    assert "Write it like 96 or 96x128" in refused("attack", f"--input-size={size}")


# Networks


def test_checkpoint_of_another_shape_names_the_key(refused, tmp_path, checkpoint):
    with safe_open(checkpoint, framework="pt") as file:
        name = next(n for n in file.keys() if file.get_tensor(n).dim() == 2)  # noqa: SIM118
    rewrite(checkpoint, tmp_path / "other.safetensors", **{name: torch.zeros(3, 5)})
    message = refused("attack", "--model", "other.safetensors")
    assert f"{name!r} has shape (3, 5), the network wants (10, " in message


def test_other_classes_than_the_checkpoint(refused, files, checkpoint):
    message = refused("attack", "--model", checkpoint, *PARTS)
    assert "does not know the class 'a' of folder:parts" in message
    assert "it knows 0, 1, 2" in message


def test_wrong_number_of_classes(refused, files):
    message = refused("attack", "--model", "nets.py:Seven", *PARTS)
    assert "the network has 7 classes, folder:parts has 2" in message


def test_network_of_nan(refused, files):
    message = refused("attack", "--model", "nets.py:NaN", *PARTS)
    assert "NaN or infinity for 12 of 12 unchanged images (first: a/0.png)" in message
    assert "Check the weights and --mean/--std" in message


def test_network_without_classes(refused, files):
    message = refused("attack", "--model", "nets.py:Vectors", *PARTS)
    assert "returns (12,) for 12 images; logits of shape (12, number of classes) are needed" in message


def test_network_that_refuses_the_size(refused, checkpoint, tmp_path):
    message = refused("attack", "--model", "torchvision:resnet18", "--weights", "w.pt")
    assert "no such file: w.pt" in message
    message = refused("attack", "--channels", 3)
    assert "the network refuses images of shape (3, 8, 8)" in message
    assert "--channels" in message


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("flag", ["--model", "--weights"])
def test_code_in_a_pickle_does_not_run(refused, files, zipped, nested, flag):
    marker = files / "ran"
    content = {"weight": torch.zeros(1), "more": Payload(marker)} if nested else Payload(marker)
    torch.save(content, files / "evil.pt", _use_new_zipfile_serialization=zipped)
    words = {"--model": ("--model", "evil.pt"), "--weights": ("--model", "nets.py:Bright", "--weights", "evil.pt")}
    message = refused("attack", *words[flag], *PARTS)
    assert not marker.exists()
    assert "evil.pt holds more than tensors; loading it would run code from the file" in message
    assert "torch.save(network.state_dict(), FILE)" in message
    torch.load(files / "evil.pt", weights_only=False)
    assert marker.exists(), "the payload is a dud, and the test says nothing"


def test_a_whole_pickled_network(refused, files):
    torch.save(nn.Linear(2, 2), files / "whole.pt")
    assert "would run code" in refused("attack", "--model", "whole.pt", *PARTS)


def test_weights_only_as_model(refused, tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    message = refused("attack", "--model", "weights.pt")
    assert "weights.pt holds weights only" in message
    assert "--weights weights.pt" in message


def test_safetensors_without_a_description(refused, tmp_path):
    save_file(nn.Linear(2, 2).state_dict(), tmp_path / "bare.safetensors")
    assert "bare.safetensors holds weights only" in refused("attack", "--model", "bare.safetensors")


def test_torchscript(refused, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "program.pt"))
    message = refused("attack", "--model", "program.pt")
    assert "program.pt is a TorchScript program" in message
    assert "state_dict" in message


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.95])
def test_pt_cut_off(refused, tmp_path, share, zipped):
    file = tmp_path / "cut.pt"
    torch.save(nn.Linear(50, 50).state_dict(), file, _use_new_zipfile_serialization=zipped)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    message = refused("attack", "--model", "cut.pt")
    assert "cut.pt" in message
    assert "Check the file" in message


@pytest.mark.parametrize("content", [b"hello, this is a text", bytes(range(256)), b"\x80\x02}q\x00."])
def test_pt_that_is_something_else(refused, tmp_path, content):
    (tmp_path / "odd.pt").write_bytes(content)
    message = refused("attack", "--model", "odd.pt")
    assert "odd.pt" in message
    assert "would run code" not in message


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.99])
def test_safetensors_cut_off(refused, tmp_path, checkpoint, share):
    content = checkpoint.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: int(share * len(content))])
    message = refused("attack", "--model", "cut.safetensors")
    assert "cut.safetensors is no safetensors file" in message


@pytest.mark.parametrize(
    "description", ["{", "[]", "null", "3", '"x"', "{}", '{"format": "1"}', '{"format": null}']
)
def test_damaged_description(refused, tmp_path, checkpoint, description):
    rewrite(checkpoint, tmp_path / "odd.safetensors", description=description)
    message = refused("attack", "--model", "odd.safetensors")
    assert "the description in odd.safetensors is damaged" in message
    assert "Train it again" in message
    assert "https://" not in message


def test_description_of_a_newer_version(refused, tmp_path, checkpoint):
    rewrite(checkpoint, tmp_path / "new.safetensors", description='{"format": 2, "more": 1}')
    assert "has checkpoint format 2; this release reads 1. Upgrade." in refused(
        "attack", "--model", "new.safetensors"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('"architecture":"cnn(width=16)"->"architecture":"no_such_net"', "no_such_net"),
        ('"architecture":"cnn(width=16)"->"architecture":"cnn(widht=16)"', "'width'"),
        ('"architecture":"cnn(width=16)"->"architecture":"demo"', "is trained already"),
        ('"input_shape":[1,8,8]->"input_shape":[1,8]', "input_shape"),
        ('"mean":[->"mean":["x",', "mean"),
        ('"std":[->"std":[0.0,', "standard deviations"),
    ],
)
def test_description_of_something_impossible(refused, tmp_path, checkpoint, change, told):
    with safe_open(checkpoint, framework="pt") as file:
        text = file.metadata()["robustbench_lite"]
    old, new = change.split("->")
    assert old in text
    rewrite(checkpoint, tmp_path / "odd.safetensors", description=text.replace(old, new))
    assert told in refused("attack", "--model", "odd.safetensors")


def test_missing_model_file(refused):
    assert "no such file: gone.safetensors" in refused("attack", "--model", "gone.safetensors")


def test_two_files_of_weights(refused, checkpoint):
    assert "both files of weights" in refused("attack", "--model", checkpoint, "--weights", "w.pt")


@pytest.mark.parametrize("words", [("--weights", "w.pt"), ("--mean", 0.5, "--std", 0.5)])
def test_the_demo_takes_no_weights_and_no_normalisation(refused, words):
    message = refused("attack", *words)
    assert f"{words[0]} means nothing to demo" in message
    assert "--model" in message


def test_file_that_fails_on_import(refused, files):
    (files / "broken.py").write_text("import no_such_package_at_all\n")
    message = refused("attack", "--model", "broken.py:net", *PARTS)
    assert "broken.py fails on import: ModuleNotFoundError: No module named 'no_such_package_at_all'" in message


@pytest.mark.parametrize(
    "source", ["def net(:", "raise SystemExit(0)", "1 / 0", "raise ValueError('two\\nlines')"]
)
def test_file_that_is_no_module(refused, files, source):
    (files / "broken.py").write_text(source)
    assert "broken.py fails on import" in refused("attack", "--model", "broken.py:net", *PARTS)


def test_file_that_does_not_exist(refused, files):
    assert "no such file: gone.py" in refused("attack", "--model", "gone.py:net", *PARTS)


def test_factory_that_does_not_exist(refused, files):
    message = refused("attack", "--model", "nets.py:Brite", *PARTS)
    assert "unknown member of nets.py 'Brite'" in message


def test_factory_that_returns_no_network(refused, files):
    message = refused("attack", "--model", "nets.py:number", *PARTS)
    assert "nets.py:number returns int, not a torch.nn.Module" in message


def test_factory_with_an_unknown_argument(refused, files):
    message = refused("attack", "--model", "nets.py:Bright(gian=3)", *PARTS)
    assert "unknown argument of nets.py:Bright 'gian'. Did you mean 'gain'?" in message


def test_module_that_does_not_exist(refused, files):
    message = refused("attack", "--model", "no_such_package.nets:factory", *PARTS)
    assert "no module named 'no_such_package.nets'" in message
    assert "path/to/file.py" in message


def test_member_that_a_module_lacks(refused, files):
    message = refused("attack", "--model", "robustbench_lite.classifiers.networks:cnnn", *PARTS)
    assert "Did you mean 'cnn'?" in message


def test_unknown_model(refused, files):
    assert "Did you mean 'resnet'?" in refused("attack", "--model", "resnett", *PARTS)


def test_unknown_torchvision_network(refused, files):
    message = refused("attack", "--model", "torchvision:resnet81", "--weights", "w.pt", *PARTS)
    assert "unknown torchvision network 'resnet81'. Did you mean 'resnet18'?" in message


def test_network_without_weights(refused, files):
    message = refused("attack", "--model", "cnn", *PARTS)
    assert "the network cnn has no weights" in message
    assert "rb train" in message


@pytest.mark.parametrize("device", ["cuda:77", "banana", "meta", "mps:9", "xla", "hpu"])
def test_device_that_does_not_exist(refused, device):
    message = refused("attack", "--device", device)
    assert f"--device {device} cannot be used" in message
    assert message.endswith("Use auto, cpu or cuda.\n")


@pytest.mark.parametrize("words", [("--mean", 0.5), ("--std", 0.5)])
def test_mean_without_std(refused, files, words):
    assert "--mean and --std belong together" in refused("attack", *BRIGHT, *words)


@pytest.mark.parametrize(
    ("mean", "std", "told"),
    [
        ("0.5", "0", "not positive"),
        ("0.5", "-1", "not positive"),
        ("0.5,0.5", "0.5", "2 means but 1 standard deviations"),
        ("a", "b", "'a' is not a number"),
        ("0.5,0.5,0.5", "0.5,0.5,0.5", "the images have 1 channels, mean and std have 3"),
        ("imagenet", "0.5", "'imagenet' is not a number"),
    ],
)
def test_bad_normalisation(refused, files, mean, std, told):
    assert told in refused("attack", *BRIGHT, f"--mean={mean}", f"--std={std}")


# Conditions


@pytest.mark.parametrize(("name", "near"), [("pdg", "pgd"), ("PGD2", "pgd"), ("fgms", "fgsm")])
def test_unknown_method(refused, name, near):
    assert f"Did you mean {near!r}?" in refused("attack", "--method", name)


def test_unknown_shift(refused):
    assert "unknown lighting shift 'nigth'. Did you mean 'night'?" in refused("shift", "--lighting", "nigth")


def test_unknown_condition(refused):
    assert "Did you mean 'gaussian_blur'?" in refused("eval", "--on", "gausian_blur")


def test_shift_of_another_family(refused):
    message = refused("shift", "--sensor", "night")
    assert "night is no sensor shift. Write rb shift --lighting night." in message


def test_chain_as_a_shift(refused):
    message = refused("shift", "--lighting", "night(severity=1) + jpeg(severity=1)")
    assert "rb eval --on" in message


def test_no_shift(refused):
    assert "rb shift --lighting night" in refused("shift")


def test_unknown_argument(refused):
    message = refused("attack", "--method", "pgd(epz=0.1)")
    assert "unknown argument of pgd 'epz'. Did you mean 'eps'?" in message


def test_argument_that_a_method_lacks(refused):
    assert "unknown argument of fgsm 'restarts'" in refused("attack", "--method", "fgsm", "--restarts", 3)
    assert "cw has no eps: it looks for the smallest perturbation" in refused("attack", "-a", "cw", "--eps", 0.1)


@pytest.mark.parametrize("eps", ["8", "2"])
def test_eps_on_the_wrong_scale(refused, eps):
    message = refused("attack", "--eps", eps)
    assert f"eps={eps} is out of range: images are in [0, 1]. Did you mean eps={eps}/255?" in message


@pytest.mark.parametrize("eps", ["-0.1", "nan", "inf", "300"])
def test_eps_out_of_range(refused, eps):
    assert f"eps={eps} is out of range" in refused("attack", f"--eps={eps}")


@pytest.mark.parametrize("eps", ["much", "1/0", "8/255/2", ""])
def test_eps_that_is_no_number(refused, eps):
    assert eps in refused("attack", "--eps", eps)


def test_eps_twice(refused):
    message = refused("attack", "--method", "pgd(eps=0.1)", "--eps", "0.2")
    assert "argument 'eps' stands twice" in message
    assert "Keep one of them" in message


@pytest.mark.parametrize("severity", ["6", "-1", "1-6", "0.5,5.1"])
def test_severity_out_of_range(refused, severity):
    message = refused("shift", "--lighting", "night", f"--severity={severity}")
    assert "out of range" in message
    assert "0 to 5" in message


@pytest.mark.parametrize("severity", ["5-1", "strong", "1,,2", "", "1-2-3"])
def test_severity_that_is_no_list(refused, severity):
    message = refused("shift", "--lighting", "night", f"--severity={severity}")
    assert f"--severity {severity}" in message
    assert "0.5,1,2" in message


@pytest.mark.parametrize(
    "spec", ["pgd(", "pgd)(", "pgd(eps)", "pgd(0.1)", "", "+", "pgd +", "clean(x=1)", "pgd(eps=1"]
)
def test_spec_that_cannot_be_read(refused, spec):
    assert refused("eval", "--on", spec)


def test_target_that_is_no_class(refused):
    message = refused("attack", "--target", 10, "--limit", 10)
    assert "target=10 is no class: digits has 10. Give 0 to 9." in message


def test_data_that_are_a_path(refused, files):
    assert "Write folder:parts." in refused("attack", "--data", "parts", "--model", "nets.py:Bright")


def test_a_network_that_torchvision_has(refused):
    message = refused("attack", "--model", "resnet18", "--weights", "r18.pth")
    assert "Did you mean torchvision:resnet18?" in message


def test_a_file_without_its_factory(refused, files):
    assert "Write nets.py:factory." in refused("attack", "--model", "nets.py")


def test_means_on_the_scale_of_bytes(refused, tmp_path):
    (tmp_path / "parts").mkdir()
    assert "Divide --mean and --std by 255." in refused("attack", "--mean", "123.7", "--std", "58", *BRIGHT)


def test_a_shift_is_no_attack(refused, files):
    Path("dim.py").write_text(
        "from dataclasses import dataclass\nfrom robustbench_lite.types import Shift\n"
        "@dataclass(frozen=True)\nclass Dim(Shift):\n    severity: float = 3\n"
        "    def __call__(self, images, streams):\n        return images / 2\n"
    )
    assert "Write rb eval --on 'dim.py:Dim'" in refused("attack", "--method", "dim.py:Dim", *BRIGHT)


def test_an_attack_that_is_not_complete(refused, files):
    Path("half.py").write_text(
        "from dataclasses import dataclass\nfrom robustbench_lite.types import Attack\n"
        "@dataclass(frozen=True)\nclass Half(Attack):\n    eps: float = 0.1\n    norm = 'linf'\n"
    )
    assert "it lacks __call__, max_cost" in refused("attack", "--method", "half.py:Half", *BRIGHT)


def test_targets_that_cannot_be_distributions(refused):
    assert "target has 3 probabilities: digits has 10 classes" in refused("attack", "--target", "(0.5, 0.5, 0)")
    assert "add up to 1" in refused("attack", "--target", "(0.5, 0.6)")


def test_eps_on_the_scale_of_bytes(refused):
    assert "Did you mean eps=128/255?" in refused("attack", "--norm", "l2", "--eps", "128")


def test_a_target_that_is_no_word(refused):
    assert "least-likely" in refused("attack", "--target", "leastlikely")


def test_too_many_images_that_break_off(rb, files):
    for name in sorted(p.name for p in Path("parts/a").glob("*.png"))[:2]:
        whole = Path("parts/a", name).read_bytes()
        Path("parts/a", name).write_bytes(whole[: len(whole) - 30])
    done = rb("attack", "--method", "fgsm", *BRIGHT, "--out", "run")
    assert done.code == 2
    assert "2 of 12 images could not be read" in done.err
    assert "What was finished is in run." in done.err
    assert json.loads(Path("run/run.json").read_text())["status"] == "failed"


def test_a_folder_of_runs(rb, refused, run_folder):
    done = rb("show", run_folder / "run.json")
    assert done.code == 0
    assert f"such as {run_folder}" in refused("show", run_folder.parent)


@pytest.mark.parametrize("size", [0, -1])
def test_batch_size_out_of_range(refused, size):
    assert "It must be at least 1" in refused("attack", "--batch-size", size)
    assert "It must be at least 1" in refused("train", "--batch-size", size)


def test_own_attack_over_its_budget(rb, files):
    done = rb("eval", "--on", "own.py:Greedy(eps=0.01)", *BRIGHT)
    assert done.code == 2
    assert "went over its budget: linf 0.02 > 0.01" in done.err


# Places to write to


def test_out_that_exists(refused, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("precious")
    assert "kept exists already. Choose another --out" in refused("attack", "--out", "kept")
    assert (tmp_path / "kept/file").read_text() == "precious"


def test_out_that_is_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("precious")
    assert "file exists already" in refused("attack", "--out", "file")


@pytest.mark.parametrize("command", ["attack", "train"])
@pytest.mark.parametrize("below", ["file", "file/deeper"])
def test_out_that_cannot_be_written(refused, tmp_path, monkeypatch, command, below):
    def computed(*arguments, **named):
        raise AssertionError("it must be said before anything is computed")

    monkeypatch.setattr("robustbench_lite.runner.evaluate", computed)
    monkeypatch.setattr("robustbench_lite.training.trainer.train", computed)
    (tmp_path / "file").write_text("precious")
    message = refused(command, "--out", f"{below}/net.safetensors")
    assert f"cannot write {below}/net.safetensors: file is a file, not a folder." in message
    assert "--out" in message
    assert (tmp_path / "file").read_text() == "precious"


def test_checkpoint_that_exists(refused, tmp_path):
    (tmp_path / "net.safetensors").write_text("precious")
    message = refused("train", "--epochs", 1)
    assert "net.safetensors exists already. Choose another --out, or give --overwrite." in message
    assert (tmp_path / "net.safetensors").read_text() == "precious"


def test_checkpoint_that_is_a_folder(refused, tmp_path):
    (tmp_path / "net.safetensors").mkdir()
    assert "net.safetensors is a folder" in refused("train", "--epochs", 1, "--overwrite")


def test_overwrite_replaces_the_checkpoint(rb, tmp_path):
    (tmp_path / "net.safetensors").write_text("old")
    assert rb("train", "--epochs", 1, "--overwrite", "-q").code == 0
    assert (tmp_path / "net.safetensors").stat().st_size > 1000


def test_checkpoint_of_another_kind(refused):
    assert "must end in .safetensors" in refused("train", "--out", "net.pt")


@pytest.mark.parametrize("words", [("--split", "all"), ("--model", "vae", "--weights", "w.pt")])
def test_what_means_nothing_to_training(refused, words):
    assert "means nothing to" in refused("train", *words)


@pytest.mark.parametrize("words", [("--epochs", 0), ("--lr", 0), ("--lr", "nan"), ("--patience", 0)])
def test_training_options_out_of_range(refused, words):
    assert f"{words[0][2:]}={words[1]}" in refused("train", *words)


def test_training_that_diverges(refused, tmp_path):
    message = refused("train", "--model", "linear", "--lr", 1e36, "--epochs", 3)
    assert "diverged" in message
    assert "--lr" in message
    assert list(tmp_path.iterdir()) == []


# Runs


@pytest.mark.parametrize("command", ["report", "show"])
def test_run_that_is_none(refused, tmp_path, command):
    (tmp_path / "empty").mkdir()
    assert "empty is no run: it holds no run.json" in refused(command, "empty")
    assert "gone is no run: there is no such folder. Give the folder that" in refused(command, "gone")


def test_the_run_beside_one_that_is_not_there_is_named(refused, tmp_path, run_folder):
    (tmp_path / "jobs" / "nights").mkdir(parents=True)  # no run
    shutil.copytree(run_folder, tmp_path / "jobs" / "night")
    message = refused("show", "jobs/nigth")
    assert "jobs/nigth is no run: there is no such folder. Did you mean jobs/night?" in message


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("gate", "run", "--allow-demo", "--min", "accuracy=0.1", "--junit"), "--junit"),
        (("gate", "run", "--allow-demo", "--min", "accuracy=0.1", "--summary"), "--summary"),
        (("gate", "run", "--allow-demo", "--min", "accuracy=0.1", "--out"), "--out"),
        (("compare", "run", "run2", "--out"), "--out"),
        (("report", "run", "--out"), "--out"),
    ],
)
def test_a_place_below_a_file_is_named_as_such(rb, tmp_path, run_folder, words, option):
    for name in ("run", "run2"):
        shutil.copytree(run_folder, tmp_path / name)
    (tmp_path / "run2" / "run.json").write_text(
        (tmp_path / "run2" / "run.json").read_text().replace('"id": "', '"id": "2', 1)
    )
    (tmp_path / "file").touch()
    done = rb(*words, "file/x.md")
    assert done.code == 2
    told = f"error: cannot write file/x.md: file is a file, not a folder. Choose another place with {option}.\n"
    assert done.err.endswith(told)


@pytest.mark.parametrize("command", ["report", "show"])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": 6}', "\udc80"])
def test_damaged_record(refused, tmp_path, run_folder, command, content):
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run/run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    message = refused(command, "run")
    assert "run.json is damaged" in message
    assert "Run it again" in message


def test_damaged_samples(refused, tmp_path, run_folder):
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run/samples.parquet").write_bytes(b"PAR1 and no more")
    assert "samples.parquet is damaged" in refused("show", "run")


def test_report_that_cannot_be_written(refused, tmp_path, run_folder):
    (tmp_path / "file").write_text("precious")
    assert "cannot write file/page.html" in refused("report", run_folder, "--out", "file/page.html")


def test_unknown_list(refused):
    assert "unknown list 'atacks'. Did you mean 'attacks'?" in refused("ls", "atacks")


# The parser's own errors are typer's, in its box.


@pytest.mark.parametrize(
    "words", [("atack",), ("attack", "--epsilon", 1), ("merge",), ("attack", "--limit", "many")]
)
def test_usage(rb, words):
    done = rb(*words)
    assert done.code == 2
    assert done.out == ""
    assert "Usage:" in done.err
    assert "Traceback" not in done.err


def test_messages_are_printed_as_they_are(refused, files):
    """Names in brackets or between colons are no markup, and no line is broken."""
    name = "[bold]a b[/bold] :smile: " + "very " * 40 + "long"
    message = refused("attack", "--model", "nets.py:Bright", "--data", f"folder:{name}")
    assert f"no such folder: {name}" in message


def test_debugging_shows_the_traceback(rb, monkeypatch, files):
    monkeypatch.setenv("RB_DEBUG", "1")
    with pytest.raises(Exception, match=re.escape("no such folder: nowhere")):
        rb("train", "--data", "folder:nowhere")
