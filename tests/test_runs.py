import os
from pathlib import Path

import pandas as pd
import pytest

from robustbench_lite.errors import InputError
from robustbench_lite.provenance import git_state
from robustbench_lite.records import SCHEMA_VERSION, RunRecord
from robustbench_lite.run_folder import RunFolder, new_id
from robustbench_lite.run_rows import COLUMNS
from robustbench_lite.runs import read_run

RECORD = {
    "id": "20260101T000000Z-attack-01234567",
    "command": "attack",
    "status": "done",
    "created": "2026-01-01T00:00:00+00:00",
    "argv": ["rb", "ß and 漢"],
    "config": {"eps": float("inf")},
    "demo": True,
    "seed": 0,
    "as_8bit": False,
    "packages": {},
    "git": None,
    "model": {
        "spec": "demo",
        "weights_sha256": "00",
        "parameters": 1,
        "input_shape": None,
        "num_classes": 2,
        "mean": [],
        "std": [],
        "notes": [],
    },
    "data": {
        "spec": "digits",
        "split": "test",
        "class_names": ["a", "b"],
        "manifest_sha256": "00",
        "image_shape": [1, 8, 8],
        "n_asked": 2,
        "n_used": 2,
        "n_skipped": 0,
        "skipped": [],
        "n_groups": None,
    },
    "device": "cpu",
    "dtype": "float32",
    "seconds": 0.5,
    "conditions": [],
    "examples": [
        {
            "condition": "clean",
            "role": "worst",
            "sample_id": "x0",
            "file": "0",
            "label": 0,
            "clean_prediction": -1,
            "prediction": -1,
            "confidence": float("nan"),
            "clean": "images/0.png",
            "changed": "images/0.png",
        }
    ],
}


def samples() -> pd.DataFrame:
    texts = {c: ["x0", "x1"] for c, kind in COLUMNS.items() if kind == "string"}
    numbers = {c: [0, 1] for c, kind in COLUMNS.items() if kind != "string"}
    return pd.DataFrame({**texts, **numbers, "group": None, "severity": [None, 3.0]})


def commit(path: Path) -> Path:
    return RunFolder(path).commit(RunRecord.model_validate(RECORD), samples(), {"images/0.png": b"png"})


def test_a_run_reads_back_as_it_was_written(tmp_path):
    run = read_run(commit(tmp_path / "new" / "run"))
    again = run.record.model_dump()
    assert run.record.schema_version == SCHEMA_VERSION
    assert again["model"] == RECORD["model"]
    assert again["argv"] == RECORD["argv"]
    assert pd.isna(run.record.examples[0].confidence)
    assert list(run.samples.columns) == list(samples().columns)
    assert {column: str(kind) for column, kind in run.samples.dtypes.items()} == {
        column: COLUMNS[column] for column in run.samples
    }
    assert run.samples["group"].isna().all()
    assert (run.path / "images" / "0.png").read_bytes() == b"png"


def test_nothing_is_left_beside_a_run_and_others_may_read_it(tmp_path):
    path = commit(tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o777 & ~mask


def test_a_run_appears_whole_and_a_discarded_one_leaves_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken_as_the_place(tmp_path):
    (tmp_path / "run").mkdir()
    assert read_run(commit(tmp_path / "run")).record.command == "attack"


@pytest.mark.parametrize("taken", ["folder", "file"])
def test_a_place_that_is_taken_is_refused_and_left_alone(tmp_path, taken):
    path = tmp_path / "run"
    if taken == "folder":
        path.mkdir()
        (path / "mine").write_text("mine")
    else:
        path.write_text("mine")
    with pytest.raises(InputError, match="exists already") as caught:
        RunFolder(path)
    assert caught.value.exit_code == 2
    assert [p.name for p in tmp_path.rglob("*")] == (["run", "mine"] if taken == "folder" else ["run"])


def test_a_place_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*run: .*file is a file, not a folder") as caught:
        RunFolder(tmp_path / "file" / "run")
    assert caught.value.exit_code == 2
    assert caught.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        RunFolder(tmp_path / "run")
    tmp_path.chmod(0o700)


def test_a_folder_that_refuses_is_said_with_exit_code_2(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(InputError, match=r"cannot write to .*: Permission denied\.") as caught:
        RunFolder(tmp_path / "run")
    assert caught.value.exit_code == 2


def _not_json(run: Path) -> None:
    (run / "run.json").write_text('{"schema_version": 1, ')


def _not_text(run: Path) -> None:
    (run / "run.json").write_bytes(b"\xff\xfe\x00")


def _a_list(run: Path) -> None:
    (run / "run.json").write_text("[]")


def _no_record(run: Path) -> None:
    (run / "run.json").unlink()


def _field_missing(run: Path) -> None:
    text = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").write_text(text.replace('"seed": 0,', ""), encoding="utf-8")


def _of_version(run: Path, version: int) -> None:
    text = (run / "run.json").read_text(encoding="utf-8")
    other = text.replace(f'"schema_version": {SCHEMA_VERSION}', f'"schema_version": {version}, "unheard_of": 1')
    (run / "run.json").write_text(other, encoding="utf-8")


def _newer(run: Path) -> None:
    _of_version(run, 99)


def _older(run: Path) -> None:
    _of_version(run, 1)


def _no_rows(run: Path) -> None:
    (run / "samples.parquet").unlink()


def _not_parquet(run: Path) -> None:
    (run / "samples.parquet").write_bytes(b"no parquet at all")


def _empty_rows(run: Path) -> None:
    (run / "samples.parquet").write_bytes(b"")


def _cut_rows(run: Path) -> None:
    content = (run / "samples.parquet").read_bytes()
    (run / "samples.parquet").write_bytes(content[: len(content) // 2])


def _column_missing(run: Path) -> None:
    samples().drop(columns=["margin", "linf"]).to_parquet(run / "samples.parquet")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_not_json, "run.json is damaged"),
        (_not_text, "run.json is damaged"),
        (_a_list, "run.json is damaged"),
        (_no_record, "is no run"),
        (_field_missing, "run.json is damaged: seed: Field required"),
        (_newer, "has schema version 99; this release reads 6. Upgrade"),
        (_older, "has schema version 1; this release reads 6. It is too old: run it again"),
        (_no_rows, "samples.parquet is missing"),
        (_not_parquet, "samples.parquet is damaged"),
        (_empty_rows, "samples.parquet is damaged"),
        (_cut_rows, "samples.parquet is damaged"),
        (_column_missing, "samples.parquet lacks margin, linf"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(tmp_path, damage, message):
    run = commit(tmp_path / "run")
    damage(run)
    with pytest.raises(InputError, match=message) as caught:
        read_run(run)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_rows_of_another_run_are_refused(tmp_path):
    """As where a run takes the place of another while that is read."""
    run, other = commit(tmp_path / "run"), tmp_path / "other"
    record = RunRecord.model_validate(RECORD)
    RunFolder(other).commit(record, samples().assign(correct=0), {})
    (other / "samples.parquet").replace(run / "samples.parquet")
    with pytest.raises(InputError, match=r"does not belong to the run\.json"):
        _ = read_run(run).samples
    with pytest.raises(InputError, match=r"does not belong to the run\.json"):
        read_run(run).rows(["correct"], ["clean"])
    assert (
        read_run(commit(tmp_path / "third")).rows(["correct"])["correct"].tolist() == samples()["correct"].tolist()
    )


@pytest.mark.parametrize("step", range(0, 4000, 97))
def test_rows_with_a_wrong_byte_are_read_or_refused(tmp_path, step):
    run = commit(tmp_path / "run")
    content = bytearray((run / "samples.parquet").read_bytes())
    content[step % len(content)] ^= 0x55
    (run / "samples.parquet").write_bytes(content)
    message = ""
    try:
        assert len(read_run(run).samples)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


def test_ids_sort_by_time_and_differ():
    first, second = new_id("attack"), new_id("attack")
    assert first != second
    assert first[:9] <= second[:9]
    assert first.split("-")[1] == "attack"


def test_outside_a_repository_there_is_no_git_state(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None


def test_the_current_folder_is_refused(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="exists already"):
        RunFolder(Path("."))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["here"]
