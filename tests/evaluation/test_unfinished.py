"""The store of finished units: whole or not there, of one run alone, and never counted twice."""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustbench_lite.examples import Kept
from robustbench_lite.journal import Journal
from robustbench_lite.run_rows import COLUMNS
from robustbench_lite.unfinished import name_of, opened
from robustbench_lite.units import Spent, Unit, no_rows, pack, unpack

IDENTITY = {"weights": "0123", "seed": "0", "code": "abcd" * 20}


def unit(number: int, n: int = 3, condition: str = "night(severity=3)") -> Unit:
    texts = {
        c: [f"{c} {number} {i} é <script>" for i in range(n)] for c, kind in COLUMNS.items() if kind == "string"
    }
    numbers = {c: np.arange(n) + number for c, kind in COLUMNS.items() if kind != "string"}
    rows = pd.DataFrame({**texts, **numbers, "group": None, "severity": np.nan})[list(COLUMNS)].astype(COLUMNS)
    rows["margin"] = np.float32([0.1, np.nan, -np.inf])[np.arange(n) % 3]
    grey, colour = np.full((4, 5), number % 256, np.uint8), np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    kept = Kept(
        condition, "worst", (-0.1234567891234567, 2**62 + 1), {"sample_id": "a", "label": 1}, 0, grey, colour
    )
    spent = Spent(1, 2, 3, 4, 5, 6, 7, 0.1)
    checks = [{"name": "logits", "status": "passed", "seen": "…", "advice": "", "next": ""}]
    return Unit(condition, number, rows, spent, [kept], [("a.png", "cut off")], 2, checks)


def same(one: Unit, other: Unit) -> None:
    pd.testing.assert_frame_equal(one.rows, other.rows, check_exact=True)
    for name in ("condition", "batch", "spent", "skipped", "known", "checks"):
        assert getattr(one, name) == getattr(other, name), name
    for mine, theirs in zip(one.kept, other.kept, strict=True):
        assert mine[:5] == theirs[:5]
        assert np.array_equal(mine.clean, theirs.clean)
        assert np.array_equal(mine.changed, theirs.changed)


def stored(parent: Path, *numbers: int) -> Path:
    """A store that was left behind with these batches, each committed alone; its file of units."""
    store = opened(parent, IDENTITY, resume=True)
    for number in numbers:
        store.add("night", unit(number))
        store.flush()
    store.close()
    return store.folder / "units"


def found(parent: Path, most: int = 10) -> list[int]:
    """The batches that a run would take up."""
    store = opened(parent, IDENTITY, resume=True)
    numbers = [number for number in range(most) if store.has("night", number)]
    for number in numbers:
        same(store.take("night", number), unit(number))
    store.close()
    return numbers


def test_units_come_back_as_they_were():
    given = [("a", unit(0)), ("b", unit(1, n=2)), ("c", Unit("clean", 2, no_rows())), ("a", unit(3))]
    for (_, before), after in zip(given, unpack(pack(given)), strict=True):
        same(before, after)
    (alone,) = unpack(pack([("a", Unit("clean", 0, no_rows()))]))
    assert len(alone.rows) == 0


def test_what_was_kept_is_found(tmp_path):
    stored(tmp_path, 0, 2, 3)
    assert found(tmp_path) == [0, 2, 3]


@pytest.mark.parametrize("cut", [1, 10, 44, 45, 200])
def test_a_torn_end_is_cut_off_and_written_over(tmp_path, cut):
    """As after a kill or a power cut in the middle of a write."""
    file = stored(tmp_path, 0, 1, 2)
    (*_, last) = [place for place, _ in Journal(file).records()]
    file.write_bytes(file.read_bytes()[: last.start - 44 + cut])
    stored(tmp_path, 3)
    assert found(tmp_path) == [0, 1, 3]


@pytest.mark.parametrize("at", ["mark", "length", "content"])
def test_from_a_damaged_record_on_nothing_is_taken(tmp_path, at):
    file = stored(tmp_path, 0, 1, 2)
    _, second, _ = [place for place, _ in Journal(file).records()]
    content = bytearray(file.read_bytes())
    place = {"mark": second.start - 44, "length": second.start - 36, "content": second.start + 100}[at]
    content[place] ^= 255
    file.write_bytes(content)
    assert found(tmp_path) == [0]


def test_a_record_with_one_other_byte_is_not_read(tmp_path):
    """Also where what it says can be read all the same."""
    journal = Journal(tmp_path / "units")
    journal.append(b"accuracy 0.91")
    journal.append(b"accuracy 0.92")
    content = journal.path.read_bytes()
    journal.path.write_bytes(content.replace(b"0.92", b"0.99"))
    assert [record for _, record in Journal(journal.path).records()] == [b"accuracy 0.91"]


def test_nothing_of_a_torn_record_stays_behind_a_shorter_one(tmp_path):
    journal = Journal(tmp_path / "units")
    journal.append(b"first")
    whole = journal.path.stat().st_size
    journal.append(b"x" * 1000)
    journal.path.write_bytes(journal.path.read_bytes()[:-1])
    again = Journal(journal.path)
    assert [record for _, record in again.records()] == [b"first"]
    again.append(b"third")
    assert journal.path.stat().st_size == 2 * whole
    assert [record for _, record in Journal(journal.path).records()] == [b"first", b"third"]


def test_a_file_that_is_no_journal_is_begun_anew(tmp_path):
    file = stored(tmp_path, 0)
    file.write_bytes(b"something else")
    assert found(tmp_path) == []
    stored(tmp_path, 5)
    assert found(tmp_path) == [5]
    journal = Journal(file)
    list(journal.records())
    journal.append(struct.pack("<QQ", 4, 0) + b"[..]")  # whole, but no header
    assert found(tmp_path) == [5]


def test_without_resume_it_begins_anew_and_says_so(tmp_path, caplog):
    stored(tmp_path, 0, 1)
    opened(tmp_path, IDENTITY, resume=False).close()
    assert "2 finished batches of an earlier, unfinished run of the same are discarded" in caplog.text
    assert found(tmp_path) == []


def test_how_often_it_was_taken_up(tmp_path):
    for times in range(3):
        store = opened(tmp_path, IDENTITY, resume=True)
        assert store.times == times
        store.add("night", unit(times))
        store.close()


@pytest.mark.parametrize("part", IDENTITY)
def test_another_run_takes_nothing_up_and_says_what_differs(tmp_path, caplog, part):
    stored(tmp_path, 0)
    other = {**IDENTITY, part: IDENTITY[part][::-1] + "1"}
    store = opened(tmp_path, other, resume=True)
    assert not store.has("night", 0)
    assert f"is of a run that differs in {part}" in caplog.text
    store.close()
    assert found(tmp_path) == [0]


def test_with_nothing_there_it_says_so(tmp_path, caplog):
    opened(tmp_path / "new", IDENTITY, resume=True).close()
    assert "there is no finished work" in caplog.text


def test_two_equal_runs_at_once_do_not_share(tmp_path, caplog):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from robustbench_lite.unfinished import opened\n"
        f"store = opened(Path(sys.argv[1]), {IDENTITY!r}, resume=True)\n"
        "print('open' if store else 'refused', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline().strip() == "open"
        assert opened(tmp_path, IDENTITY, resume=True) is None
        assert "going on in another process" in caplog.text
        opened(tmp_path, {**IDENTITY, "seed": "1"}, resume=True).close()  # another run is free
        other.kill()
    assert found(tmp_path) == []  # a killed one holds nothing


def test_a_store_that_was_removed_is_gone_and_can_be_made_again(tmp_path):
    store = opened(tmp_path, IDENTITY, resume=True)
    store.add("night", unit(0))
    store.add("night", unit(1))  # waits for its second
    store.remove()
    store.close()
    assert list(tmp_path.iterdir()) == []
    assert found(tmp_path) == []


def test_drafts_of_a_killed_process_are_swept(tmp_path):
    folder = tmp_path / name_of(IDENTITY)
    (folder / "draft-1" / "images").mkdir(parents=True)
    opened(tmp_path, IDENTITY, resume=True).close()
    assert not (folder / "draft-1").exists()


def test_a_full_disk_is_said_once_and_tried_again(tmp_path, caplog, monkeypatch):
    store = opened(tmp_path, IDENTITY, resume=True)
    store.add("night", unit(0))
    truth, full = os.fsync, True

    def fsync(handle):
        if full:
            raise OSError(28, "No space left on device")
        truth(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("robustbench_lite.unfinished._EVERY", 0)
    for number in (1, 2, 3):
        store.add("night", unit(number))
        store.flush()
    assert caplog.text.count("No space left on device") == 1
    assert store.unwritten == 3
    full = False
    store.flush()
    assert store.unwritten == 0
    store.close()
    assert found(tmp_path) == [0, 1, 2, 3]


def test_a_disk_that_is_gone_for_a_moment_is_used_again(tmp_path):
    store = opened(tmp_path / "disk", IDENTITY, resume=True)
    store.add("night", unit(0))
    store.flush()
    (tmp_path / "disk").rename(tmp_path / "away")
    store.add("night", unit(1))
    assert not store.flush()
    (tmp_path / "away").rename(tmp_path / "disk")
    assert store.flush()
    store.close()
    assert found(tmp_path / "disk") == [0, 1]


def test_a_file_that_was_cut_under_our_feet_is_gone_on_with(tmp_path):
    store = opened(tmp_path, IDENTITY, resume=True)
    for number in (0, 1):
        store.add("night", unit(number))
        store.flush()
    file = store.folder / "units"
    os.truncate(file, file.stat().st_size - 5)
    store.add("night", unit(2))
    store.close()
    assert found(tmp_path) == [0, 2]


def test_a_place_that_cannot_be_written_is_said(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert opened(tmp_path / "file", IDENTITY, resume=False) is None
    assert "cannot keep finished batches" in caplog.text


def test_many_small_units_are_committed_together(tmp_path):
    store = opened(tmp_path, IDENTITY, resume=True)
    start = time.monotonic()
    for number in range(100):
        store.add("night", unit(number))
    took = time.monotonic() - start
    store.close()
    records = list(Journal(store.folder / "units").records())
    assert len(records) <= 2 + took
    assert found(tmp_path, 100) == list(range(100))
