"""A run that was stopped anywhere and goes on is the same run: rows, counts, examples, checks."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import robustbench_lite as rb
from robustbench_lite.data.dataset import DamagedImageError
from robustbench_lite.data.loading import load_dataset
from robustbench_lite.errors import InputError
from robustbench_lite.identity import ROW_CODE, condition_mark, identity_of
from robustbench_lite.registry import make
from robustbench_lite.runner import Inputs, prepare, run
from robustbench_lite.training.demo import demo

CONDITIONS = ["pgd(eps=0.1, steps=3)", "night(severity=3)", "shot_noise(severity=2) + fgsm(eps=0.05)"]


@pytest.fixture(scope="module")
def classifier():
    return demo()


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", first=50)


class Stop:
    """Ctrl-C after so many units."""

    def __init__(self, after: float) -> None:
        self.left = 2 * after

    def __call__(self, progress) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def evaluated(
    parent, classifier, dataset, *, stop=np.inf, conditions=CONDITIONS, resume=True, probes=True, **options
):
    """One sitting; the store is left as it is."""
    given = {"seed": 3, "batch_size": 8, **options}
    store = rb.open_store(parent, classifier, dataset, resume=resume, **given)
    try:
        return rb.evaluate(
            classifier, dataset, conditions, store=store, on_progress=Stop(stop), probes=probes, **given
        )
    finally:
        store.close()


def same(one, other) -> None:
    pd.testing.assert_frame_equal(one.samples, other.samples, check_exact=True)
    timeless = [[c.model_copy(update={"seconds": 0}) for c in result.conditions] for result in (one, other)]
    assert timeless[0] == timeless[1]
    for name in ("status", "skipped", "checks", "examples", "images", "detector"):
        assert getattr(one, name) == getattr(other, name), name


def counting(dataset):
    """The data, and a list of the places that were read."""
    seen = []

    def read(i):
        seen.append(i)
        return dataset.read(i)

    return dataclasses.replace(dataset, read=read), seen


@pytest.fixture(scope="module")
def unbroken(classifier, digits):
    return rb.evaluate(classifier, digits, CONDITIONS, seed=3, batch_size=8)


@pytest.fixture(scope="module")
def unprobed(classifier, digits):
    """The same without the checks that look again, which take as long as the rest."""
    return rb.evaluate(classifier, digits, CONDITIONS, seed=3, batch_size=8, probes=False)


def test_a_store_changes_nothing(tmp_path, classifier, digits, unbroken):
    same(evaluated(tmp_path, classifier, digits), unbroken)


@pytest.mark.parametrize("after", [0, 1, 4, 5, 13, 27])
def test_stopped_once_it_goes_on_as_if_it_had_not_been(tmp_path, classifier, digits, unbroken, unprobed, after):
    probes = after == 13
    assert evaluated(tmp_path, classifier, digits, stop=after, probes=probes).status == "interrupted"
    same(evaluated(tmp_path, classifier, digits, probes=probes), unbroken if probes else unprobed)


def test_stopped_again_and_again_no_unit_is_computed_twice(tmp_path, classifier, digits, unbroken):
    data, seen = counting(digits)
    for stop in (9, 18, 27, 28):
        evaluated(tmp_path, classifier, data, stop=stop, probes=False)
    # 7 batches of 4 conditions, stopped in the tenth: a batch is decoded once, but for those that were begun.
    looks = 8 * len(range(0, 28, 9))  # of the identity
    assert len(seen) <= 50 + 8 * 4 + 2 * looks + 10
    same(evaluated(tmp_path, classifier, data), unbroken)


def test_what_is_finished_is_neither_decoded_nor_classified(tmp_path, classifier, digits, monkeypatch):
    evaluated(tmp_path, classifier, digits, probes=False)
    passes = []
    monkeypatch.setattr(type(classifier), "_forward", lambda self, x: passes.append(len(x)))
    monkeypatch.setattr(type(digits), "_batch", lambda *_: passes.append("decoded"))
    evaluated(tmp_path, classifier, digits, probes=False)
    assert passes == []


def test_more_conditions_may_be_asked_for(tmp_path, classifier, digits, unbroken):
    evaluated(tmp_path, classifier, digits, conditions=CONDITIONS[1:2], probes=False)
    same(evaluated(tmp_path, classifier, digits), unbroken)


def test_python_sees_the_images_of_what_is_computed_alone(tmp_path, classifier, digits):
    evaluated(tmp_path, classifier, digits, stop=8, probes=False)
    store = rb.open_store(tmp_path, classifier, digits, seed=3, batch_size=8, resume=True)
    seen = []
    rb.evaluate(
        classifier,
        digits,
        CONDITIONS,
        seed=3,
        batch_size=8,
        store=store,
        on_images=lambda condition, batch, images: seen.append(batch.indices[0]),
    )
    assert sorted(set(seen)) == [16, 24, 32, 40, 48]
    store.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_other_arguments_is_refused(tmp_path, classifier, digits):
    store = rb.open_store(tmp_path, classifier, digits, seed=1)
    with pytest.raises(InputError, match="another seed: 1, not 0"):
        rb.evaluate(classifier, digits, [], store=store)
    store.close()


# What another identity is


class Bright(nn.Module):
    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = gain
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        mean = self.gain * x.flatten(1).mean(1, keepdim=True) + self.offset
        return torch.cat([mean, -mean] * 5, 1)


def identity(classifier, dataset, **options):
    return identity_of(classifier, dataset, **{"seed": 0, "batch_size": 8, "as_8bit": False, **options})


def test_everything_that_rows_depend_on_is_part_of_the_identity(classifier, digits):
    usual = identity(classifier, digits)
    assert usual == identity(demo(), load_dataset("digits", first=50))
    small = dataclasses.replace(digits, read=lambda i: digits.read(i) * 0.5)
    others = {
        "seed": identity(classifier, digits, seed=1),
        "batch size": identity(classifier, digits, batch_size=9),
        "rounded to 8 bits": identity(classifier, digits, as_8bit=True),
        "detector": identity(classifier, digits, detector="12"),
        "images": identity(classifier, digits.select([1, 0, *range(2, 50)])),
        "pixels": identity(classifier, small),
        "normalisation": identity(rb.Classifier(classifier.network, mean=[0.5], std=[0.5]), digits),
    }
    assert (
        identity(classifier, dataclasses.replace(digits, labels=digits.labels[::-1]))["images"] != usual["images"]
    )
    for name, other in others.items():
        assert other[name] != usual[name]
        assert {n for n in usual if usual[n] != other[n]} <= {name, "pixels"}


def test_a_network_is_told_by_weights_layers_attributes_and_source(digits):
    plain = identity(rb.Classifier(Bright()), digits)
    assert plain == identity(rb.Classifier(Bright()), digits)
    assert identity(rb.Classifier(Bright(gain=2.0)), digits)["network"] != plain["network"]
    moved = Bright()
    nn.init.ones_(moved.offset)
    assert identity(rb.Classifier(moved), digits)["weights"] != plain["weights"]
    relu, tanh = (
        identity(rb.Classifier(nn.Sequential(nn.Flatten(), layer)), digits) for layer in (nn.ReLU(), nn.Tanh())
    )
    assert relu["weights"] == tanh["weights"]
    assert relu["network"] != tanh["network"]


def test_a_function_and_a_network_without_source_have_no_identity(digits):
    with pytest.raises(InputError, match="nobody can tell whether the function"):
        identity(rb.Classifier(lambda images: images.flatten(1)[:, :10]), digits)
    known = {"nn": nn}
    exec("class Typed(nn.Sequential): pass", known)
    with pytest.raises(InputError, match="the source of Typed cannot be read"):
        identity(rb.Classifier(known["Typed"](nn.Flatten())), digits)


def test_the_source_of_conditions_of_ones_own_is_part_of_their_name(tmp_path):
    source = Path("examples/custom_attack.py").read_text() if Path("examples/custom_attack.py").exists() else OWN
    marks = []
    for number, text in enumerate((source, source + "# changed\n")):
        (tmp_path / str(number)).mkdir()
        file = tmp_path / str(number) / "own.py"
        file.write_text(text)
        name = "Blind" if "Blind" in source else "Own"
        marks.append(condition_mark(make(f"{file}:{name}(eps=0.1)")).rpartition("#")[2])
    assert marks[0] != marks[1]
    assert condition_mark(make("night(severity=3) + pgd(eps=0.1)")) == "night(severity=3) + pgd(eps=0.1)"


OWN = """
from dataclasses import dataclass
from robustbench_lite.types import Attack, Cost

@dataclass(frozen=True)
class Own(Attack):
    eps: float = 0.1
    norm = "linf"
    def max_cost(self):
        return Cost(0, 0)
    def __call__(self, model, images, labels, streams):
        return images
"""


def test_the_code_of_rows_is_all_that_a_row_passes_through():
    from test_architecture import MODULES, PACKAGE, group, ours

    begin = ("scoring", "calibrating", "search", "outliers.opening", "classifiers.loading", "data.loading")
    seen, waiting = set(), [f"{PACKAGE}.{name}" for name in begin]
    while waiting:
        here = waiting.pop()
        if here not in seen:
            seen.add(here)
            waiting += ours(here)
    # training makes weights, and files writes them
    assert {group(m) for m in seen} - {"__init__", "training", "files"} == set(ROW_CODE)
    assert {group(m) for m in MODULES} >= set(ROW_CODE)


# Images that cannot be read


def test_damaged_images_of_finished_batches_are_remembered(tmp_path, classifier, digits):
    def read(i):
        if i in (3, *range(8, 16), 45):
            raise DamagedImageError(f"{i}.png: cut off.")
        return digits.read(i)

    torn, seen = counting(dataclasses.replace(digits, read=read))
    whole = rb.evaluate(classifier, torn, CONDITIONS, seed=3, batch_size=8)
    evaluated(tmp_path, classifier, torn, stop=17, probes=False)
    seen.clear()
    same(evaluated(tmp_path, classifier, torn), whole)
    seen.clear()
    same(evaluated(tmp_path, classifier, torn, conditions=CONDITIONS[1:2]), part(whole))
    assert len(seen) <= 8 + 4  # of the identity, and of the shape of the images
    assert len(whole.skipped) == 10


def part(whole):
    """Of the evaluation, what two of the conditions came to."""
    kept = ("clean", CONDITIONS[1])
    examples = [e for e in whole.examples if e.condition in kept]
    files = {name for e in examples for name in (e.clean, e.changed)}
    return dataclasses.replace(
        whole,
        samples=whole.samples[whole.samples["condition"].isin(kept)].reset_index(drop=True),
        conditions=[c for c in whole.conditions if c.spec in kept],
        examples=examples,
        images={name: content for name, content in whole.images.items() if name in files},
    )


def test_images_that_the_disk_did_not_give_are_asked_for_again(tmp_path, classifier, digits, unbroken):
    gone = set(range(20, 50))

    def read(i):
        if i in gone and i not in (21, 28, 35, 42, 49):  # the identity looks at these
            try:
                raise OSError(5, "Input/output error")
            except OSError as error:
                raise DamagedImageError(f"{i}.png: {error.strerror}.") from error
        return digits.read(i)

    shaky = dataclasses.replace(digits, read=read)
    assert len(evaluated(tmp_path, classifier, shaky, probes=False).skipped) == 25
    gone.clear()
    same(evaluated(tmp_path, classifier, shaky), unbroken)


# Run folders


def ran(out, *, resume=False, conditions=("fgsm", "night(severity=2)"), stop=np.inf, **options):
    given = {"first": 40, "batch_size": 10, **{k: v for k, v in options.items() if k in ("seed", "first")}}
    more = {k: v for k, v in options.items() if k not in given}
    prepared = prepare(Inputs(**given), conditions)
    return run(prepared, command="eval", out=out, resume=resume, on_progress=Stop(stop), **more)


def test_after_ctrl_c_the_same_with_resume_replaces_the_unfinished_run(tmp_path):
    whole = ran(tmp_path / "whole" / "run")
    first = ran(tmp_path / "run", stop=5)
    assert (first.record.status, first.record.resumed) == ("interrupted", 0)
    assert (tmp_path / first.record.unfinished).is_dir()
    second = ran(tmp_path / "run", resume=True, stop=8)
    assert (second.record.status, second.record.resumed) == ("interrupted", 1)
    with pytest.raises(InputError, match=r"exists already.*--resume goes on with it"):
        ran(tmp_path / "run")
    last = ran(tmp_path / "run", resume=True)
    assert (last.record.status, last.record.resumed, last.record.unfinished) == ("done", 2, "")
    assert last.record.code_sha256 == whole.record.code_sha256 != ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "whole"]
    assert (last.path / "samples.parquet").read_bytes() == (whole.path / "samples.parquet").read_bytes()
    assert {p.name: p.read_bytes() for p in (last.path / "images").iterdir()} == {
        p.name: p.read_bytes() for p in (whole.path / "images").iterdir()
    }
    with pytest.raises(InputError, match=r"run is finished: .* rb show"):  # a finished one is not replaced
        ran(tmp_path / "run", resume=True)


def test_only_the_unfinished_run_of_the_same_is_replaced(tmp_path):
    ran(tmp_path / "run", stop=5)
    for other in ({"seed": 1}, {"first": 20}, {"as_8bit": True}):
        with pytest.raises(InputError, match="exists already"):
            ran(tmp_path / "run", resume=True, **other)
    assert ran(tmp_path / "run", resume=True, conditions=("fgsm(eps=0.02)",)).record.resumed == 1


def test_a_run_that_cannot_be_written_in_the_end_keeps_its_batches(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("robustbench_lite.run_folder.write_rows", full)
        with pytest.raises(InputError, match=r"No space left.*are kept in .*--resume"):
            ran(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (store,) = tmp_path.iterdir()
    assert sorted(p.name for p in store.iterdir()) == ["key.json", "lock", "units"]
    passes = []
    with monkeypatch.context() as patch:
        patch.setattr("robustbench_lite.working.score", lambda *_: passes.append(1))
        assert ran(tmp_path / "run", resume=True, probes=False).record.status == "done"
    assert passes == []


def test_a_failed_run_goes_on_too(tmp_path, monkeypatch):
    from robustbench_lite import working

    truth, calls = working.score, []

    def failing(*given):
        calls.append(1)
        if len(calls) == 7:
            raise RuntimeError("out of luck")
        return truth(*given)

    with monkeypatch.context() as patch:
        patch.setattr(working, "score", failing)
        with pytest.raises(RuntimeError, match="out of luck"):
            ran(tmp_path / "run")
    assert rb.read_run(tmp_path / "run").record.status == "failed"
    assert ran(tmp_path / "run", resume=True).record.status == "done"


def test_saved_images_and_resuming_do_not_go_together(tmp_path):
    with pytest.raises(InputError, match="--save-images"):
        ran(tmp_path / "run", resume=True, save_images=True)
    ran(tmp_path / "run", save_images=True, stop=5)
    with pytest.raises(InputError, match="exists already"):  # its images would be lost
        ran(tmp_path / "run", resume=True)


def test_a_search_for_breaking_points_goes_on(tmp_path):
    from robustbench_lite.breaking import Until

    until = {"conditions": ("gaussian_blur", "night"), "until": Until(0.9, (1, 3, 5), 0.5)}
    whole = ran(tmp_path / "whole" / "run", **until)
    for stop in (3, 22):  # among the clean images, and in a later round
        assert ran(tmp_path / "run", resume=True, stop=stop, **until).record.status == "interrupted"
    last = ran(tmp_path / "run", resume=True, **until)
    pd.testing.assert_frame_equal(last.samples, whole.samples, check_exact=True)
    assert last.record.breaking_points == whole.record.breaking_points
    assert [c.model_copy(update={"seconds": 0}) for c in last.record.conditions] == [
        c.model_copy(update={"seconds": 0}) for c in whole.record.conditions
    ]
    assert last.record.examples == whole.record.examples


def test_a_function_runs_without_a_store_and_says_so_with_resume(tmp_path):
    (tmp_path / "f.py").write_text("def f():\n    return lambda images: images.flatten(1)[:, :10]\n")
    prepared = prepare(Inputs(model=f"{tmp_path / 'f.py'}:f", limit=10), [])
    assert run(prepared, command="eval", out=tmp_path / "run").record.status == "done"
    with pytest.raises(InputError, match="nobody can tell whether the function"):
        run(prepared, command="eval", out=tmp_path / "again", resume=True)
