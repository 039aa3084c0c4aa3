"""What was decided while loading, and may surprise, is said."""

from robustbench_lite.data.loading import load_dataset

FILES = [f"{name}/part{i % 4}_{i}.png" for name in ("a", "b") for i in range(20)]


def test_a_split_by_content_is_said(make_folder):
    folder = make_folder(*FILES)
    data = load_dataset(f"folder:{folder}")
    assert data.notes == (
        f"the data come without splits: test is {len(data)} of 40 images, chosen by their content "
        "(--split all takes all)",
    )
    assert load_dataset(f"folder:{folder}", split="all").notes == ()
    limited = load_dataset(f"folder:{folder}", limit=2)
    assert limited.notes == data.notes


def test_splits_that_were_given_need_no_word(make_folder):
    folder = make_folder("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png")
    assert load_dataset(f"folder:{folder}").notes == ()


def test_groups_over_several_classes_are_said(make_folder):
    folder = make_folder(*FILES)
    mixed = load_dataset(f"folder:{folder}", split="all", group=r"part(\d+)")
    assert mixed.notes == ("4 groups in 40 images, 4 of them over more than one class: is --group right?",)
    sound = load_dataset(f"folder:{folder}", split="all", group=r"(./part\d+)")
    assert sound.notes == ("8 groups in 40 images",)


def test_one_side_is_a_square(make_folder):
    data = load_dataset(f"folder:{make_folder(*FILES)}", split="all", input_size=8)
    assert data.image_shape == (3, 8, 8)
