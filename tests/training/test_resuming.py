"""A training that was stopped, in whatever way, ends in the weights of an unbroken one."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import signal
import sys
import time
from random import Random

import pytest
import torch

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.training import loop, resuming
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import make_recipe
from robustbench_lite.training.resuming import StateFile, fingerprint, read_saved
from robustbench_lite.training.trainer import train

DROPOUT = """
from torch import nn


def net(*, num_classes: int, input_shape: tuple[int, int, int]):
    layers = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, num_classes)
    return nn.Sequential(nn.Flatten(), *layers)
"""
OPTIONS = TrainingOptions(epochs=5, batch_size=32)


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", split="train", limit=200), load_dataset("digits", split="val", limit=100)


@pytest.fixture
def net(tmp_path):
    """It draws from the global generator in every step."""
    (tmp_path / "nets.py").write_text(DROPOUT)
    return f"{tmp_path}/nets.py:net"


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    """Every epoch is kept, however short it is."""
    monkeypatch.setattr(resuming, "SHARE", float("inf"))


def sha(trained):
    return Classifier(trained.network).weights_sha256


def without_seconds(trained):
    epochs = [
        {**epoch, "seconds": None, "cpu_seconds": None, "validation_seconds": None}
        for epoch in trained.info.history["epochs"]
    ]
    return {**trained.info.history, "epochs": epochs}


def stop_after(number):
    def on_epoch(epoch):
        if epoch.epoch == number:
            raise StoppedError

    return on_epoch


def broken(net, digits, options, path, after):
    for number in after:
        with pytest.raises(StoppedError):
            train(net, *digits, options, resume=path, on_epoch=stop_after(number))


@pytest.mark.parametrize("after", [(1,), (4,), (1, 3), (1, 2, 3, 4), (5,)])
def test_the_same_weights_and_history_as_unbroken(net, digits, tmp_path, after):
    path = tmp_path / "net.resume"
    broken(net, digits, OPTIONS, path, after)
    assert len(torch.load(path, weights_only=True)["state"]["history"]) == after[-1]
    seen = []
    resumed = train(net, *digits, OPTIONS, resume=path, on_epoch=seen.append)
    whole = train(net, *digits, OPTIONS)
    assert sha(resumed) == sha(whole)
    assert without_seconds(resumed) == without_seconds(whole)
    assert [epoch.epoch for epoch in seen] == list(range(after[-1] + 1, 6))
    assert [path.name for path in tmp_path.glob("*resume*")] == ["net.resume"]


def test_the_state_matters(net, digits, tmp_path):
    """What the tests above would find: a part of the state that is not restored."""
    path = tmp_path / "net.resume"
    whole = train(net, *digits, OPTIONS)
    for part in ("random", "optimizer", "schedule", "network"):
        resuming.remove(path)
        broken(net, digits, OPTIONS, path, [2])
        content = torch.load(path, weights_only=True)
        fresh = tmp_path / "fresh.resume"
        broken(net, digits, OPTIONS, fresh, [1])
        content["state"][part] = torch.load(fresh, weights_only=True)["state"][part]
        torch.save(content, path)
        resuming.remove(fresh)
        assert sha(train(net, *digits, OPTIONS, resume=path)) != sha(whole), part


def test_a_finished_training_is_not_trained_again(net, digits, tmp_path):
    path = tmp_path / "net.resume"
    first = train(net, *digits, OPTIONS, resume=path)
    again = train(net, *digits, OPTIONS, resume=path, on_epoch=stop_after(1))
    assert sha(first) == sha(again)
    assert without_seconds(first) == without_seconds(again)


def test_the_best_epoch_and_the_patience_are_taken_along(digits, tmp_path):
    options = TrainingOptions(epochs=40, batch_size=32, lr=0.3, patience=2, schedule="one-cycle")
    path = tmp_path / "net.resume"
    whole = train("linear", *digits, options)
    assert len(whole.info.history["epochs"]) < 40
    broken("linear", digits, options, path, [whole.info.history["best_epoch"] + 1])
    resumed = train("linear", *digits, options, resume=path)
    assert without_seconds(resumed) == without_seconds(whole)
    assert sha(resumed) == sha(whole)


def test_another_training_is_refused_by_what_differs(net, digits, tmp_path):
    path = tmp_path / "net.resume"
    broken(net, digits, OPTIONS, path, [1])
    before = path.read_bytes()
    other = TrainingOptions(epochs=6, batch_size=32, lr=0.1)
    with pytest.raises(
        InputError, match=r"another training: epochs was 5, is now 6; lr was 0.003, is now 0.1\."
    ) as e:
        train(net, *digits, other, resume=path)
    assert "--overwrite" in e.value.remedy
    fewer = digits[0].select(range(150))
    with pytest.raises(InputError, match=r"training: training images was 200 \(.*\), is now 150 \("):
        train(net, fewer, digits[1], OPTIONS, resume=path)
    turned = digits[0].select([1, 0, *range(2, 200)])
    with pytest.raises(InputError, match="training images was 200"):
        train(net, turned, digits[1], OPTIONS, resume=path)
    with pytest.raises(InputError, match="validation images was 100"):
        train(net, digits[0], digits[1].select(range(99)), OPTIONS, resume=path)
    with pytest.raises(InputError, match=r"architecture was .*net, is now linear"):
        train("linear", *digits, OPTIONS, resume=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("asked", "now", "named"),
    [
        ({"adversarial": "fast"}, {"adversarial": "fast(eps=0.2)"}, "adversarial"),
        ({"adversarial": "fast"}, {"adversarial": "pgd"}, "adversarial"),
        ({"shift": "night(severity=1..3)"}, {"shift": "night(severity=1..4)"}, "shifts"),
        ({"adversarial": "fast"}, {"adversarial": "fast", "mix": "clean=1,attack=1"}, "mix"),
    ],
)
def test_another_recipe_is_another_training(digits, tmp_path, asked, now, named):
    path = tmp_path / "net.resume"
    with pytest.raises(StoppedError):
        train("linear", *digits, OPTIONS, recipe=make_recipe(**asked), resume=path, on_epoch=stop_after(1))
    with pytest.raises(InputError, match=f"another training: {named} was "):
        train("linear", *digits, OPTIONS, recipe=make_recipe(**now), resume=path)


def test_other_versions_are_warned_of(net, digits, tmp_path, caplog, monkeypatch):
    path = tmp_path / "net.resume"
    broken(net, digits, OPTIONS, path, [1])
    now = resuming._machine()
    monkeypatch.setattr(resuming, "_machine", lambda: {**now, "torch": "99.0"})
    train(net, *digits, OPTIONS, resume=path)
    assert f"torch was {torch.__version__}, is now 99.0; the weights may not be" in caplog.text


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("bare", [True, False])
def test_a_file_never_runs_a_program(tmp_path, bare):
    path, victim = tmp_path / "net.resume", tmp_path / "victim"
    if bare:
        path.write_bytes(pickle.dumps(Malicious(victim)))
    else:
        torch.save({"format": 1, "identity": Malicious(victim), "machine": {}, "state": {}}, path)
    with pytest.raises(InputError, match=r"net\.resume"):
        read_saved(path)
    assert not victim.exists()
    if not bare:  # the attack is one
        torch.load(path, weights_only=False)
        assert victim.exists()


def test_damage_is_said(net, digits, tmp_path):
    path = tmp_path / "net.resume"
    broken(net, digits, OPTIONS, path, [1])
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content, said in (
        (whole[: len(whole) // 2], "cut off"),
        (whole[:-1], "cut off"),
        (b"", "cut off"),
        (b"precious", "cut off"),
        (bytes(flipped), "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=said) as error:
            train(net, *digits, OPTIONS, resume=path)
        assert error.value.remedy == "Remove it, or give --overwrite, to start anew."
        assert path.read_bytes() == content


@pytest.mark.parametrize("content", [{}, [1], {"format": 2, "identity": {}, "machine": {}, "state": {}}])
def test_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "net.resume")
    with pytest.raises(InputError, match=r"is no state of a training|has format 2; this release reads 1"):
        read_saved(tmp_path / "net.resume")


def test_a_full_disk_is_said_once_and_the_training_goes_on(net, digits, tmp_path, monkeypatch, caplog):
    path = tmp_path / "net.resume"
    whole, real = train(net, *digits, OPTIONS), os.fsync
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    broken(net, digits, OPTIONS, path, [3])
    assert caplog.text.count("cannot write") == 1
    assert "No space left on device. The training goes on" in caplog.text
    assert read_saved(path).epochs == 1  # the last that could be written is whole
    assert [file.name for file in tmp_path.glob(".*")] == []
    assert sha(train(net, *digits, OPTIONS, resume=path)) == sha(whole)


def test_a_folder_that_is_gone_comes_back(net, digits, tmp_path):
    path = tmp_path / "place" / "net.resume"

    def on_epoch(epoch):
        path.unlink()
        path.parent.rmdir()

    train(net, *digits, OPTIONS, resume=path, on_epoch=on_epoch)


def test_writing_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    clock = [0.0]
    written = []

    def write(path, content):
        written.append(content["state"])
        clock[0] += 3

    monkeypatch.setattr(resuming, "SHARE", 0.03)
    monkeypatch.setattr(resuming.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(resuming, "_write", write)
    state = StateFile(tmp_path / "net.resume", {"epochs": "20"})
    for epoch in range(20):
        state.keep({"epoch": epoch, "complete": epoch == 19})
        clock[0] += 20
    assert [s["epoch"] for s in written] == [0, 5, 10, 15, 19]


def test_fingerprint():
    tensor = torch.arange(12).float()
    assert fingerprint(tensor) == fingerprint(tensor.clone()) != fingerprint(tensor.view(3, 4))
    assert fingerprint(tensor) != fingerprint(tensor + 1e-6)
    assert fingerprint(tensor.view(3, 4).T) == fingerprint(tensor.view(3, 4).T.contiguous())
    assert fingerprint(torch.tensor(3), torch.ones(2, dtype=torch.bfloat16))


def test_ctrl_c_gives_the_best_so_far(net, digits, tmp_path):
    path = tmp_path / "net.resume"

    def on_epoch(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    stopped = train(net, *digits, OPTIONS, resume=path, on_epoch=on_epoch)
    assert stopped.info.history["interrupted"]
    assert len(stopped.info.history["epochs"]) == 3
    resumed, whole = train(net, *digits, OPTIONS, resume=path), train(net, *digits, OPTIONS)
    assert without_seconds(resumed) == without_seconds(whole)
    assert not resumed.info.history["interrupted"]
    assert sha(resumed) == sha(whole)


def test_ctrl_c_within_an_epoch(net, digits, tmp_path, monkeypatch):
    path, real, calls = tmp_path / "net.resume", loop.batches, []

    def batches(order, size):
        calls.append(order)
        chunks = real(order, size)
        yield from chunks[:3]
        if len(calls) == 3:
            raise KeyboardInterrupt
        yield from chunks[3:]

    monkeypatch.setattr(loop, "batches", batches)
    assert len(train(net, *digits, OPTIONS, resume=path).info.history["epochs"]) == 2
    assert sha(train(net, *digits, OPTIONS, resume=path)) == sha(train(net, *digits, OPTIONS))


@pytest.mark.parametrize("loss", [1e3, float("nan"), float("inf")])
def test_a_loss_that_explodes_stops_the_training(digits, monkeypatch, caplog, loss):
    steps = []

    class Exploding(loop._Loop):
        def __init__(self, network, count, real, *rest):
            super().__init__(network, count, lambda chunk, step: self.altered(real, chunk, step), *rest)

        def altered(self, real, chunk, step):
            steps.append(step)
            value = real(chunk, step)
            return value * 0 + loss if step.epoch == 3 else value

    monkeypatch.setattr(loop, "_Loop", Exploding)
    monkeypatch.setattr(loop, "_LOOK", 2)
    trained = train("linear", *digits, TrainingOptions(epochs=5, batch_size=10))
    history = trained.info.history
    assert history["diverged"]
    assert not history["interrupted"]
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2]
    assert "training diverged in epoch 3: the loss is " in caplog.text
    assert "Give a smaller --lr than 0.003; --find-lr looks for one." in caplog.text
    # What cannot become finite again is noticed within the epoch of 20 steps.
    assert len(steps) == 40 + (20 if loss == 1e3 else 1)


def test_a_loss_that_explodes_at_once_is_refused(digits):
    with pytest.raises(
        InputError, match=r"epoch 1: the loss is [\d.]+, and was \d\.\d+ at the start\. Give a smaller"
    ):
        train("linear", *digits, TrainingOptions(lr=100.0))


def killed(work, epoch=None, seconds=0.0):
    """Call ``work(on_epoch)`` in a process that is killed: some time after an epoch, or by itself."""
    heard, told = multiprocessing.Pipe(duplex=False)

    def tell(at):
        told.send(at.epoch)
        if epoch is not None and at.epoch > epoch + 1:
            time.sleep(60)  # it does not come to its end before it is killed

    process = multiprocessing.get_context("fork").Process(target=work, args=(tell,))
    process.start()
    told.close()  # so that the end of the process is heard, too
    if epoch is not None:
        while heard.recv() < epoch:
            pass
        time.sleep(seconds)
        process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments(digits, tmp_path, seed):
    """Three times, while it trains, validates or writes."""
    path, options, random = tmp_path / "net.resume", TrainingOptions(epochs=9, seed=seed), Random(seed)

    def work(on_epoch):
        train("cnn(width=4)", *digits, options, resume=path, on_epoch=on_epoch)

    for epoch in (1, 3, 6):
        killed(work, epoch, random.uniform(0, 0.05))
    done = read_saved(path).epochs
    assert 6 <= done < 9
    assert sha(train("cnn(width=4)", *digits, options, resume=path)) == sha(
        train("cnn(width=4)", *digits, options)
    )
    assert len(list(tmp_path.iterdir())) <= 2
    resuming.remove(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_killed_while_the_state_is_written(digits, tmp_path):
    """A part of the file is on the disk, and the process is gone."""
    path, real = tmp_path / "net.resume", os.fsync

    def cut_off(descriptor):
        if path.exists() and read_saved(path).epochs == 2:
            os.truncate(descriptor, 1000)
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)

    def work(on_epoch):
        os.fsync = cut_off
        train("linear", *digits, OPTIONS, resume=path, on_epoch=on_epoch)

    killed(work)
    assert read_saved(path).epochs == 2
    assert (tmp_path / ".net.resume.part").stat().st_size == 1000
    assert sha(train("linear", *digits, OPTIONS, resume=path)) == sha(train("linear", *digits, OPTIONS))
    assert [file.name for file in tmp_path.iterdir()] == ["net.resume"]
