"""``rb gate`` as it is called: exit codes, files, and what it refuses."""

import json
import shutil
from xml.etree import ElementTree

import pytest
from made_runs import Made, write_made

from robustbench_lite.gates.verdict import GateReport
from robustbench_lite.runs import read_run

RULES = """
[[gate]]
id = "clean"
min = 0.9

[[gate]]
id = "night"
where = { condition = "night(severity=1)" }
baseline = "old"
max_drop = 0.05
"""


@pytest.fixture
def place(rb, tmp_path):
    write_made(tmp_path / "new", Made(examples=0, record={"id": "new"}))
    write_made(tmp_path / "old", Made(examples=0, record={"id": "old"}))
    return tmp_path


def test_rules_of_a_file(rb, place):
    (place / "rb.toml").write_text(RULES)
    done = rb("gate", "new")
    assert done.code == 0
    assert "PASS" in done.out
    report = GateReport.model_validate_json((place / "new" / "gate.json").read_text())
    assert [(r.rule.id, r.verdict) for r in report.results] == [("clean", "PASS"), ("night", "PASS")]
    assert report.runs == ["new"]
    assert report.run_ids == ["new"]
    only = rb("gate", "new", "--rule", "clean", "--json", "--out", "elsewhere/g.json").document
    assert [r["rule"]["id"] for r in only["results"]] == ["clean"]
    assert only == json.loads((place / "elsewhere" / "g.json").read_text())


@pytest.mark.parametrize("words", [("--rule", "clean"), ("--min", "accuracy=0.5"), ("--rule", "clean", "--json")])
def test_the_verdict_of_other_rules_is_not_that_of_the_run(rb, place, words):
    (place / "rb.toml").write_text(RULES.replace("severity=1", "severity=4"))  # which is not there
    kept = place / "new" / "gate.json"
    said = "not kept in the run: it is not of all rules of rb.toml (--out keeps it)\n"
    assert (rb("gate", "new", *words).code, kept.exists()) == (0, False)
    assert rb("gate", "new").code == 3
    before = kept.read_bytes()
    done = rb("gate", "new", *words, "--junit", "g.xml", "--summary", "g.md")
    assert (done.code, kept.read_bytes()) == (0, before)
    assert said in done.err
    assert "PASS" in (place / "g.md").read_text(encoding="utf-8")
    assert ElementTree.parse(place / "g.xml").getroot()[0].get("tests") == "1"
    kept_elsewhere = rb("gate", "new", *words, "--out", "part.json")
    assert (said in kept_elsewhere.err, kept.read_bytes()) == (False, before)
    assert GateReport.model_validate_json((place / "part.json").read_text()).verdict == "PASS"
    all_named = rb("gate", "new", "--rule", "clean", "--rule", "night")
    assert said not in all_named.err
    assert kept.read_bytes() != b""


def test_rules_of_options_are_all_there_are_without_others(rb, place):
    (place / "rb.toml").write_text("[gates]\nconfidence = 0.9\n")
    assert "gate: new/gate.json" in rb("gate", "new", "--min", "accuracy=0.5").err
    assert json.loads((place / "new" / "gate.json").read_text())["verdict"] == "PASS"


def test_a_baseline_is_relative_to_the_file(rb, place, monkeypatch):
    (place / "rb.toml").write_text(RULES)
    (place / "sub").mkdir()
    monkeypatch.chdir(place / "sub")
    assert rb("gate", "../new", "--config", "../rb.toml").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--min", "accuracy=0.9"], 0),
        (["--min", "accuracy=0.99"], 4),
        (["--min", "accuracy@night(severity=5)=0.6"], 3),
        (["--max", "accuracy@night(severity=5)=0.6"], 0),
        (["--max-drop", "accuracy@night(*)=0.05", "--baseline", "old"], 0),
        (["--max-drop", "accuracy@night(*)=0.05"], 3),  # without a baseline
        (["--min", "accuracy@fog=0.5"], 3),
    ],
)
def test_rules_without_a_file(rb, place, words, code):
    assert rb("gate", "new", *words).code == code


def test_other_outputs(rb, place, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = rb("gate", "new", "--min", "accuracy=0.99", "--junit", "made/gate.xml", "--summary", "gate.md")
    assert ElementTree.parse(place / "made" / "gate.xml").getroot()[0].get("failures") == "1"
    assert "INCONCLUSIVE" in (place / "gate.md").read_text(encoding="utf-8")
    assert "\n::warning title=" in done.out
    quiet = rb("gate", "new", "--min", "accuracy=0.99", "--json")
    assert quiet.document["verdict"] == "INCONCLUSIVE"
    assert quiet.err.startswith("::warning title=")


def test_plan(rb, place):
    words = ("--min", "accuracy@night=0.75", "--max-drop", "accuracy=0.01", "--baseline", "old")
    document = rb("gate", "new", *words, "--plan", "--json").document
    share, change = document["plans"]
    assert document["power"] == 0.8
    assert share["n"] == change["n"] == 100
    assert 300 < share["needed"] < 600  # about (1.645 √(0.75 · 0.25) + 0.842 √(0.8 · 0.2))² / 0.05² = 439
    assert change["assumed"] == "no change, 1.00 % of the images change"
    printed = rb("gate", "new", "--min", "accuracy@night=0.75", "--min", "accuracy@fog=0.5", "--plan")
    assert printed.code == 0
    assert str(share["needed"]) in printed.out
    assert "cannot be planned: Nothing matched" in printed.err
    assert not (place / "new" / "gate.json").exists()
    asked = rb("gate", "new", "--min", "accuracy@night=0.75", "--plan", "--margin", "0.02", "--json").document
    assert asked["plans"][0]["needed"] > 4 * share["needed"]


def test_a_baseline_is_replaced_by_what_passed_alone(rb, place):
    (place / "rb.toml").write_text(RULES)
    worse = [("clean", "clean", None, [], 0.7, 0), ("night(severity=1)", "shift", 1.0, [], 0.6, 0)]
    write_made(place / "worse", Made(examples=0, record={"id": "worse"}, conditions=worse))
    done = rb("gate", "worse", "--update-baseline")
    assert done.code == 3
    assert "left as it is" in done.err
    assert read_run(place / "old").record.id == "old"
    done = rb("gate", "new", "--update-baseline")
    assert done.code == 0
    assert "baseline: old is now new, instead of old, which is kept as old.before\n" in done.err
    assert read_run(place / "old.before").record.id == "old"
    assert read_run(place / "old").record.id == "new"
    assert not (place / "old" / "gate.json").exists()
    done = rb("gate", "worse", "--update-baseline", "--force")
    assert (done.code, "kept as old.before-2\n" in done.err) == (3, True)
    assert read_run(place / "old").record.id == "worse"
    assert sorted(p.name for p in place.iterdir()) == [
        "new",
        "old",
        "old.before",
        "old.before-2",
        "rb.toml",
        "worse",
    ]
    assert [read_run(place / name).record.id for name in ("old.before", "old.before-2")] == ["old", "new"]


def test_the_first_baseline_and_one_that_is_a_link(rb, place):
    shutil.rmtree(place / "old")
    (place / "rb.toml").write_text(RULES)
    assert rb("gate", "new").code == 2
    done = rb("gate", "new", "--update-baseline")
    assert done.code == 0
    assert "baseline: old is now new" in done.err
    (place / "rb.toml").unlink()
    write_made(place / "next", Made(examples=0, record={"id": "next"}))
    (place / "main").symlink_to("old")
    words = ("--max-drop", "accuracy=0.1", "--baseline", "main", "--update-baseline")
    assert rb("gate", "next", *words).code == 0
    assert (place / "main").readlink().name == "next"
    assert read_run(place / "old").record.id == "new"


def test_the_first_baseline_is_no_verdict(rb, place):
    words = ("--max-drop", "accuracy=0.02", "--baseline", "base", "--update-baseline")
    wanted = ("--junit", "g.xml", "--summary", "g.md", "--json", "--out", "g.json")
    said = "No rule was judged: there was no baseline yet."
    done = rb("gate", "new", *words, *wanted)
    assert done.code == 0
    assert said in done.err
    assert done.document == json.loads((place / "g.json").read_text())
    assert (done.document["verdict"], done.document["words"]) == (None, said)
    suite = ElementTree.parse(place / "g.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("skipped")) == ("1", "1")
    assert suite.find("testcase/skipped").get("message") == said
    assert said in (place / "g.md").read_text(encoding="utf-8").replace("\\", "")
    assert read_run(place / "base").record.id == "new"
    assert not (place / "new" / "gate.json").exists()


def test_a_rule_that_waits_for_its_baseline_is_told_of(rb, place):
    shutil.rmtree(place / "old")
    (place / "rb.toml").write_text(RULES)
    done = rb("gate", "new", "--update-baseline", "--json")
    assert done.document["warnings"] == ["night was not judged: there was no baseline yet."]
    assert not (place / "new" / "gate.json").exists()


def test_a_general_baseline_of_rules_about_the_run_alone(rb, place):
    words = ("gate", "new", "--baseline", "old", "--update-baseline")
    assert rb(*words, "--min", "accuracy=0.99").code == 4
    assert read_run(place / "old").record.id == "old"
    for name in ("old", "first"):
        done = rb("gate", "new", "--min", "accuracy=0.5", "--baseline", name, "--update-baseline")
        assert (done.code, read_run(place / name).record.id) == (0, "new")


@pytest.mark.parametrize(
    ("rule", "about"), [("accuracy", "clean"), ("mean_accuracy", "all conditions"), ("accuracy@night", "night")]
)
def test_what_a_rule_that_could_not_be_judged_is_about(rb, place, rule, about):
    (match,) = rb("gate", "new", "--max-drop", f"{rule}=0.1", "--json").document["results"][0]["matches"]
    assert (match["verdict"], match["condition"]) == ("ERROR", about)
    told = rb("gate", "new", "--max-drop", f"{rule}=0.1", "--summary", "g.md")
    assert told.code == 3
    under_clean = "under clean" in (place / "g.md").read_text(encoding="utf-8")
    assert under_clean == (about == "clean")


def damaged(place):
    (place / "bad").mkdir()
    (place / "bad" / "run.json").write_text("{")


def newer(place):
    shutil.copytree(place / "new", place / "bad")
    record = json.loads((place / "bad" / "run.json").read_text())
    (place / "bad" / "run.json").write_text(json.dumps({**record, "schema_version": 99}))


def no_parquet(place):
    shutil.copytree(place / "new", place / "bad")
    (place / "bad" / "samples.parquet").write_bytes(b"PAR1 and then nothing")


@pytest.mark.parametrize(
    ("prepare", "words", "said"),
    [
        (None, ["new"], "there is no rule"),
        (None, ["nothing", "--min", "accuracy=0.5"], "nothing is no run"),
        (None, [".", "--min", "accuracy=0.5"], "Give one of the runs in it, such as old"),
        (None, ["new", "new", "--min", "accuracy=0.5"], "are the same run"),
        (None, ["new", "--min", "acuracy=0.5"], "Did you mean 'accuracy'"),
        (None, ["new", "--min", "accuracy"], "cannot read --min 'accuracy'"),
        (None, ["new", "--min", "accuracy@night(severity=3)"], "the =NUMBER is missing"),
        (None, ["new", "--max", "accuracy=50"], "0.5 for 50 %"),
        (None, ["new", "--max-drop", "accuracy=5", "--baseline", "old"], "0.05 for 5 %"),
        (None, ["new", "--min", "accuracy=much"], "'much' is not a number"),
        (None, ["new", "--max-drop", "accuracy=-1"], "is no rule: Input should be greater than or equal to 0"),
        (
            None,
            ["new", "--rule", "clean"],
            "unknown rule 'clean': there is no configuration. Write [[gate]]",
        ),
        (None, ["new", "--min", "accuracy=0.5", "--update-baseline"], "no rule has a baseline"),
        (
            None,
            ["new", "old", "--max-drop", "accuracy=1", "--baseline", "x", "--update-baseline"],
            "2 runs cannot",
        ),
        (None, ["new", "--min", "accuracy=0.5", "--force"], "--force says nothing without --update-baseline"),
        (None, ["new", "--min", "accuracy=0.5", "--margin", "0.1"], "--margin says nothing without --plan"),
        (None, ["new", "--min", "accuracy=0.5", "--plan", "--update-baseline"], "two things"),
        (None, ["new", "--config", "none.toml", "--min", "accuracy=0.5"], "cannot read none.toml"),
        (None, ["new", "--max-drop", "accuracy=0.1", "--baseline", "none"], "none is no run"),
        (damaged, ["bad", "--min", "accuracy=0.5"], "run.json is damaged"),
        (newer, ["bad", "--min", "accuracy=0.5"], "schema version 99"),
        (no_parquet, ["bad", "--min", "accuracy=0.5"], "samples.parquet is damaged"),
    ],
)
def test_bad_input(refused, place, prepare, words, said):
    if prepare is not None:
        prepare(place)
    assert said in refused("gate", *words)
    assert not (place / "new" / "gate.json").exists()


def test_malformed_toml_has_line_and_column(refused, place):
    (place / "rb.toml").write_text("[[gate]]\nid = 'a'\nmin = = 3\n")
    assert "rb.toml:3:7" in refused("gate", "new")


def test_options_that_a_rule_leaves_no_room_for_are_told(rb, place):
    (place / "rb.toml").write_text(RULES)
    write_made(place / "other", Made(examples=0, record={"id": "other"}))
    done = rb("gate", "new", "--baseline", "other")
    assert "--baseline is not used for night: the rule names its own, old\n" in done.err
    assert "not used" not in rb("gate", "new").err
    done = rb("gate", "new", "--plan", "--margin", "0.06")
    assert "--margin is more than max_drop = 0.05 of night: no change is assumed there" in done.err
    assert "no change" not in rb("gate", "new", "--plan", "--margin", "0.05").err


def test_a_path_keeps_its_case(rb, place):
    (place / "empty").mkdir()
    write_made(
        place / "empty" / "old", Made(examples=0, record={"id": "far"}, data={"manifest_sha256": "ef" * 32})
    )
    done = rb("gate", "new", "--max-drop", "accuracy=0.1", "--baseline", "empty/old", "--json")
    words = done.document["results"][0]["words"]
    assert words.startswith("empty/old is about other images than new")


def test_what_mce_is_a_share_of_is_not_replaced(rb, refused, place):
    rule = '[[gate]]\nid = "mce"\nmetric = "mce"\nmax = 0.9\nbaseline = "old"\n'
    (place / "rb.toml").write_text(rule)
    assert "no rule has a baseline to update" in refused("gate", "new", "--update-baseline", "--force")
    (place / "rb.toml").write_text(f'{rule}[[gate]]\nid = "drop"\nmax_drop = 0.5\nbaseline = "main"\n')
    done = rb("gate", "new", "--rule", "mce", "--baseline", "./old", "--update-baseline", "--force")
    assert (done.code, "no rule has a baseline to update" in done.err) == (2, True)
    rb("gate", "new", "--update-baseline", "--force")
    assert (read_run(place / "old").record.id, read_run(place / "main").record.id) == ("old", "new")


@pytest.mark.parametrize(
    ("record", "words", "said"),
    [
        (
            {"status": "interrupted", "unfinished": ".unfinished-1", "argv": ["/usr/bin/rb", "eval", "--resume"]},
            [],
            "was interrupted before its end: it is no baseline. Finish it: rb eval --resume",
        ),
        ({"status": "interrupted"}, [], "no baseline. Run it again: rb attack --on 'pgd(eps=0.1)'"),
        ({"status": "failed"}, ["--force"], "was failed before its end: it is no baseline."),
        (
            {"shard": {"index": 1, "count": 2, "n_whole": 200}},
            [],
            "is part 1 of 2: it is no baseline. Join the parts",
        ),
        ({"demo": True}, ["--force"], "is of the demo network, and says nothing about yours: it is no baseline."),
    ],
)
def test_what_is_no_baseline(rb, refused, place, record, words, said):
    write_made(place / "bad", Made(examples=0, record={"id": "bad", **record}))
    asked = ("gate", "bad", "--max-drop", "accuracy=0.1", "--update-baseline", *words)
    for baseline in ("first", "old"):
        assert said in refused(*asked, "--baseline", baseline)
    assert not (place / "first").exists()
    assert read_run(place / "old").record.id == "old"
    if "demo" in record:
        assert rb(*asked, "--baseline", "first", "--allow-demo").code == 0
        assert read_run(place / "first").record.id == "bad"
