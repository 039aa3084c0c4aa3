"""``rb generate``: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from robustbench_lite import load_dataset
from robustbench_lite.generative.density import PCA

OWN = """
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Flat:
    'The uniform density.'

    kind = "generator"
    grey: float = 0.5
    shape = ()

    def check(self, count, shape):
        pass

    def fit(self, images, seed=0):
        object.__setattr__(self, "shape", images.shape[1:])
        return self

    def log_likelihood(self, images):
        return np.zeros(len(images))

    def sample(self, n, seed=0):
        return np.full((n, *self.shape), self.grey)
"""


@pytest.fixture
def parts(tmp_path):
    """Twenty train and six test images, 12×12."""
    random = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 3)):
        for name in ("good", "scratch"):
            folder = tmp_path / "parts" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(random.integers(60, 90, (12, 12), dtype=np.uint8)).save(folder / f"{i}.png")
    return tmp_path


def images(split):
    return np.concatenate([batch.images.numpy() for batch in load_dataset("digits", split=split).batches(128)])


def test_json_says_what_the_model_says(rb, tmp_path):
    done = rb("generate", "--model", "pca(components=10)", "--data", "digits", "--out", "s/sheet.png", "--json")
    assert done.code == 0
    fitted = PCA(10).fit(images("train"))
    nats = {split: fitted.log_likelihood(images(split)).mean() for split in ("train", "test")}
    found = done.document
    told = found.pop("two_sample")
    assert found == {
        "model": "pca(components=10)",
        "data": "digits",
        "n_train": len(images("train")),
        "n_test": len(images("test")),
        "nats_train": pytest.approx(nats["train"]),
        "nats_test": pytest.approx(nats["test"]),
        "bits_per_dim_train": pytest.approx(-nats["train"] / 64 / math.log(2)),
        "bits_per_dim_test": pytest.approx(-nats["test"] / 64 / math.log(2)),
        "sheet": "s/sheet.png",
    }
    assert list(found) == [
        *("model", "data", "n_train", "n_test", "nats_train", "nats_test"),
        *("bits_per_dim_train", "bits_per_dim_test", "sheet"),
    ]
    assert list(told) == ["n", "features", "real", "model", "histogram"]
    assert (told["n"], told["features"]) == (180, "20 principal axes and the distance from them")
    assert list(told["model"]) == ["accuracy", "ci_low", "ci_high", "kid"]
    for name in ("model", "histogram"):
        assert told["real"]["ci_low"] < 0.5 < told["real"]["ci_high"] < told[name]["ci_low"]
    with Image.open(tmp_path / "s/sheet.png") as sheet:
        assert sheet.size == (32 + 16 * 52 - 4, 16 + 3 * (32 + 2 * 52 + 16))
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["sheet.png"]


def test_table_names_the_model_and_the_baseline(rb, tmp_path):
    done = rb("generate", "--n", 3)
    assert done.code == 0
    for word in ("pca", "histogram", "train", "test", "1061", "361", "nats per image", "bits per dimension"):
        assert word in done.out
    for word in ("told from 180 real images", "other real images", "95 % interval", "KID"):
        assert word in done.out
    assert done.out.endswith("sheet: sheet.png\n")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == 16 + 3 * (32 + 52 + 16)


def test_the_histogram_is_shown_once(rb, tmp_path):
    assert rb("generate", "--model", "histogram", "--n", 4).code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == 16 + 2 * (32 + 52 + 16)


def test_same_seed_same_sheet(rb, tmp_path):
    sheets = []
    for seed in (1, 1, 2):
        assert rb("generate", "--model", "mixture", "--seed", seed, "--n", 4, "--overwrite").code == 0
        sheets.append((tmp_path / "sheet.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_folder_of_images_and_fewer_of_them(rb, parts):
    done = rb("generate", "--model", "pca(components=5)", "-d", "folder:parts", "--limit", 12, "--json")
    assert done.code == 0
    assert (done.document["n_train"], done.document["n_test"]) == (12, 6)
    assert done.document["two_sample"] is None
    assert "samples are not compared with real images: 6 images held out are too few" in done.err


def test_damaged_images_are_left_out_and_named(rb, parts):
    (parts / "parts/train/good/note.png").write_text("no picture")
    done = rb("generate", "-m", "gaussian", "-d", "folder:parts", "--max-damaged", 0.2, "--json")
    assert done.code == 0
    train = load_dataset("folder:parts", split="train", max_damaged=0.2)
    assert done.document["n_train"] == len(train) > 10
    assert "1 images could not be read (first: train/good/note.png)" in done.err


def test_dry_run_writes_nothing(rb, tmp_path):
    done = rb("generate", "--dry-run", "--json")
    assert done.code == 0
    assert done.document == {
        "model": "pca",
        "data": "digits",
        "n_train": 1061,
        "n_test": 361,
        "sheet": "sheet.png",
    }
    assert "n train: 1061" in rb("generate", "--dry-run").out
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_ones_own(rb, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    done = rb("generate", "--model", "own.py:Flat(grey=0.25)", "--n", 2, "--json")
    assert done.code == 0
    assert done.document["model"] == "own.py:Flat(grey=0.25)"
    assert done.document["nats_test"] == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--model", "pcaa"), "unknown generator 'pcaa'. Did you mean 'pca'?"),
        (("--model", "net.safetensors"), "no such file: net.safetensors"),
        (("--model", "net"), "Known: autoencoder, gaussian, histogram, mixture, pca, vae."),
        (("--model", "vae"), "rb train --model 'vae' --data digits --out net.safetensors"),
        (("--reconstruct", "--traverse"), "two sheets"),
        (("--reconstruct", "--interpolate", "0,1"), "two sheets"),
        (("--interpolate", "3"), "names no two images"),
        (("--interpolate", "3,-1"), "names no two images"),
        (("--interpolate", "0,361"), "there is no image 361. The split has 361; they are counted from 0."),
        (("--interpolate", "0,1", "--path", "round"), "Give linear or spherical"),
        (("--path", "linear"), "--path is that of --interpolate"),
        (("--interpolate", "0,1", "--n", 1), "Give 2 to 1000"),
        (("--traverse", "--split", "val"), "--split val means nothing to traversals"),
        (("--traverse", "--model", "histogram"), "no latents"),
        (("--reconstruct", "--model", "histogram"), "no latents"),
        (("--model", "pca(components=65)"), "pca(components=64) at the most"),
        (("--first", 10), "pca(components=20) is more than 10 images of 1×8×8 can tell apart"),
        (("--first", 1), "1 image is too few"),
        (("--model", "mixture(components=30)", "--first", 25), "needs as many images; here are 25"),
        (("--model", "gaussian", "--input-size", 33), "up to 1024 values per image; 1×33×33 is 1089"),
        (("--input-size", "600"), "the train split of digits is 381,960,000 values; 134,217,728 fit"),
        (("--n", 0), "Give 1 to 1000"),
        (("--n", 1001), "Give 1 to 1000"),
        (("--split", "val"), "It learns from train"),
        (("--mean", "0.5"), "--mean means nothing"),
        (("--weights", "net.pt"), "--weights means nothing"),
        (("--device", "cuda"), "--device means nothing"),
        (("--batch-size", 8), "--batch-size means nothing"),
        (("--out", "sheet.jpg"), "must end in .png. For example --out sheet.png"),
        (("--out", "folder.png"), "is a folder"),
        (("--out", "taken.png"), "taken.png exists already. Choose another --out, or give --overwrite."),
        (("--out", "taken.png/sheet.png"), "cannot write taken.png/sheet.png"),
        (("--data", "digitz"), "digits"),
    ],
)
def test_refused(refused, tmp_path, words, reason):
    (tmp_path / "taken.png").write_bytes(b"mine")
    (tmp_path / "folder.png").mkdir()
    assert reason in refused("generate", *words)
    assert (tmp_path / "taken.png").read_bytes() == b"mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.png", "taken.png"]


def test_images_of_different_shape(refused, parts):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(parts / "parts/train/good/small.png")
    assert "differ in shape" in refused("generate", "-m", "histogram", "-d", "folder:parts")


def test_help_and_list_load_neither_torch_nor_sklearn():
    script = (
        "import sys; sys.argv = ['rb', *sys.argv[1:]]\n"
        "from robustbench_lite.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "late = {'torch', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {late}' if late else 0)"
    )
    for words in (("generate", "--help"), ("ls", "generators"), ("ls", "--json")):
        done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "pca" in done.stdout
