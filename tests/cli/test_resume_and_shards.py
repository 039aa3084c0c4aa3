"""``--resume``, ``--shard`` and ``rb merge`` as commands: killed, interrupted, in parts, and what is refused."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from robustbench_lite.__main__ import main
from robustbench_lite.cli.app import app
from robustbench_lite.runs import read_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
OWN = """
import os
import time
from dataclasses import dataclass
from pathlib import Path

from robustbench_lite.types import Shift


@dataclass(frozen=True)
class Late(Shift):
    'Writes down that it was called, and takes its time if that is asked for.'

    severity: float = 1.0

    def __call__(self, images, streams):
        with Path("calls").open("a") as file:
            file.write("x")
        time.sleep(float(os.environ.get("LATE", "0")))
        return 1 - images
"""
BATCHES, SIZE = 6, 8
EVAL = ["eval", "--first", str(BATCHES * SIZE), "--batch-size", str(SIZE), "--no-checks"]
EVAL += ["--on", "shot_noise(severity=2) + pgd(steps=3)", "--on", "own.py:Late"]


@pytest.fixture
def own(tmp_path):
    """The shift in the empty folder that commands are called in."""
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def called(words: tuple[str, ...], late: float) -> None:
    from robustbench_lite import unfinished

    unfinished._SHARE = 1e9  # a commit every second, however slow the disk is
    os.environ["LATE"] = str(late)
    sys.argv = ["rb", *words]
    main()


def begun(*words: str, late: float) -> Any:
    """The command in a forked process, for starting one takes long; ``late`` is what a batch takes, seconds."""
    process = multiprocessing.get_context("fork").Process(target=called, args=(words, late))
    process.start()
    return process


def calls(folder: Path) -> int:
    file = folder / "calls"
    return file.stat().st_size if file.exists() else 0


def wait(folder: Path, after: int, running: Callable[[], bool]) -> None:
    """Until the shift was called so often."""
    while calls(folder) < after:
        assert running(), "it ended before"
        time.sleep(0.01)


def killed(process: Any) -> bool:
    """Whether it was still running."""
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def same_rows(one: Path, other: Path) -> bool:
    return (one / "samples.parquet").read_bytes() == (other / "samples.parquet").read_bytes()


def unfinished(folder: Path) -> list[Path]:
    return sorted(folder.glob(".unfinished-*"))


def test_killed_and_resumed_is_unbroken(rb, own, caplog):
    process = begun(*EVAL, "--out", "runs/run", late=0.6)
    wait(own, random.Random(5).randint(3, 5), process.is_alive)
    assert killed(process)
    before = calls(own)
    assert not (own / "runs" / "run").exists()
    done = rb(*EVAL, "--out", "runs/run", "--resume")
    assert done.code == 0, done.err
    assert "finished batches are taken up from" in caplog.text
    assert before < BATCHES <= calls(own) <= BATCHES + 3  # the one under way, and those of the last second
    assert [p.name for p in (own / "runs").iterdir()] == ["run"]
    assert rb(*EVAL, "--out", "whole").code == 0
    assert same_rows(own / "runs" / "run", own / "whole")


@pytest.mark.slow
def test_interrupted_and_resumed_in_the_same_folder(rb, own):
    process = subprocess.Popen(
        [sys.executable, "-m", "robustbench_lite", *EVAL, "--out", "runs/run", "--json"],
        env={**os.environ, "LATE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell have it ignored, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait(own, 3, lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"status": "interrupted"' in out
    assert err.endswith("interrupted; what was finished is in runs/run. The same with --resume goes on.\n")
    part = read_run(own / "runs" / "run")
    assert part.record.status == "interrupted"
    assert 0 < len(part.samples) < 3 * BATCHES * SIZE
    done = rb(*EVAL, "--out", "runs/run", "--resume", "--json")
    assert done.code == 0, done.err
    assert done.document["status"] == "done"
    assert calls(own) == BATCHES + 1  # the one that was interrupted
    assert [p.name for p in (own / "runs").iterdir()] == ["run"]
    assert rb(*EVAL, "--out", "whole").code == 0
    assert same_rows(own / "runs" / "run", own / "whole")
    again = rb(*EVAL, "--out", "runs/run", "--resume")  # finished runs are not replaced
    assert (again.code, again.err.count("error: ")) == (2, 1)
    assert "runs/run is finished: there is nothing to resume. Look at it: rb show runs/run." in again.err


def test_a_second_run_with_the_same_out_is_refused_and_the_first_goes_on(rb, refused, own):
    first = begun(*EVAL, "--out", "jobs/run", late=1)
    wait(own, 1, first.is_alive)
    for more in ((), ("--seed", "1"), ("--resume",)):  # equal or not
        assert "another process is writing jobs/run." in refused(*EVAL, *more, "--out", "jobs/run")
    first.join()
    assert first.exitcode == 0
    assert calls(own) == BATCHES
    assert [p.name for p in (own / "jobs").iterdir()] == ["run"]
    assert "exists already" in refused(*EVAL, "--out", "jobs/run")


def test_two_shards_at_once_in_one_folder_share_nothing(rb, own, caplog):
    first = begun(*EVAL, "--shard", "1/2", "--out", "runs/1", late=60)
    wait(own, 1, first.is_alive)
    (store,) = unfinished(own / "runs")
    other = rb(*EVAL, "--shard", "2/2", "--out", "runs/2")
    assert other.code == 0
    assert "another process" not in caplog.text
    assert unfinished(own / "runs") == [store]  # each has removed its own alone
    assert killed(first)
    before = calls(own)
    done = rb(*EVAL, "--shard", "1/2", "--out", "runs/1", "--resume")
    assert done.code == 0, done.err
    assert f"are taken up from {store.relative_to(own)}" in caplog.text
    assert calls(own) - before <= BATCHES // 2
    assert rb("merge", "runs/2", "runs/1", "--out", "merged").code == 0
    assert rb(*EVAL, "--out", "whole").code == 0
    assert same_rows(own / "merged", own / "whole")


@pytest.mark.slow
def test_killed_twenty_times_in_a_row_one_run_is_unbroken(rb, own, caplog):
    drawn, words = random.Random(3), [*EVAL, "--batch-size", "1", "--out", "runs/run", "--resume"]
    for _ in range(20):
        process = begun(*words, late=0.2)
        wait(own, calls(own) + 1, process.is_alive)
        time.sleep(drawn.uniform(0, 1.3))  # commits are a second apart
        assert killed(process)
    done = rb(*words)
    assert done.code == 0, done.err
    assert "finished batches are taken up from" in caplog.text
    assert rb(*EVAL, "--batch-size", "1", "--out", "whole").code == 0
    assert same_rows(own / "runs" / "run", own / "whole")
    assert read_run(own / "runs" / "run").record.resumed > 0


# Shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A folder with the run ``whole``, its shards ``1`` and ``2``, and a shard ``seed`` of another seed."""
    place = tmp_path_factory.mktemp("shards")
    words = [
        "eval",
        "--first",
        "20",
        "--batch-size",
        "8",
        "--on",
        "flip",
        "--on",
        "shot_noise",
        "--no-checks",
        "-q",
    ]
    for name, *more in (
        ["whole"],
        ["1", "--shard", "1/2"],
        ["2", "--shard", "2/2"],
        ["seed", "--shard", "2/2", "--seed", "1"],
    ):
        done = CliRunner().invoke(app, [*words, *more, "--out", str(place / name)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    return place


def test_merged_shards_are_the_whole(rb, shards):
    done = rb("merge", shards / "2", shards / "1", "--out", "merged", "--json", "-q")
    assert (done.code, done.err) == (0, "")
    assert done.document["status"] == "done"
    whole = rb("show", shards / "whole", "--json").document
    found, wanted = ([{**row, "seconds": 0} for row in d["results"]] for d in (done.document, whole))
    assert found == wanted
    assert same_rows(Path("merged"), shards / "whole")


def test_a_missing_shard_is_refused_or_put_up_with_and_fails_gates(rb, refused, shards):
    told = refused("merge", shards / "1", "--out", "merged")
    assert "missing: shard 2/2." in told
    assert "--allow-missing" in told
    assert not Path("merged").exists()
    done = rb("merge", shards / "1", "--out", "merged", "--allow-missing")
    assert done.code == 0
    assert "note: merged without shard 2/2" in done.err
    gate = rb("gate", "merged", "--min", "accuracy=0.1")
    assert gate.code == 3
    assert "Give rb merge all shards" in gate.out


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        (["1", "1"], "are the same run"),
        (["1", "2", "2"], "are the same run"),
        (["1", "seed"], "are no shards of one run: they differ in seed"),
        (["1", "whole"], "whole is no shard: it has all images"),
        (["whole"], "whole is no shard: it has all images"),
        (["1", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_no_whole_is_refused(refused, shards, runs, told):
    assert told in refused("merge", *(shards / name for name in runs), "--out", "merged")
    assert not Path("merged").exists()


def test_a_merge_does_not_replace_a_run(refused, shards):
    assert "exists already" in refused("merge", shards / "1", shards / "2", "--out", shards / "whole")


@pytest.mark.parametrize("part", ["0/2", "3/2", "half", "1/2/3", ""])
def test_no_such_shard(refused, part):
    assert "is no part of a whole" in refused("eval", "--on", "flip", "--shard", part)


def test_a_shard_of_a_search_and_saved_images_with_resume_are_refused(refused):
    assert "--shard" in refused("shift", "--lighting", "night", "--shard", "1/2", "--until", "0.5")
    assert "--save-images" in refused("eval", "--on", "flip", "--resume", "--save-images")
