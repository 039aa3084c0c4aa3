"""What a merge makes of rows and checks, without a network."""

import pytest
from made_runs import Made, write_made

from robustbench_lite.errors import InputError
from robustbench_lite.merged_record import _checks
from robustbench_lite.merging import _rows
from robustbench_lite.records import CheckRecord


def test_rows_that_two_shards_have_are_refused(tmp_path):
    whole = write_made(tmp_path / "run", Made(n=20))
    rows = whole.samples
    one = whole.replace(samples=rows[rows["index"] < 11])
    other = whole.replace(samples=rows[rows["index"] >= 10])
    with pytest.raises(InputError, match=r"shards overlap: two have the image digit-10\.png"):
        _rows([one, other])
    parted = whole.replace(samples=rows[rows["index"] >= 11])
    assert len(_rows([parted, one])) == len(rows)


def test_a_check_that_triggered_in_one_shard_is_not_outvoted():
    def checked(status):
        return [CheckRecord(name="noise", status=status, seen=f"it {status}.")]

    names = ["1/3", "2/3", "3/3"]
    (found,) = _checks([checked("passed"), checked("triggered"), checked("not run")], names)
    assert (found.status, found.seen) == ("triggered", "2/3: it triggered.")
    (found,) = _checks([checked("not run"), checked("passed"), checked("not run")], names)
    assert found.status == "passed"
