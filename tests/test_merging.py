"""What a merge makes of rows, checks and every field of the record, without a network."""

import dataclasses
import json

import pytest
from made_runs import Made, write_made, write_shards
from pydantic import BaseModel
from typer.testing import CliRunner

from robustbench_lite.cli.app import app
from robustbench_lite.errors import InputError
from robustbench_lite.merged_record import _checks
from robustbench_lite.merging import _rows, merge
from robustbench_lite.records import CheckRecord, ConditionRecord, DataRecord, GuardRecord, ModelRecord, RunRecord


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
    assert found.seen == "2/3: it passed. 1/3, 3/3: not run, it not run."


# Every field of the record: what a shard that says something else in it comes to. The values are of the made-up
# run with the change made in the second of two shards: "they differ in …", a note, a sum, or what is taken.

CHECK = {"name": "noise", "status": "passed", "seen": "it is.", "command": "rb doctor"}
GUARD = {
    "folder": "guard",
    "sha256": "ef",
    "input_shape": [1, 8, 8],
    "members": {"pca": 1.0},
    "threshold": 1.5,
    "false_alarms_promised": 0.05,
    "false_alarms_promised_low": 0.03,
    "false_alarms_promised_high": 0.07,
    "n_calibrated": 100,
    "n_seen": 2,
    "without_gradient": [],
}
SEARCHES = {
    "ranges": "night(severity=0..5)",
    "tries": 9,
    "method": "gradient",
    "together": "night",
    "each": "found",
    "forwards": 1,
    "gradients": 1,
    "seconds": 1.0,
}
BREAKING = {
    "shift": "night",
    "share": 0.9,
    "tolerance": 0.5,
    "severity": None,
    "ci_low": 5.0,
    "ci_high": None,
    "scan": [],
    "severities": [],
    "notes": [],
}
REFUSED = {
    "seed": (8, "seed (7, 8)"),
    "as_8bit": (True, "rounding to 8 bits (False, True)"),
    "demo": (True, "shape of the network"),
    "dtype": ("float64", "dtype (float32, float64)"),
    "code_sha256": ("12", "code (, 12)"),
    "checks": ([CHECK], "trust checks"),
    "detector": (None, "detector"),
    "model.weights_sha256": ("ba" * 32, "network (its weights)"),
    "model.parameters": (1, "shape of the network"),
    "model.input_shape": (None, "shape of the network"),
    "model.num_classes": (9, "shape of the network"),
    "model.mean": ([0.5], "normalisation"),
    "model.std": ([0.5], "normalisation"),
    "data.split": ("all", "--split (test, all)"),
    "data.class_names": (["a"], "classes"),
    "data.manifest_sha256": ("0", "images"),
    "data.image_shape": ([1, 9, 9], "image shape"),
    "data.n_asked": (41, "images"),
    "data.n_groups": (3, "groups (None, 3)"),
    "data.eps": ({"linf": 0.2}, "usual budgets"),
    "conditions.0.spec": ("flip", "conditions"),
    "conditions.1.kind": ("chain", "arguments of conditions"),
    "conditions.1.severity": (1.0, "arguments of conditions"),
    "conditions.1.parameters": ([{"name": "pgd", "steps": 11}], "arguments of conditions"),
    "conditions.1.values": ({"gain": 2.0}, "arguments of conditions"),
    "conditions.1.from_clean": (False, "arguments of conditions"),
    "conditions.1.threat_model": ([], "arguments of conditions"),
    "conditions.1.members": (["fgsm"], "arguments of conditions"),
    "conditions.1.checks": ([CHECK], "trust checks"),
    **{f"detector.{name}": ("other" if name == "sha256" else 0.5, "detector") for name in GUARD},
    "detector.input_shape": ([3, 8, 8], "detector"),
    "detector.members": ({"pca": 0.5}, "detector"),
    "detector.n_calibrated": (99, "detector"),
    "detector.without_gradient": (["pca"], "detector"),
    **{f"config.{name}": (9, f"--{name}".replace("_", "-")) for name in ("limit", "first", "resize", "channels")},
    "config.input_size": ("9", "--input-size"),
    "config.max_damaged": (0.5, "--max-damaged (None, 0.5)"),
    "config.group": ("part", "--group (None, part)"),
    "config.batch_size": (9, "batch size (8, 9)"),
}
del REFUSED["detector.folder"], REFUSED["detector.n_seen"]
NOTED = {
    "command": ("eval", "command"),
    "suites": ({"quick": ["night"]}, "suites"),
    "git": (None, "git state"),
    "device": ("cuda", "different devices"),
    "packages": ({"torch": "9"}, "different versions"),
    "model.spec": ("net.safetensors", "name of the network"),
    "data.spec": ("folder:elsewhere", "name of the images"),
    "detector.folder": ("elsewhere", "folder of the detector"),
    "config.weights": ("elsewhere.pt", "name of the network"),
    "config.data_root": ("elsewhere", "name of the images"),
    "conditions.1.saved": ("saved/01", "are in the folders of the shards"),
}
# value in the second, that of the whole
MADE_OF_BOTH = {
    "seconds": (5.0, 17.0),
    "resumed": (2, 2),
    "model.notes": (["two"], ["two"]),
    "data.notes": (["two"], ["two"]),
    "conditions.1.forwards": (7, 41 * 80 + 7),
    "conditions.1.gradients": (7, 40 * 80 + 7),
    "conditions.1.seconds": (5.0, 6.25),
    "conditions.1.warnings": (["weak"], ["shard 2/2: weak"]),
    "conditions.1.check_passes": (4, 4),
    "conditions.1.detector_forwards": (4, 4),
    "conditions.1.detector_gradients": (4, 4),
    "detector.n_seen": (3, 5),
    "argv": (["rb", "eval"], ["/usr/bin/rb", "attack", "--on", "pgd(eps=0.1)"]),
    "origins": ({"model": "option"}, {}),
    "config.model": ("other", None),
    "config.device": ("cuda", None),
    "config.mean": ("0.3", None),  # it stands in the network's
    "unfinished": (".unfinished-1", ""),
}
# Tests of their own: what tells shards apart, their rows, damaged images, and pictures (tests/evaluation).
ELSEWHERE = {
    *("schema_version", "id", "status", "created", "config", "shard", "merged", "rows_sha256", "examples"),
    *("data.n_used", "data.n_skipped", "data.skipped", "conditions.1.n", "conditions.1.curve"),
    *("breaking_points", "searches", "model", "data", "conditions"),
}


def said(record: dict, path: str):
    *above, last = path.split(".")
    for key in above:
        record = record[int(key) if key.isdecimal() else key]
    return record, last


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two shards of 80 images, with a detector, that belong together."""
    made = Made(n=80, record={"detector": GUARD})
    return write_shards(tmp_path_factory.mktemp("shards"), made)


def with_field(run, path, value):
    record = json.loads(run.record.model_dump_json())
    inside, last = said(record, path)
    inside[last] = value
    return run.replace(record=RunRecord.model_validate(record))


@pytest.mark.parametrize("path", REFUSED)
def test_shards_that_differ_in_what_makes_rows_are_refused_by_name(pair, tmp_path, path):
    value, told = REFUSED[path]
    first, second = pair
    with pytest.raises(InputError) as error:
        merge([first, with_field(second, path, value)], tmp_path / "whole")
    words = str(error.value)
    assert f"{first.path}, shard 1/2, and {second.path}, shard 2/2, are no shards of one run" in words
    assert "they differ in " in words
    assert told in words
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("path", NOTED)
def test_what_may_differ_is_noted(pair, tmp_path, path):
    value, told = NOTED[path]
    first, second = pair
    whole = merge([first, with_field(second, path, value)], tmp_path / "whole").record
    assert whole.status == "done"
    (note,) = whole.data.notes
    assert told in note


@pytest.mark.parametrize("path", MADE_OF_BOTH)
def test_the_rest_is_added_up_or_taken(pair, tmp_path, path):
    value, wanted = MADE_OF_BOTH[path]
    first, second = pair
    whole = merge([first, with_field(second, path, value)], tmp_path / "whole")
    inside, last = said(json.loads(whole.record.model_dump_json()), path)
    assert inside.get(last) == wanted
    assert whole.record.data.notes == (wanted if path == "data.notes" else [])


def test_of_every_field_it_is_decided_what_a_merge_does_with_it():
    parts: dict[str, type[BaseModel]] = {
        "": RunRecord,
        "model.": ModelRecord,
        "data.": DataRecord,
        "detector.": GuardRecord,
        "conditions.1.": ConditionRecord,
    }
    fields = {prefix + name for prefix, model in parts.items() for name in model.model_fields}
    from robustbench_lite.inputs import Inputs

    fields |= {f"config.{f.name}" for f in dataclasses.fields(Inputs)}
    elsewhere = {"config.origins", "config.data", "config.split", "config.download", "config.std", "config.seed"}
    decided = REFUSED.keys() | NOTED.keys() | MADE_OF_BOTH.keys() | ELSEWHERE | elsewhere
    assert {path.replace("conditions.0.", "conditions.1.") for path in decided} == fields


@pytest.mark.parametrize(("field", "value"), [("searches", SEARCHES), ("breaking_points", BREAKING)])
def test_a_search_has_no_shards(pair, tmp_path, field, value):
    first, second = pair
    with pytest.raises(InputError, match=r"2 is of a search, which looks at all images together"):
        merge([first, with_field(second, field, [value])], tmp_path / "whole")


# Rows


def test_shards_without_fault_are_merged(pair, tmp_path):
    whole = merge(pair, tmp_path / "whole")
    assert (whole.record.status, whole.record.data.n_used) == ("done", 80)
    assert [c.n for c in whole.record.conditions] == [80] * 8
    assert len(merge(pair[1:], tmp_path / "part", allow_missing=True).samples) == 8 * 40


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.iloc[:-1], r"it has 39 rows of night\(severity=2\) \+ pgd.*, and run.json says 40"),
        (lambda rows: rows[rows["condition"] != "night"], "it has 0 rows of night, and run.json says 40"),
        (lambda rows: rows.replace({"condition": {"night": "fog"}}), "rows of fog, which run.json does not name"),
        (lambda rows: rows.replace({"index": {8: 9}}), "it has the image 9 twice"),
        (lambda rows: rows.replace({"index": {8: 0}}), "it has the image 0, which is of another shard"),
    ],
)
@pytest.mark.parametrize("allow_missing", [False, True])
def test_a_shard_whose_rows_are_not_those_of_its_record_is_refused(pair, tmp_path, change, told, allow_missing):
    first, second = pair
    torn = second.replace(samples=change(second.samples))
    with pytest.raises(InputError, match=rf"2, shard 2/2, is damaged: .*{told}"):
        merge([torn, first], tmp_path / "whole", allow_missing=allow_missing)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("config.batch_size", "8", "shard 1/2, is damaged: batch_size or max_damaged"),
        ("config.batch_size", None, "shard 1/2, is damaged: batch_size or max_damaged"),
        ("config.batch_size", 0, "shard 1/2, is damaged: batch_size or max_damaged"),
        ("config.max_damaged", "all", "shard 1/2, is damaged: batch_size or max_damaged"),
        ("data.skipped", [{"name": "a.png"}], "run.json"),
    ],
)
def test_a_record_that_somebody_wrote_into_is_refused(tmp_path, place, value, told):
    part, name = place.split(".")
    shards = write_shards(tmp_path, Made(n=16))
    for run in shards:
        file = run.path / "run.json"
        said = json.loads(file.read_text())
        said[part][name] = value
        file.write_text(json.dumps(said))
    with pytest.raises(InputError) as refused:
        merge([run.path for run in shards], tmp_path / "whole")
    assert told in str(refused.value)


def fewer(run, n):
    """The same with the first n images, in its record too."""
    rows = run.samples[run.samples["index"].isin(run.samples["index"].unique()[:n])]
    record = json.loads(run.record.model_dump_json())
    record["data"]["n_used"] = n
    for condition in record["conditions"]:
        condition["n"] = n
    return run.replace(record=RunRecord.model_validate(record), samples=rows)


def test_a_finished_shard_has_all_its_images_but_for_damaged_ones(pair, tmp_path):
    first, second = pair
    with pytest.raises(InputError, match=r"2/2, is damaged: it has 39 images and 0 that cannot be read, of 40\."):
        merge([first, fewer(second, 39)], tmp_path / "whole")
    torn = fewer(second, 39)
    torn = with_field(torn, "data.skipped", [{"file": "a.png", "reason": "cut off"}])
    torn = with_field(torn, "data.n_skipped", 1)
    whole = merge([first, torn], tmp_path / "whole").record
    assert (whole.status, whole.data.n_used, whole.data.n_skipped) == ("done", 79, 1)
    strict = [with_field(run, "config.max_damaged", 1 / 81) for run in (first, torn)]
    assert merge(strict, tmp_path / "strict").record.status == "failed"  # too many of all, as without shards
    with pytest.raises(InputError, match=r"2/2, is damaged: it has 40 rows of clean for 39 images"):
        merge([first, with_field(second, "data.n_used", 39)], tmp_path / "again")


def test_an_unfinished_shard_may_lack_images_and_checks_and_is_no_store(pair, tmp_path):
    first, second = pair
    part = with_field(fewer(first, 3), "status", "interrupted")
    part = with_field(with_field(part, "checks", [CHECK]), "unfinished", ".unfinished-1")
    with pytest.raises(InputError, match="shard 1/2, is unfinished"):
        merge([part, second], tmp_path / "whole")
    whole = merge([part, second], tmp_path / "whole", allow_missing=True).record
    assert (whole.status, whole.data.n_used, whole.unfinished) == ("interrupted", 43, "")


def test_the_command_says_which_shard_in_one_line(pair, tmp_path):
    first, second = (run.path for run in pair)
    record = json.loads((second / "run.json").read_text())
    record["config"]["resize"] = 96
    record["conditions"][3]["n"] = 41
    other = tmp_path / "other"
    other.mkdir()
    (other / "samples.parquet").write_bytes((second / "samples.parquet").read_bytes())
    for told in (
        "they differ in --resize (None, 96)",
        "shard 2/2, is damaged: it has 40 rows of night(severity=1)",
    ):
        (other / "run.json").write_text(json.dumps(record))
        done = CliRunner().invoke(app, ["merge", str(first), str(other), "--out", str(tmp_path / "whole")])
        assert done.exit_code == 2
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
        record["config"].pop("resize", None)
