"""Calibrated severities: the PSNR is what was asked for, and what cannot be reached is said."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from robustbench_lite import InputError, load_dataset, make
from robustbench_lite.severities import calibrate, psnr_between, read_scale
from robustbench_lite.types import Shift


@pytest.fixture(scope="module")
def some():
    return load_dataset("digits", limit=12)


@dataclass(frozen=True)
class Fade(Shift):
    """The images move towards grey by ``severity * slope``: a PSNR in closed form."""

    severity: float = 3
    slope: float = 0.1
    whole: bool = False
    back: bool = False

    def __call__(self, images, streams):
        severity = float(round(self.severity)) if self.whole else self.severity
        if self.back:  # stronger up to 2.5, weaker again from there
            severity = min(severity, 5 - severity)
        return images + (0.5 - images) * severity * self.slope


def test_the_severity_is_that_of_the_closed_form(some):
    (batch,) = some.batches(12)
    spread = ((batch.images - 0.5) ** 2).mean().item()
    wanted = (30.0, 22.0, 16.0)
    found = calibrate(some, [Fade(slope=0.15)], psnr_db=wanted)
    (shift,) = found.shifts.values()
    for level, psnr in zip(shift.levels, wanted, strict=True):
        exact = (10 ** (-psnr / 10) / spread) ** 0.5 / 0.15
        assert level.severity == pytest.approx(exact, rel=0.01)
        assert level.psnr_db == pytest.approx(psnr, abs=0.051)
        assert level.values == {}
    assert shift.monotone
    assert found.remarks() == []


def test_the_physical_values_are_those_at_the_severity(some):
    (batch,) = some.batches(12)
    found = calibrate(some, ["night(auto_exposure=0)", "gaussian_blur"], psnr_db=(24,))
    assert list(found.shifts) == ["night(auto_exposure=0)", "gaussian_blur"]
    for name, shift in found.shifts.items():
        (level,) = shift.levels
        part = replace(make(name).parts[0], severity=level.severity)
        values = vars(part.values(batch.images))
        assert level.values == {key: pytest.approx(values[key]) for key in level.values}
    assert "exposure_ev" in found.shifts["night(auto_exposure=0)"].levels[0].values


def test_what_is_out_of_reach_is_null_and_said(some):
    found = calibrate(some, [Fade(slope=0.02)], psnr_db=(30, 16))
    (shift,) = found.shifts.values()
    assert shift.levels[0].severity is not None
    assert shift.levels[1].model_dump() == {"wanted_db": 16, "severity": None, "psnr_db": None, "values": {}}
    (remark,) = found.remarks()
    assert "does not reach 16 dB" in remark
    (name,) = found.shifts
    assert found.severity(name, 2) is found.severity(name, 1.5) is None


def test_a_scale_with_steps_takes_the_nearest_and_says_so(some):
    (batch,) = some.batches(12)
    spread = ((batch.images - 0.5) ** 2).mean().item()
    between = -10 * np.log10(spread * 0.15**2 * 1.4**2)  # a severity of 1.4: nearer to 1 than to 2
    found = calibrate(some, [Fade(slope=0.15, whole=True)], psnr_db=(float(between),))
    (shift,) = found.shifts.values()
    assert round(shift.levels[0].severity) == 1
    assert shift.levels[0].psnr_db == pytest.approx(-10 * np.log10(spread * 0.15**2), abs=1e-3)
    assert "jumps over" in found.remarks()[0]


def test_a_psnr_that_rises_is_found_out(some):
    found = calibrate(some, [Fade(slope=0.2, back=True)], psnr_db=(20,))
    (shift,) = found.shifts.values()
    assert not shift.monotone
    assert shift.levels[0].severity < 2.5
    assert "does not fall everywhere" in found.remarks()[0]


def test_images_that_do_not_change_make_nothing_infinite():
    images = np.zeros((2, 1, 8, 8))
    images[1] = 0.5
    import torch

    before = torch.from_numpy(images)
    after = before.clone()
    after[0] += 0.1
    assert psnr_between(before, after) == pytest.approx(-10 * np.log10(0.01 / 2))


def test_levels_between_are_linear(some):
    found = calibrate(some, ["contrast"], psnr_db=(30, 24))
    first, second = (level.severity for level in found.shifts["contrast"].levels)
    assert found.severity("contrast", 0) == 0
    assert found.severity("contrast", 1) == first
    assert found.severity("contrast", 1.25) == pytest.approx(0.75 * first + 0.25 * second, abs=1e-4)
    with pytest.raises(InputError, match="level 3 is out of range"):
        found.severity("contrast", 3)
    with pytest.raises(InputError, match="jpeg was not calibrated"):
        found.severity("jpeg", 1)


def test_the_file_says_all_and_is_read_back(some, tmp_path):
    found = calibrate(some, ["contrast"], psnr_db=(24,), seed=3)
    assert (found.data, found.split, found.n, found.seed) == ("digits", "test", 12, 3)
    assert found.manifest_sha256 == some.manifest_hash
    assert found.image_shape == [1, 8, 8]
    (tmp_path / "a.json").write_text(found.model_dump_json())
    assert read_scale(tmp_path / "a.json") == found
    (tmp_path / "a.json").write_text(found.model_dump_json().replace('"n":12', '"n":"many"'))
    with pytest.raises(InputError, match="holds no scale"):
        read_scale(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot read"):
        read_scale(tmp_path / "none.json")


def test_other_images_are_noticed(some):
    found = calibrate(some, ["contrast"], psnr_db=(24,))
    assert found.doubts(some) == []
    assert found.doubts(load_dataset("digits", limit=20)) == []  # of the same set, others
    assert "other images" in found.doubts(load_dataset("digits", limit=12, seed=1))[0]
    assert "digits, test" in found.doubts(replace(some, spec="parts"))[0]
    assert "8 × 8" in found.doubts(load_dataset("digits", limit=20, input_size=(16, 16)))[0]


@pytest.mark.parametrize(
    ("shift", "told"),
    [
        ("contrast(severity=2)", "says its severity"),
        ("contrast + jpeg", "no single shift"),
        ("contrast(factor=0.5)", "no single shift with a severity"),
        ("pgd(eps=0.1)", "no single shift"),
        ("night(exposure_ev=-3)", "changes the images at severity 0 already"),
    ],
)
def test_what_has_no_severity_is_refused(some, shift, told):
    with pytest.raises(InputError, match=told):
        calibrate(some, [shift])


@pytest.mark.parametrize("levels", [(), (20, 30), (30, 30), (0,), (float("nan"),), (30, -1)])
def test_levels_that_are_no_scale_are_refused(some, levels):
    with pytest.raises(InputError, match="is no scale"):
        calibrate(some, ["contrast"], psnr_db=levels)
