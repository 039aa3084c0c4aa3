"""What ``rb outliers test`` says of the promise, and of the value of an alarm."""

import pytest

from robustbench_lite.cli.outliers_judge import _lines, _verdict


@pytest.mark.parametrize(
    ("verdict", "alarms", "n", "said"),
    [
        ("kept", 1, 100, "kept: 1 false alarms in 100 normal images"),
        ("fewer", 0, 900, "kept: 0 false alarms in 900 normal images"),
        ("broken", 9, 10, "broken: 9 false alarms in 10 normal images are too many"),
        ("kept", 0, 99, "cannot be told: 99 normal images are too few for a false alarm to be expected"),
    ],
)
def test_the_verdict_in_words(verdict, alarms, n, said):
    assert _verdict({"verdict": verdict, "n_false_alarms": alarms, "n": n}, 0.01) == said


@pytest.mark.parametrize(("rate", "said"), [(0.0, "at least 0.2%, if"), (0.1, "50.0% (0.2% to 100.0%), if")])
def test_an_alarm_is_not_called_certain_where_no_false_one_was_seen(rate, said):
    ends = {f"{name}{end}": 0.5 for name in ("aupr", "fpr95", "tpr") for end in ("", "_low", "_high")}
    result = {
        **ends,
        "false_alarm_rate": rate,
        "false_alarm_rate_low": 0.0,
        "false_alarm_rate_high": 0.3,
        "alarm_value": 0.5 if rate else 1.0,
        "alarm_value_low": 0.002,
        "alarm_value_high": 1.0,
        "pixel_auroc": None,
        "false_alarms_promised": 0.01,
        "defect_rate": 0.01,
        "promise": {"verdict": "kept", "n_false_alarms": 0, "n": 10},
    }
    lines = _lines(result)
    assert any(f"true with probability {said}" in line for line in lines)
    assert any(line.startswith("the promise: cannot be told") for line in lines)
