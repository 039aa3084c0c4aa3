"""What ``rb outliers test --out`` writes, and what --out is said to be."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def words(rb):
    done = rb("outliers", "fit", "--normal", "0,1,2", "--score", "pca", "--false-alarms", "0.1", "--no-probes")
    assert done.code == 0, done.err
    return ("outliers", "test", "detector", "--limit", "100")


def test_the_document_and_a_row_per_image(rb, words, tmp_path):
    done = rb(*words, "--out", "judged/first", "--json")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "judged/first/test.json").read_text(encoding="utf-8")) == done.document
    table = pd.read_csv(tmp_path / "judged/first/scores.csv", dtype={"class_name": str})
    assert list(table.columns) == ["file", "class_name", "score", "alarm", "outlier"]
    assert table["outlier"].sum() == done.document["n_outliers"]
    assert (~table["outlier"]).sum() == done.document["n_normal"]
    assert np.isclose(table["alarm"][table["outlier"]].mean(), done.document["tpr"])
    assert set(table["class_name"][~table["outlier"]]) == {"0", "1", "2"}


def test_a_place_that_is_taken(rb, refused, words, tmp_path):
    done = rb(*words, "--out", "judged")
    assert "files: test.json, scores.csv in judged" in done.out
    assert "the promise: kept" in done.out
    assert "judged exists already" in refused(*words, "--out", "judged")
    assert rb(*words, "--out", "judged", "--overwrite", "--limit", "90").code == 0
    assert len(pd.read_csv(tmp_path / "judged/scores.csv")) == 90
    (tmp_path / "judged/mine.txt").write_text("")
    assert "holds mine.txt too" in refused(*words, "--out", "judged", "--overwrite")
    assert "holds no test" in refused(*words, "--out", "detector", "--overwrite")
    assert "is a file" in refused(*words, "--out", "judged/mine.txt", "--overwrite")


def test_both_files_or_none(rb, words, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    done = rb(*words, "--out", "judged")
    assert (done.code, "cannot write judged: No space left on device" in done.err) == (2, True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["detector"]


@pytest.mark.parametrize(
    ("command", "said"),
    [("fit", "default: detector"), ("score", "default: scores"), ("test", "nothing is written")],
)
def test_the_default_of_out_is_said(rb, command, said):
    assert said in " ".join(rb("outliers", command, "--help").out.replace("│", " ").split())
