"""One process at a time writes to a place."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_runs import Made, write_shards
from typer.testing import CliRunner

from robustbench_lite.cli.app import app
from robustbench_lite.errors import InputError
from robustbench_lite.locking import Claim, claimed, locked, release
from robustbench_lite.unfinished import opened

fcntl = pytest.importorskip("fcntl")  # without it, on Windows, there are no locks
HOLD = """
import sys, time; from pathlib import Path
from robustbench_lite.locking import Claim
claim = Claim(Path(sys.argv[1])); print("mine", flush=True); time.sleep(60)
"""


def test_a_place_is_refused_until_the_process_that_has_it_ends_even_by_a_kill(tmp_path):
    place = tmp_path / "runs" / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, place], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(InputError, match=r"another process is writing .*run\."):
            Claim(place)
        Claim(tmp_path / "runs" / "another").give_up()
        other.kill()
    assert [p.name for p in place.parent.iterdir()] == [".run.lock"]
    Claim(place).give_up()
    assert list(place.parent.iterdir()) == []


def test_a_forked_process_that_lives_on_holds_nothing(tmp_path):
    """Such as one that a user's own data set reads images in: it has the open file too."""
    claim, store = Claim(tmp_path / "run"), opened(tmp_path, {"seed": "0"}, resume=True)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    claim.give_up()
    store.close()
    Claim(tmp_path / "run").give_up()
    again = opened(tmp_path, {"seed": "0"}, resume=True)
    assert again is not None
    again.close()
    child.kill()
    child.join()


def test_a_lock_on_a_file_that_others_do_not_see_is_none(tmp_path, monkeypatch):
    """The one who has just finished may remove it, and the next make it anew, between opening and locking it."""
    file, lock, tries = tmp_path / "lock", fcntl.flock, []

    def late(held, operation):
        tries.append(operation)
        if len(tries) <= 2:
            file.unlink()
        if len(tries) == 2:
            file.touch()
        lock(held, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    held = locked(file)
    assert len(tries) == 3
    assert os.path.samestat(os.fstat(held.fileno()), file.stat())
    release(held)


def test_a_lock_is_let_go_whoever_has_the_file_open(tmp_path):
    held = locked(tmp_path / "lock")
    theirs = os.dup(held.fileno())  # as a forked process has it
    release(held)
    again = locked(tmp_path / "lock")
    os.close(theirs)
    assert again is not None
    release(again)


def test_a_store_that_cannot_be_opened_lets_its_lock_go(tmp_path, monkeypatch):
    """An open file that nobody holds warns in whatever test comes later."""
    with monkeypatch.context() as patch:
        patch.setattr("robustbench_lite.unfinished._KEY", "no/folder")
        assert opened(tmp_path, {"seed": "0"}, resume=True) is None
    store = opened(tmp_path, {"seed": "0"}, resume=True)
    assert store is not None
    store.close()
    store.close()  # once more does no harm


def test_a_claim_leaves_no_empty_folder_that_it_made(tmp_path):
    with claimed(tmp_path / "a" / "b" / "run"):
        assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == [".run.lock"]
    assert list(tmp_path.iterdir()) == []
    with claimed(tmp_path / "a" / "b" / "run"):
        (tmp_path / "a" / "kept").touch()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["kept"]


def test_where_no_lock_can_be_made_there_is_none(tmp_path):
    (tmp_path / "file").touch()
    with claimed(tmp_path / "file" / "run"), claimed(tmp_path / ("long" * 63)):  # too long with .lock
        pass


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--data", "digits", "--limit", "20", "--out", "net.safetensors"),
        ("train", "--compare", "standard", "--out", "net.safetensors"),
        ("train", "--protocol", "kfold(k=2)", "--out", "net.safetensors"),
        ("eval", "--on", "flip", "--limit", "10", "--out", "net.safetensors"),
        ("eval", "--on", "flip", "--limit", "10", "--out", "net.safetensors", "--resume"),
    ],
    ids=" ".join,
)
def test_commands_refuse_what_another_process_writes_before_they_compute(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    with claimed(Path("net.safetensors")):
        done = CliRunner().invoke(app, words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "error: another process is writing net.safetensors." in done.stderr
        assert [p.name for p in tmp_path.iterdir()] == [".net.safetensors.lock"]


def test_so_does_a_merge(tmp_path):
    parts = [str(run.path) for run in write_shards(tmp_path, Made(n=20))]
    with claimed(tmp_path / "whole"):
        done = CliRunner().invoke(app, ["merge", *parts, "--out", str(tmp_path / "whole")])
    assert done.exit_code == 2
    assert "another process is writing" in done.stderr
    assert CliRunner().invoke(app, ["merge", *parts, "--out", str(tmp_path / "whole")]).exit_code == 0


def test_a_dry_run_claims_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with claimed(Path("net.safetensors")):
        words = ["train", "--data", "digits", "--limit", "20", "--out", "net.safetensors", "--dry-run"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.stderr
