"""What is said of the mean corruption error of a published set."""

from robustbench_lite.corruption_error import CorruptionError, Estimate, SuiteError
from robustbench_lite.reports.suites import means, suite_tables

ONE = CorruptionError("fog", in_mean=True, error=0.4, ce=0.5, relative_ce=None)
FOUND = SuiteError(
    "imagenet_c", 20, 1, "net, baseline run x", Estimate(0.4, 0.3, 0.5), Estimate(0.5, None, None), None, [ONE]
)


def plain(lines):
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def test_every_mean_has_its_name_its_interval_and_its_reference():
    assert plain(means(FOUND)) == [
        "mean corruption error 40.0 % (95 % interval 30.0 % to 50.0 %): "
        "over only 1 of the 15 corruptions, 20 images",
        "mCE 50.0 %: against net, baseline run x",
        "no relative mCE: against net, baseline run x, which loses nothing by fog",
    ]
    assert "over 15 corruptions" in plain(means(FOUND._replace(measured=15)))[0]


def test_without_a_reference_there_is_no_mce_and_the_remedy_is_named():
    alone = FOUND._replace(reference=None, mce=None, corruptions=[ONE._replace(ce=None)])
    assert plain(means(alone))[1:] == ["no mCE: it needs a reference. Give --baseline, a run of another network"]
    (_, table, _) = suite_tables([alone])
    assert [column.header for column in table.columns] == ["corruption", "error"]


def test_the_table_marks_what_is_not_in_the_mean():
    extra = ONE._replace(corruption="spatter", in_mean=False, ce=0.1)
    (_, table, _) = suite_tables([FOUND._replace(corruptions=[ONE, extra])])
    assert [str(cell) for cell in table.columns[0].cells] == ["fog", "(spatter)"]
    assert plain(map(str, table.columns[2].cells)) == ["50.0 %", "10.0 %"]
    assert suite_tables([]) == []
