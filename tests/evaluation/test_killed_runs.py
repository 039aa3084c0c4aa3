"""SIGKILL at any moment, again and again: the run goes on, and its rows are those of an unbroken one."""

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch

from robustbench_lite import working
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.journal import Journal
from robustbench_lite.outliers.detector import fit_detector
from robustbench_lite.outliers.pca import PCA
from robustbench_lite.outliers.score import Normals
from robustbench_lite.outliers.store import save_detector
from robustbench_lite.runner import Inputs, prepare, run
from robustbench_lite.runs import read_run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs fork")]

CONDITIONS = ["pgd(eps=0.1, steps=5)", "night(severity=3)", "shot_noise(severity=2) + fgsm(eps=0.05)"]
CONDITIONS += ["evade(eps=0.1, steps=3, restarts=1)"]
FORK = multiprocessing.get_context("fork") if sys.platform != "win32" else None


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Five conditions, clean included, of six batches, and a detector."""
    folder = tmp_path_factory.mktemp("made") / "detector"
    train, val = (
        torch.cat([batch.images for batch in load_dataset("digits", split=name).batches(256)])
        for name in ("train", "val")
    )
    save_detector(fit_detector(Normals(train), [(PCA(components=12), 1.0)]).calibrated(val, rate=0.05), folder)
    return prepare(Inputs(first=48, batch_size=8, seed=7), CONDITIONS, detector=folder)


@pytest.fixture(scope="module")
def unbroken(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    run(prepared, command="eval", out=out, probes=False)
    return read_run(out)


def sitting(prepared, out: Path, log: Path, patch) -> None:
    """One call of the command, which writes down each unit that it has computed."""
    truth = working.score

    def logged(name, condition, loaded, *rest):
        unit = truth(name, condition, loaded, *rest)
        with log.open("a") as file:
            file.write(f"{name} {loaded.number}\n")
        return unit

    working.score = logged
    patch()
    run(prepared, command="eval", out=out, resume=True, probes=False)
    os._exit(0)


def begun(prepared, out: Path, patch=lambda: None):
    process = FORK.Process(target=sitting, args=(prepared, out, out.parent / "log", patch))
    process.start()
    return process


def killed_after(process, seconds: float) -> bool:
    """Whether it was still running."""
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def killed_at(process, marker: Path) -> None:
    while not marker.exists():
        assert process.is_alive()
        time.sleep(0.01)
    assert killed_after(process, 0)


def same(out: Path, unbroken, *, tidy: bool = True) -> None:
    found = read_run(out)
    assert found.record.status == "done"
    assert (out / "samples.parquet").read_bytes() == (unbroken.path / "samples.parquet").read_bytes()
    for name in ("checks", "examples", "detector", "code_sha256", "unfinished", "data", "model"):
        assert getattr(found.record, name) == getattr(unbroken.record, name), name
    timeless = [[c.model_copy(update={"seconds": 0}) for c in r.record.conditions] for r in (found, unbroken)]
    assert timeless[0] == timeless[1]
    pictures = [{p.name: p.read_bytes() for p in (r.path / "images").iterdir()} for r in (found, unbroken)]
    assert pictures[0] == pictures[1]
    left = sorted(p.name for p in out.parent.iterdir())
    assert (left if tidy else [name for name in left if not name.startswith(".")]) == ["log", "run"]


def at_once():
    """Commit every unit alone: so it is known what a kill can cost."""
    from robustbench_lite import unfinished

    unfinished._EVERY, unfinished._SHARE = 0.0, 1e9


def finished(place: Path, prepared, unbroken, commit, kills: int) -> None:
    """The run is gone on with to its end, and is that of the unbroken one, with nothing computed twice."""
    written = (place / "run").exists()
    if not written:
        begun(prepared, place / "run", commit).join()
    # A kill after the run was written and before its batches were removed leaves these.
    same(place / "run", unbroken, tidy=not (written and kills))
    computed = Counter((place / "log").read_text().splitlines())
    assert len(computed) == 30
    if commit is at_once:
        assert sum(computed.values()) <= 30 + kills  # the one unit that was being committed


@pytest.mark.parametrize(
    # The command is killed twenty times with a commit every second in tests/cli/test_resume_and_shards.py.
    ("commit", "most"),
    [(at_once, 20), (lambda: None, 6)],
    ids=["every unit", "every second"],
)
def test_killed_at_random_moments(prepared, unbroken, tmp_path, commit, most):
    """Kill, resume, kill, resume; the next run when one is finished. Moments are of the time that one takes."""
    random, start = Random(11), time.monotonic()
    (tmp_path / "0").mkdir()
    begun(prepared, tmp_path / "0" / "run", commit).join()
    whole = time.monotonic() - start
    finished(tmp_path / "0", prepared, unbroken, commit, 0)
    runs, kills, here = 0, 0, 0
    for _ in range(60):
        if here == 0:
            runs += 1
            (tmp_path / str(runs)).mkdir()
        died = killed_after(begun(prepared, tmp_path / str(runs) / "run", commit), random.uniform(0, whole / 2))
        kills, here = kills + died, here + died
        if not died or kills == most:
            finished(tmp_path / str(runs), prepared, unbroken, commit, here)
            here = 0
        if kills == most:
            break
    assert kills == most


@pytest.mark.parametrize("written", [0.0, 0.3, 1.0])
def test_killed_while_a_unit_is_written(prepared, unbroken, tmp_path, written):
    out, marker = tmp_path / "run", tmp_path.parent / f"{tmp_path.name}-marker"

    def patch():
        at_once()
        truth = Journal.append

        def append(self, content):
            if self._end < 40_000:
                return truth(self, content)
            whole = self.path.read_bytes()
            truth(self, content)
            new = self.path.read_bytes()
            self.path.write_bytes(new[: len(whole) + int(written * (len(new) - len(whole)))])
            marker.touch()
            time.sleep(60)
            return None

        Journal.append = append

    killed_at(begun(prepared, out, patch), marker)
    begun(prepared, out).join()
    same(out, unbroken)
    assert set(Counter((tmp_path / "log").read_text().splitlines()).values()) <= {1, 2}


@pytest.mark.parametrize("moment", ["rows", "renaming", "removing"])
def test_killed_while_the_run_is_written(prepared, unbroken, tmp_path, moment):
    """Of an unfinished run that is replaced, too: nothing but the units is needed."""
    out, marker = tmp_path / "run", tmp_path.parent / f"{tmp_path.name}-marker"

    def stopped(*_, **__):
        marker.touch()
        time.sleep(60)

    def interrupt(progress):
        if progress.done > 100:
            raise KeyboardInterrupt

    def patch():
        from robustbench_lite import run_folder, unfinished

        if moment == "rows":
            run_folder.write_rows = stopped
        elif moment == "removing":
            unfinished.shutil.rmtree = stopped
        else:
            truth, calls = os.replace, []

            def replace(*places):
                calls.append(places)
                return truth(*places) if len(calls) == 1 else stopped()

            run_folder.os.replace = replace

    first = run(prepared, command="eval", out=out, on_progress=interrupt, probes=False)
    assert first.record.status == "interrupted"
    killed_at(begun(prepared, out, patch), marker)
    if moment == "removing":  # it is written, and its batches are half gone
        assert read_run(out).record.status == "done"
        out = tmp_path / "another"
    begun(prepared, out).join()
    log = tmp_path / "log"
    assert set(Counter(log.read_text().splitlines()).values()) == {1}  # what Ctrl-C had left, once
    if moment == "removing":
        assert (out / "samples.parquet").read_bytes() == (unbroken.path / "samples.parquet").read_bytes()
    else:
        same(out, unbroken)
