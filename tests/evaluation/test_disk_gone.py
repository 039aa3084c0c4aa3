"""A disk that is full, broken or read-only in the middle of a run: nothing is lost, and --resume ends it."""

import builtins
import errno
import multiprocessing
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from robustbench_lite import journal, run_folder, working
from robustbench_lite.__main__ import main
from robustbench_lite.errors import InputError
from robustbench_lite.runner import Inputs, prepare, run
from robustbench_lite.runs import read_run

CONDITIONS = ["fgsm", "shot_noise(severity=2)"]
SIZE, BATCHES = 8, 5
UNITS = BATCHES * (len(CONDITIONS) + 1)


class Disk:
    """A disk that refuses what the journal does while ``gone`` is set, after a part of it where that can be."""

    def __init__(self, monkeypatch, call: str, number: int) -> None:
        self.gone, self.call, self.number, self.refused = False, call, number, 0
        monkeypatch.setattr("robustbench_lite.unfinished._EVERY", 0)  # every unit alone,
        monkeypatch.setattr("robustbench_lite.unfinished._SHARE", 1e9)  # at once
        truth = getattr(os, call, None)
        if call == "write":
            monkeypatch.setattr(journal, "open", self.opened, raising=False)
        else:
            refusing = {call: lambda *given: self.refuse() or truth(*given)}
            monkeypatch.setattr(journal, "os", SimpleNamespace(**{**vars(os), **refusing}))

    def refuse(self):
        if self.gone:
            self.refused += 1
            raise OSError(self.number, os.strerror(self.number))

    def opened(self, *given):
        file = builtins.open(*given)  # noqa: SIM115
        if not self.gone:
            return file
        truth = file.write

        class Torn:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def __getattr__(self, name):
                return getattr(file, name)

            def write(_, content):
                truth(content[: len(content) // 2])
                file.flush()
                self.refuse()

        return Torn()


FAULTS = [
    ("fsync", errno.ENOSPC),
    ("fsync", errno.EIO),
    ("write", errno.ENOSPC),
    ("write", errno.EIO),
    ("open", errno.EROFS),
    ("open", errno.EIO),
]


@pytest.fixture(scope="module")
def prepared():
    return prepare(Inputs(first=SIZE * BATCHES, batch_size=SIZE), CONDITIONS)


@pytest.fixture(scope="module")
def rows(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    return (run(prepared, command="eval", out=out, probes=False).path / "samples.parquet").read_bytes()


def units(progress) -> int:
    return progress.done // SIZE


def refusing(prepared, out, disk, *, gone=range(0), stop=UNITS + 1, resume=False):
    """A run during which the disk is gone for some of the units, and that Ctrl-C ends after some."""

    def on_progress(progress):
        disk.gone = units(progress) in gone
        if units(progress) >= stop:
            raise KeyboardInterrupt

    try:
        return run(prepared, command="eval", out=out, probes=False, resume=resume, on_progress=on_progress)
    finally:
        disk.gone = False


@pytest.mark.parametrize(("call", "number"), FAULTS)
def test_a_disk_that_refuses_for_a_while_is_warned_of_once_and_nothing_is_lost(
    prepared, rows, tmp_path, caplog, monkeypatch, call, number
):
    disk = Disk(monkeypatch, call, number)
    first = refusing(prepared, tmp_path / "run", disk, gone=range(3, 8), stop=11)
    assert (first.record.status, disk.refused > 1) == ("interrupted", True)
    warned = [r.getMessage() for r in caplog.records if "The run goes on, and tries again later" in r.getMessage()]
    assert len(warned) == 1
    assert os.strerror(number) in warned[0]
    scored = counted(monkeypatch)
    last = refusing(prepared, tmp_path / "run", disk, resume=True)
    assert (last.path / "samples.parquet").read_bytes() == rows
    assert len(scored) == UNITS - 11
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def counted(monkeypatch) -> list[str]:
    """The conditions of the units that are computed from now on."""
    truth, scored = working.score, []
    monkeypatch.setattr(working, "score", lambda name, *given: scored.append(name) or truth(name, *given))
    return scored


@pytest.mark.parametrize(("call", "number"), FAULTS)
def test_what_a_disk_took_until_the_end_is_computed_again(prepared, rows, tmp_path, monkeypatch, call, number):
    """The store is lost from the seventh unit on, and the run is interrupted: it says where --resume goes on."""
    disk = Disk(monkeypatch, call, number)
    closing = refusing(prepared, tmp_path / "run", disk, gone=range(6, 99), stop=11)
    assert closing.record.status == "interrupted"
    assert (tmp_path / closing.record.unfinished / "units").exists()
    last = refusing(prepared, tmp_path / "run", disk, resume=True)
    assert (last.path / "samples.parquet").read_bytes() == rows


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["replace", "rows"])
def test_a_run_that_cannot_be_put_in_its_place_is_written_by_resume(
    prepared, rows, tmp_path, monkeypatch, call, number
):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if call == "replace":
            patch.setattr(run_folder.os, "replace", refuse)
        else:
            patch.setattr(run_folder, "write_rows", refuse)
        with pytest.raises(InputError, match=rf"{os.strerror(number)}\. Finished batches are kept in .*--resume"):
            run(prepared, command="eval", out=tmp_path / "run", probes=False)
    assert not (tmp_path / "run").exists()
    with monkeypatch.context() as patch:
        patch.setattr("robustbench_lite.working.score", lambda *_: pytest.fail("computed again"))
        again = run(prepared, command="eval", out=tmp_path / "run", probes=False, resume=True)
    assert (again.path / "samples.parquet").read_bytes() == rows


def test_batches_are_taken_up_from_a_disk_that_is_full(prepared, rows, tmp_path, monkeypatch):
    """Though not even the note of how often can be written."""
    disk = Disk(monkeypatch, "fsync", errno.ENOSPC)
    refusing(prepared, tmp_path / "run", disk, stop=11)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        scored = counted(patch)
        with pytest.raises(InputError, match=r"No space left on device\. Finished batches are kept"):
            refusing(prepared, tmp_path / "run", disk, resume=True)
        assert len(scored) == UNITS - 11
    scored = counted(monkeypatch)
    last = run(prepared, command="eval", out=tmp_path / "run", probes=False, resume=True)
    assert (last.path / "samples.parquet").read_bytes() == rows
    assert scored == []  # the second sitting has kept the rest


# The command

EVAL = ["eval", "--first", str(SIZE * BATCHES), "--batch-size", str(SIZE), "--no-checks"]
EVAL += [word for condition in CONDITIONS for word in ("--on", condition)]


def test_the_command_warns_and_goes_on_or_says_what_is_kept(rb, rows, tmp_path, caplog, monkeypatch):
    disk = Disk(monkeypatch, "fsync", errno.EIO)
    disk.gone = True
    done = rb(*EVAL, "--out", "run")
    assert done.code == 0, done.err
    assert caplog.text.count("Input/output error. The run goes on, and tries again later.") == 1
    assert Path("run/samples.parquet").read_bytes() == rows
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_rows", lambda *_: disk.refuse())
        done = rb(*EVAL, "--out", "again")
    assert (done.code, done.out) == (2, "")
    assert "error: cannot write again: Input/output error. Finished batches are kept in .unf" in done.err
    assert f"but for {UNITS} that there was no room for either" in done.err
    disk.gone = False
    done = rb(*EVAL, "--out", "again", "--resume")
    assert done.code == 0, done.err
    assert Path("again/samples.parquet").read_bytes() == rows
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "run"]


def limited(words: list[str], most: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    sys.argv = ["rb", *words]
    main()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the operating system")
def test_a_limit_of_the_operating_system_in_the_middle_of_a_write(rb, rows, tmp_path, monkeypatch):
    """No file may be as large as the rows will be: the first units fit, then neither does a unit nor the run."""
    monkeypatch.setattr("robustbench_lite.unfinished._EVERY", 0)
    monkeypatch.setattr("robustbench_lite.unfinished._SHARE", 1e9)
    words = [*EVAL, "--out", str(tmp_path / "run")]
    process = multiprocessing.get_context("fork").Process(target=limited, args=(words, len(rows) - 1))
    process.start()
    process.join()
    assert process.exitcode == 2
    (store,) = tmp_path.glob(".unfinished-*")
    assert 0 < (store / "units").stat().st_size < len(rows)
    done = rb(*words, "--resume")
    assert done.code == 0, done.err
    assert read_run(tmp_path / "run").record.resumed == 1
    assert (tmp_path / "run" / "samples.parquet").read_bytes() == rows
