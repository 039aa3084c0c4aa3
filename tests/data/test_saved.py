"""Images that a run saved: exact in the .npz, rounded in the PNG, and the same samples when they are replayed."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.runner import Inputs, prepare, run
from robustbench_lite.runs import read_run

FGSM = "fgsm(eps=0.1)"
NETWORK = """
import torch
from torch import nn


class Bright(nn.Module):
    'Is the mean above 0.45?'

    def __init__(self):
        super().__init__()
        self.border = nn.Parameter(torch.tensor(0.45))

    def forward(self, x):
        mean = x.flatten(1).mean(1, keepdim=True) - self.border
        return torch.cat([-mean, mean], 1)
"""


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """Twelve off-grid images of two classes with a camera each, and a network file for them."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    labels = np.arange(12) % 2
    images = (0.1 + 0.5 * labels[:, None, None] + 0.2 * random.random((12, 6, 8))).astype(np.float32)
    np.savez(folder / "d.npz", images=images, labels=labels, class_names=["dark", "light"], groups=labels + 7)
    (folder / "net.py").write_text(NETWORK)
    return folder / "d.npz"


def inputs_of(npz, data=None, **changes):
    return Inputs(model=f"{npz.parent / 'net.py'}:Bright", data=data or f"npz:{npz}", split="all", **changes)


@pytest.fixture(scope="module")
def saved(npz, tmp_path_factory):
    """A run over these images with everything saved, two images at a time."""
    return make(npz, tmp_path_factory.mktemp("runs") / "one", [FGSM, "night(severity=2)"])


def make(npz, out, conditions, **arguments):
    return run(
        prepare(inputs_of(npz, batch_size=5), conditions), command="eval", out=out, save_images=True, **arguments
    )


def condition_rows(result, spec):
    return result.samples[result.samples["condition"] == spec].reset_index(drop=True)


def test_the_npz_holds_the_images_that_were_scored_and_all_that_is_known(saved):
    for number, spec in enumerate(["clean", FGSM, "night(severity=2)"]):
        rows, path = condition_rows(saved, spec), saved.record.conditions[number].saved
        with np.load(saved.path / path, allow_pickle=False) as file:
            assert file["images"].dtype == np.float32
            assert file["images"].shape == (12, 1, 6, 8)
            assert str(file["spec"]) == spec
            assert file["class_names"].tolist() == ["dark", "light"]
            for name, column in {
                "labels": "label",
                "indices": "index",
                "predictions": "prediction",
                "sample_ids": "sample_id",
                "files": "file",
                "groups": "group",
            }.items():
                assert file[name].tolist() == rows[column].tolist()
            if number == 0:
                clean = file["images"]
            sizes = np.sqrt(((file["images"] - clean) ** 2).sum((1, 2, 3)))
        np.testing.assert_allclose(sizes, rows["l2"], atol=1e-5)
    assert not list(saved.path.rglob("*.raw"))


def test_every_image_has_a_png_which_rounds(saved):
    path = saved.path / saved.record.conditions[1].saved
    exact = np.load(path)["images"]
    pictures = sorted(path.with_suffix("").glob("*.png"))
    assert len(pictures) == 12
    for i, picture in enumerate(pictures):
        assert picture.name.startswith(f"{i:06d}-")
        assert np.abs(np.asarray(Image.open(picture)) / 255 - exact[i, 0]).max() <= 0.5 / 255 + 1e-6


def test_replayed_images_are_the_same_samples_with_the_same_rows(saved, npz, tmp_path):
    data = f"run:{saved.path}#{FGSM}"
    again = run(prepare(inputs_of(npz, data, batch_size=7)), command="eval", out=tmp_path / "two")
    before, after = condition_rows(saved, FGSM), condition_rows(again, "clean")
    columns = ["index", "sample_id", "file", "group", "label", "prediction"]
    pd.testing.assert_frame_equal(before[columns], after[columns])
    np.testing.assert_allclose(before["margin"], after["margin"], atol=1e-5)
    assert again.record.data.manifest_sha256 == saved.record.data.manifest_sha256
    assert again.record.data.eps == saved.record.data.eps
    assert again.record.data.n_groups == 2
    assert again.record.data.notes[0] == f"images of {FGSM}, saved by the run {saved.record.id}"


def test_a_condition_is_chosen_by_its_spec_or_name_and_shape_and_limit_work(saved):
    assert load_dataset(f"run:{saved.path}#night", split="all").image_shape == (1, 6, 8)
    some = load_dataset(f"run:{saved.path}#night(severity=2)", split="all", limit=4, channels=3, input_size=4)
    assert some.image_shape == (3, 4, 4)
    assert sorted(some.labels) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("end", "split", "message"),
    [
        (
            "",
            "all",
            r"has 2 conditions. Say which, in quotes: --data 'run:.*#clean', 'run:.*#fgsm\(eps=0.1\)'",
        ),
        ("#pgd", "all", "has no one condition 'pgd'"),
        ("#fgsm", "test", "holds images of the split 'all', not 'test'. Give --split all"),
        ("/none", "all", "is no run"),
    ],
)
def test_what_cannot_be_replayed_is_refused(saved, end, split, message):
    with pytest.raises(InputError, match=message):
        load_dataset(f"run:{saved.path}{end}", split=split)


def test_the_only_condition_but_clean_need_not_be_named(npz, tmp_path):
    result = make(npz, tmp_path / "run#1", [FGSM])  # a # in the name of the folder
    data = load_dataset(f"run:{result.path}", split="all")
    assert data.notes[0].startswith(f"images of {FGSM}, saved by")


def test_a_run_that_saved_nothing_says_so(npz, tmp_path):
    result = run(prepare(inputs_of(npz)), command="eval", out=tmp_path / "run")
    with pytest.raises(InputError, match=r"saved no images\. Run it again with --save-images"):
        load_dataset(f"run:{result.path}")


@pytest.mark.parametrize("damage", ["gone", "cut", "text"])
def test_a_damaged_file_is_refused_in_one_line(npz, tmp_path, damage):
    result = make(npz, tmp_path / "run", [FGSM])
    file = result.path / result.record.conditions[1].saved
    content = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes(content[:700] if damage == "cut" else b"no zip")
    with pytest.raises(InputError, match="cannot be read") as caught:
        load_dataset(f"run:{result.path}", split="all")
    assert "\n" not in str(caught.value)


def test_what_an_interrupted_run_saved_can_be_replayed(npz, tmp_path):
    calls = []

    def stop(progress):
        calls.append(progress)
        if len(calls) == 7:  # before and after clean and fgsm, then clean again, and before the second fgsm
            raise KeyboardInterrupt

    result = make(npz, tmp_path / "run", [FGSM], on_progress=stop)
    assert result.record.status == "interrupted"
    data = load_dataset(f"run:{result.path}", split="all")
    assert len(data) == 5
    assert data.read(4).shape == (1, 6, 8)
    assert data.notes[1] == "that run was interrupted: it saved 5 of 12 images"
    assert len(load_dataset(f"run:{result.path}#clean", split="all")) == 10


def test_the_record_of_a_run_without_saved_images_has_no_paths(tmp_path):
    result = run(prepare(Inputs(limit=10), [FGSM]), command="eval", out=tmp_path / "run")
    assert [c.saved for c in read_run(result.path).record.conditions] == [None, None]
    assert not (result.path / "saved").exists()
    assert json.loads((result.path / "run.json").read_text())["data"]["eps"] == {"linf": 0.1, "l2": 0.5}
