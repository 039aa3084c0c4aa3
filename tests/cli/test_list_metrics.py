"""``rb ls metrics`` and ``rb ls suites --config``."""

import re
from pathlib import Path

import robustbench_lite
from robustbench_lite.gates.metrics import METRICS

DOCS = Path(robustbench_lite.__file__).parents[1] / "docs" / "gates.md"


def test_the_list_is_that_of_the_gates_and_of_the_docs(rb):
    listed = rb("ls", "metrics", "--json").document["metrics"]
    assert [m["name"] for m in listed] == list(METRICS)
    section = DOCS.read_text(encoding="utf-8").partition("## Metrics\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
    assert told == [(m["name"], m["about"]) for m in listed]
    assert {m["name"] for m in listed if m["takes"] == "--detector"} == {
        m.name for m in METRICS.values() if m.detector
    }
    assert {m["name"] for m in listed if m["better"] == "lower"} == {
        *("mean_corruption_error", "mce", "relative_mce", "ece", "brier", "false_alarm_rate")
    }


def test_the_text_has_all_of_it(rb):
    done = rb("ls", "metrics")
    text = " ".join(done.out.split())
    assert "ece expected calibration error, 15 bins takes any run; lower is better" in text
    assert "takes --detector " in text
    starts = {len(re.match(r"  \w+ +", line)[0]) for line in done.out.splitlines() if re.match(r"  \w", line)}
    assert len(starts) == 1  # one column, whatever the length of a name
    assert "metrics" not in rb("ls").out.split("\n")


def test_suites_of_another_file(rb, tmp_path):
    (tmp_path / "own.toml").write_text("[suites.mine]\nconditions = ['night']\n", encoding="utf-8")
    assert "mine" in rb("ls", "suites", "--config", "own.toml").out
    assert "mine" not in rb("ls", "suites").out
    assert rb("ls", "suites", "--config", "nothing.toml").code == 2
