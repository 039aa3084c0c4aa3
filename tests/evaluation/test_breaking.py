"""Breaking points of a network whose accuracy at every severity is known: bright enough, or not."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from robustbench_lite import runner
from robustbench_lite.breaking import Until, breaking_points
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.data.dataset import DamagedImageError, Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.inputs import Inputs
from robustbench_lite.reports.document import document
from robustbench_lite.reports.html import html_report
from robustbench_lite.sweeps import coarse, sweeps

N = 200


@dataclass(frozen=True)
class Dim:
    """Takes 0.1 off every value per severity."""

    kind: ClassVar[str] = "shift"
    severity: float = 3

    def __call__(self, images, streams):
        return (images - 0.1 * self.severity).clamp(0, 1)


@dataclass(frozen=True)
class Broken(Dim):
    """Fails between the severities of the scan."""

    def __call__(self, images, streams):
        if self.severity % 1:
            raise ValueError("broken")
        return super().__call__(images, streams)


def bright(images):
    """Scores for: is the image brighter than 0.5?"""
    mean = images.mean((1, 2, 3)) - 0.5
    return torch.stack([-mean, mean], 1) * 20


def dataset(read=None, **changes):
    """Images of one value, evenly from 0.5 to 1: at severity s those above 0.5 + 0.1 s are right, 1 - 0.2 s."""
    values = 0.5 + (np.arange(N) + 0.5) / N / 2
    fields = {
        "spec": "made",
        "split": "test",
        "class_names": ("dark", "bright"),
        "labels": np.ones(N, dtype=np.int64),
        "files": tuple(map(str, range(N))),
        "sample_ids": tuple(f"{i:016x}" for i in range(N)),
        "read": read or (lambda i: np.full((1, 8, 8), values[i], dtype=np.float32)),
        "eps": {},
    }
    return Dataset(**{**fields, **changes})


def test_the_severity_is_the_closed_form():
    result = breaking_points(Classifier(bright), dataset(), [Dim()], share=0.9, tolerance=0.02)
    (point,) = result.breaking_points
    assert 0.5 < point.severity <= 0.52 + 1e-9
    assert point.ci_low < 0.5 < point.ci_high
    assert result.status == "done"


def test_every_severity_is_a_condition_with_its_rows_in_order():
    result = breaking_points(Classifier(bright), dataset(), [Dim(), "gaussian_blur"], share=0.5)
    dim, blur = result.breaking_points
    assert blur.severity is None  # blurring what is flat changes nothing
    assert blur.notes == ["does not fall below until severity 5"]
    assert [c.severity for c in result.conditions] == [None, *dim.severities, *blur.severities]
    assert result.samples.groupby("condition", sort=False).size().to_dict() == {
        c.spec: N for c in result.conditions
    }
    assert result.samples.duplicated(["condition", "index"]).sum() == 0
    accuracy = result.samples.groupby("severity")["correct"].mean()
    assert accuracy[dim.severity] < 0.5 <= accuracy[max(s for s in dim.severities if s < dim.severity)]
    pictured = {e.condition for e in result.examples}
    assert len(pictured) == 5 + 1 + 5
    assert {name for e in result.examples for name in (e.clean, e.changed)} == set(result.images)


def test_images_are_decoded_once_and_cleanly_counted():
    read, plain = [], dataset().read

    def counting(i):
        read.append(i)
        return plain(i)

    result = breaking_points(Classifier(bright), dataset(counting), [Dim()])
    assert sorted(read) == list(range(N))
    assert result.conditions[0].forwards == 6 * N  # a scan and five halvings


def test_damaged_images_are_named_once():
    plain = dataset().read

    def read(i):
        if i == 7:
            raise DamagedImageError("7: torn.")
        return plain(i)

    result = breaking_points(Classifier(bright), dataset(read), [Dim()])
    assert [s.file for s in result.skipped] == ["7"]
    assert {c.n for c in result.conditions} == {N - 1}


def test_clean_images_are_handed_out_once():
    seen = []
    breaking_points(
        Classifier(bright),
        dataset(),
        [Dim()],
        batch_size=N,
        on_images=lambda spec, batch, images: seen.append(spec),
    )
    assert seen.count("clean") == 1
    assert len(seen) == len(set(seen))


def test_progress_never_goes_back_or_beyond():
    steps = []
    breaking_points(Classifier(bright), dataset(), [Dim()], on_progress=steps.append)
    assert len({s.total for s in steps}) == 1
    assert all(0 <= s.done <= s.total for s in steps)


def test_a_failure_on_the_way_keeps_what_is_known():
    result = breaking_points(Classifier(bright), dataset(), [Broken()])
    assert result.status == "failed"
    assert "broken" in str(result.error)
    (point,) = result.breaking_points
    assert point.severity == 1
    assert point.notes == ["the search was stopped before its end"]


@pytest.mark.parametrize(("after", "known"), [(0, 0), (6, 1)])
def test_interrupted_keeps_what_is_known(after, known):
    def stop(progress):
        if progress.done > after * N:
            raise KeyboardInterrupt

    result = breaking_points(Classifier(bright), dataset(), [Dim()], on_progress=stop)
    assert result.status == "interrupted"
    assert len(result.breaking_points) == known


@pytest.mark.parametrize(
    ("shifts", "options", "message"),
    [
        (["night"], {"share": 1.0}, "no share of the clean accuracy"),
        (["night"], {"share": 0}, "no share of the clean accuracy"),
        (["night"], {"share": 90}, "no share of the clean accuracy"),
        (["night"], {"tolerance": 0}, "tolerance=0 is out of range"),
        (["night"], {"severities": [0]}, "no severity above 0"),
        (["gaussian_blur(sigma_px=2)"], {}, "has no severity"),
        (["night(exposure_ev=-3)"], {}, "changes the images at severity 0 already"),
        (["night(severity=2)"], {}, r"says its severity.*Write night\.$"),
        (["night + jpeg"], {}, "not one shift"),
        (["fgsm"], {}, "fgsm.* is no shift"),
        ([], {}, "no shift was named"),
    ],
)
def test_what_cannot_be_sought_is_refused(shifts, options, message):
    with pytest.raises(InputError, match=message):
        breaking_points(Classifier(bright), dataset(), shifts, **options)


def test_a_run_has_the_breaking_point_in_every_view(tmp_path):
    data = dataset(groups=tuple(f"part{i % 50}" for i in range(N)))
    prepared = runner.prepare(Inputs(limit=30), ["night(auto_exposure=0)"])
    prepared = replace(prepared, classifier=Classifier(bright), dataset=data)
    run = runner.run(prepared, command="shift", out=tmp_path / "run", save_images=True, until=Until(0.9))
    (point,) = run.record.breaking_points
    assert point.shift == "night(auto_exposure=0)"
    assert document(run)["breaking_points"] == [point.model_dump()]
    page = html_report(run)
    assert "night(auto_exposure=0): the accuracy falls below 90" in page
    assert 'class="fall"' in page
    assert [level.severity for level in sweeps(run)[0].levels] == [0, 1, 2, 3, 4, 5]
    assert [level.severity for level in sweeps(run, fine=True)[0].levels] == [0, *point.severities]
    assert len(coarse(run).record.conditions) == 6
    assert len(list((run.path / "saved").glob("*.npz"))) == len(run.record.conditions)
