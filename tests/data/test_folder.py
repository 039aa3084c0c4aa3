"""Image folders: what is found, what is read, and what is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from robustbench_lite.data import folder as folder_module
from robustbench_lite.data.dataset import DamagedImageError
from robustbench_lite.data.loading import load_dataset, usual_split
from robustbench_lite.errors import InputError, UnknownNameError

TEN = [f"{c}/{i}.png" for c in ("good", "scratch") for i in range(5)]


def load(root, **options):
    return load_dataset(f"folder:{root}", **{"split": "all", **options})


def test_labels_order_and_pixels(make_folder):
    root = make_folder("b/2.png", "b/10.PNG", "a/deep/1.png", "a/z.png", ".hidden/1.png")
    (root / "b/notes.txt").write_text("no image")
    (root / "b/.3.png").write_text("hidden")
    (root / "loose.txt").write_text("no folder")
    data = load(root)
    assert data.class_names == ("a", "b")
    assert data.files == ("a/deep/1.png", "a/z.png", "b/10.PNG", "b/2.png")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.skipped == ()
    for i, name in enumerate(data.files):
        expected = np.asarray(Image.open(root / name)).transpose(2, 0, 1) / np.float32(255)
        assert np.array_equal(data.read(i), expected)


def test_ids_are_of_content_and_class_not_of_name(make_folder):
    root = make_folder(*TEN)
    content = (root / TEN[0]).read_bytes()
    for copy in ("good/copy.png", "scratch/copy.png"):
        (root / copy).write_bytes(content)
    data = load(root)
    ids = dict(zip(data.files, data.sample_ids, strict=True))
    assert ids["good/copy.png"] == ids[TEN[0]]
    assert ids["scratch/copy.png"] != ids[TEN[0]]
    assert len(set(ids.values())) == 11
    assert all(len(i) >= 16 and int(i, 16) >= 0 for i in ids.values())


def test_split_folders(make_folder):
    root = make_folder("Train/a/1.png", "Train/b/1.png", "validation/a/2.png", "test/b/3.png")
    assert load(root, split="test").files == ("test/b/3.png",)
    assert load(root, split="test").labels.tolist() == [1]
    assert load(root, split="val").files == ("validation/a/2.png",)
    assert load(root, split="train").files == ("Train/a/1.png", "Train/b/1.png")


def test_links_are_followed_but_not_in_circles(make_folder, tmp_path):
    root = make_folder("a/1.png", "b/1.png")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "a/1.png").rename(elsewhere / "1.png")
    os.symlink(elsewhere / "1.png", root / "a/1.png")
    os.symlink(root / "b", root / "b/again")
    os.symlink(elsewhere, root / "c")
    assert load(root).files == ("a/1.png", "b/1.png", "c/1.png")


def test_a_limit_reads_only_that_many_files(make_folder, monkeypatch):
    root = make_folder(*(f"test/{c}/{i}.png" for c in "ab" for i in range(20)))
    touched = {"header": [], "open": [], "decode": []}
    header, decode = folder_module.header, folder_module.decode

    def spy_header(path, *rest):
        touched["header"].append(path)
        return header(path, *rest)

    def spy_decode(path, *rest):
        touched["decode"].append(path)
        return decode(path, *rest)

    def spy_open(path, *rest):
        touched["open"].append(path)
        return open(path, *rest)

    monkeypatch.setattr(folder_module, "header", spy_header)
    monkeypatch.setattr(folder_module, "decode", spy_decode)
    monkeypatch.setattr(folder_module, "open", spy_open, raising=False)
    data = load(root, split="test", limit=5)
    assert len(data) == 5
    assert {kind: len(paths) for kind, paths in touched.items()} == {"header": 5, "open": 5, "decode": 0}
    assert len(set(touched["open"])) == 5
    data.read(0)
    assert len(touched["decode"]) == 1


def test_limit_and_first(make_folder):
    root = make_folder(*TEN)
    assert load(root, first=3).files == tuple(TEN[:3])
    assert np.bincount(load(root, limit=4).labels).tolist() == [2, 2]
    assert load(root, limit=4).files == load(root, limit=4).files
    assert {load(root, limit=4, seed=s).files for s in range(5)} != {load(root, limit=4).files}
    assert len(load(root, limit=1000)) == len(load(root, first=1000)) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "--limit 0 is refused"),
        ({"first": -1}, "--first -1 is refused"),
        ({"limit": 1, "first": 1}, "--limit 1 and --first 1 exclude each other"),
        ({"max_damaged": 2}, "--max-damaged 2 is refused"),
        ({"channels": 4}, r"good/0.png has 3 channels, which cannot be made 4"),
        ({"group": "("}, r"--group \( is no regular expression"),
        ({"group": "(g)(o)"}, "has 2 capture groups"),
        ({"group": "level:0"}, "--group level:0 is refused"),
        ({"group": "level:1"}, "--group level:1 finds no group in good/0.png"),
        ({"group": "scratch"}, "--group scratch finds no group in good/0.png"),
        ({"group": "column:x"}, "has no columns"),
    ],
)
def test_refused_options(make_folder, options, message):
    with pytest.raises(InputError, match=message) as caught:
        load(make_folder(*TEN), **options)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_groups(make_folder):
    root = make_folder("train/good/day1/part7_a.png", "train/good/day1/part8_b.png", "test/good/day2/part7.png")
    assert load(root, group=r"part(\d+)").groups == ("7", "7", "8")  # test/ comes before train/
    assert load(root, group=r"part\d").groups == ("part7", "part7", "part8")
    assert load(root, group="level:1").groups == ("day2", "day1", "day1")
    assert load(root).groups is None
    with pytest.raises(InputError, match="finds no group"):
        load(root, group="^train")  # below the split's folder


def test_an_optional_capture_that_took_no_part_is_no_group(make_folder):
    with pytest.raises(InputError, match=r"finds no group in good/1\.png"):
        load(make_folder("good/1.png"), group=r"part(\d+)|png")


def test_missing_and_empty_folders(make_folder, tmp_path):
    with pytest.raises(InputError, match="no such folder: nowhere"):
        load("nowhere")
    (tmp_path / "flat").mkdir()
    with pytest.raises(InputError, match="flat holds no class folders"):
        load(tmp_path / "flat")
    root = make_folder("good/1.png", "scratch/1.png")
    (root / "scratch/1.png").unlink()
    with pytest.raises(InputError, match=r"the class folder .*scratch holds no image"):
        load(root)
    both = make_folder("val/good/1.png", "valid/good/1.png")
    with pytest.raises(InputError, match=r"both val(id)?/ and val(id)?/"):
        load(both)


def test_one_damaged_file_in_ten_is_an_error(make_folder):
    root = make_folder(*TEN)
    (root / TEN[3]).write_text("not an image")
    with pytest.raises(InputError, match=r"1 of 10 images are damaged, the first: good/3\.png") as caught:
        load(root)
    assert "--max-damaged" in caught.value.remedy
    data = load(root, max_damaged=0.1)
    assert len(data) == 9
    assert [s.file for s in data.skipped] == ["good/3.png"]
    assert data.skipped[0].reason == "not a PNG, JPEG, BMP, TIFF or WebP image"
    assert TEN[3] not in data.files
    assert [data.read(i).shape for i in range(9)] == [(3, 12, 10)] * 9
    assert data.files[3] == "good/4.png"  # reading and naming stay together
    expected = np.asarray(Image.open(root / "good/4.png")).transpose(2, 0, 1) / np.float32(255)
    assert np.array_equal(data.read(3), expected)


def test_one_damaged_file_in_a_thousand_is_left_out(make_folder):
    root = make_folder("good/0.png", "good/text.png", size=(2, 2))
    content = (root / "good/0.png").read_bytes()
    for i in range(1, 999):
        (root / f"good/{i}.png").write_bytes(content)
    (root / "good/text.png").write_text("not an image")
    data = load(root)
    assert len(data) == 999
    assert [s.file for s in data.skipped] == ["good/text.png"]


def test_a_file_that_cannot_be_opened_is_damaged_in_one_split_only(make_folder):
    root = make_folder(*TEN)
    os.symlink(root / "nowhere.png", root / "good/broken.png")
    assert [s.file for s in load(root, max_damaged=0.5).skipped] == ["good/broken.png"]
    skipped = []
    for split in ("train", "val", "test"):
        try:
            skipped += load(root, split=split, max_damaged=0.9).skipped
        except InputError as error:
            assert "holds no image" in str(error)  # noqa: PT017
    assert [(s.file, s.reason) for s in skipped] == [("good/broken.png", "No such file or directory")]


def test_nothing_left(make_folder):
    root = make_folder("good/1.png")
    (root / "good/1.png").write_text("not an image")
    with pytest.raises(InputError, match=r"1 of 1 images are damaged.*no image is left"):
        load(root, max_damaged=1)


def test_truncated_pixels_are_found_on_reading(make_folder):
    root = make_folder(*TEN, size=(64, 64))
    path = root / TEN[2]
    path.write_bytes(path.read_bytes()[:2000])
    data = load(root)
    assert len(data) == 10
    with pytest.raises(DamagedImageError, match=r"good/2\.png: "):
        data.read(2)
    batches = list(data.batches(4))
    assert [s.file for b in batches for s in b.skipped] == ["good/2.png"]
    assert "good/2.png" not in batches[0].skipped[0].reason
    assert [len(b.labels) for b in batches] == [3, 4, 2]


def test_different_sizes_need_an_input_size(make_folder):
    make_folder("good/1.png", size=(10, 12))
    root = make_folder("good/2.png", size=(20, 30))
    with pytest.raises(InputError, match=r"differ in shape.*--input-size"):
        list(load(root).batches(2))
    batch = next(load(root, input_size=(8, 6), channels=1).batches(2))
    assert batch.images.shape == (2, 1, 8, 6)
    assert 0 <= batch.images.min() <= batch.images.max() <= 1


def test_the_budget_follows_the_final_size(make_folder):
    root = make_folder("good/1.png", size=(64, 64))
    assert load(root).eps == pytest.approx({"linf": 8 / 255, "l2": 1.0})
    assert load(root, input_size=(32, 32)).eps == pytest.approx({"linf": 8 / 255, "l2": 0.5})


def test_neu_steel(shared_data):
    root = shared_data / "neu-steel"
    if not root.is_dir():
        pytest.skip("NEU steel is not here")
    data = load(root)
    assert len(data) == 1800
    assert np.bincount(data.labels).tolist() == [300] * 6
    ids = dict(zip(data.files, data.sample_ids, strict=True))
    assert len(set(ids.values())) == 1799
    assert ids["test/patches/105.jpg"] == ids["train/patches/101.jpg"]
    assert len(load(root, split="test")) == 360


def test_an_unknown_column_names_the_nearest(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 5, 6), np.uint8), labels=[0, 1, 0, 1], camera=list("abcd"))
    with pytest.raises(UnknownNameError, match="Did you mean 'camera'"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}", split="all", group="column:camra")


def test_images_without_classes(tmp_path):
    for i, name in enumerate(("b.png", "monday/a.png", "monday/x/c.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5), 40 * i, np.uint8)).save(tmp_path / name)
    (tmp_path / "note.txt").write_text("no image")
    found = load_dataset(f"images:{tmp_path}", split="all")
    assert (found.class_names, found.files) == (("image",), ("b.png", "monday/a.png", "monday/x/c.png"))
    assert found.image_shape == (1, 4, 5)
    assert found.metadata is not None
    assert found.select([2]).metadata(0) == (4, 5, (tmp_path / "monday/x/c.png").stat().st_size)
    grouped = load_dataset(f"images:{tmp_path}/monday", split="all", group=r"image/(\w+)")
    assert grouped.groups == ("a", "x")


def test_no_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no image"):
        load_dataset(f"images:{tmp_path}", split="all")
    with pytest.raises(InputError, match="no such folder"):
        load_dataset(f"images:{tmp_path}/nowhere", split="all")


def test_a_path_that_is_not_divided_is_taken_whole(tmp_path):
    for name in ("flat/good", "parts/train/good", "parts/test/good"):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / name / "1.png")
    assert usual_split(f"folder:{tmp_path}/flat", "train") == "all"
    assert usual_split(f"folder:{tmp_path}/parts", "train") == "train"
    assert usual_split(f"images:{tmp_path}/parts", "test") == "all"
    assert usual_split("digits", "train") == "train"
