"""What ``rb shift`` does: evaluate, find a breaking point, show the images, or calibrate the severities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.cli.options import Common
from robustbench_lite.cli.running import Running
from robustbench_lite.cli.sweeps import Sweep, levels_of, optional, sweeps
from robustbench_lite.errors import InputError
from robustbench_lite.runs import read_run

if TYPE_CHECKING:
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.severities import Scale


@dataclass(frozen=True)
class Modes:
    """The options that say what is done with the shifts."""

    preview: bool = False
    calibrate: bool = False
    psnr: str | None = None
    scale: Path | None = None
    overwrite: bool = False
    until: float | None = None
    tolerance: float | None = None
    search: Sequence[str] = ()
    tries: int | None = None

    def check(self, severity: str | None) -> None:
        """Raise InputError if options are given that mean nothing together."""
        if self.preview and self.calibrate:
            raise InputError("--preview and --calibrate are two things.", "Do one after the other.")
        if self.psnr is not None and not self.calibrate:
            raise InputError("--psnr says what to calibrate to.", "Give --calibrate, or leave it out.")
        if self.calibrate and (self.scale or severity is not None):
            flag = "--scale" if self.scale else "--severity"
            raise InputError(f"{flag} means nothing to --calibrate: it looks for severities.", "Leave it out.")
        if self.tolerance is not None and self.until is None:
            raise InputError("--tolerance says how near --until looks.", "Give --until, or leave it out.")
        if self.until is not None and (self.preview or self.calibrate or self.scale):
            flag = "--preview" if self.preview else "--calibrate" if self.calibrate else "--scale"
            raise InputError(f"{flag} means nothing to --until: it looks for a severity.", "Leave it out.")
        if self.search and (self.preview or self.calibrate):
            raise InputError("--search asks the network; --preview and --calibrate do not.", "Leave one out.")
        if self.search and self.until is not None:
            raise InputError("--search and --until look for two things.", "Do one after the other.")
        if self.tries is not None and not self.search:
            raise InputError("--tries says how long to search.", "Give --search, or leave it out.")
        if self.overwrite and not (self.preview or self.calibrate):
            raise InputError("--overwrite is for the file of --preview or --calibrate.", "Choose another --out.")


def run_shift(
    common: Common,
    running: Running,
    asked: Mapping[str, Sequence[str]],
    suites: Sequence[str],
    severity: str | None,
    modes: Modes,
    *,
    baseline: Path | None,
) -> None:
    """Do what the options say to every shift that was asked for, by family or as a published set."""
    modes.check(severity)
    if running.shard and (modes.preview or modes.calibrate or modes.until is not None):
        flag = "--preview" if modes.preview else "--calibrate" if modes.calibrate else "--until"
        raise InputError(f"{flag} looks at all images together: it has no --shard.", "Leave it out.")
    if running.resume and (modes.preview or modes.calibrate):
        flag = "--preview" if modes.preview else "--calibrate"
        raise InputError(
            f"{flag} asks no network: there is nothing that --resume could go on with.", "Leave it out."
        )
    if running.detector and (modes.preview or modes.calibrate or modes.until is not None):
        flag = "--preview" if modes.preview else "--calibrate" if modes.calibrate else "--until"
        raise InputError(f"{flag} has no place for a --detector.", "Leave it out.")
    if suites and (modes.calibrate or modes.scale or modes.until is not None):
        raise InputError(
            "a published set has five severities of its own: it is neither calibrated nor searched.",
            "Leave --suite out.",
        )
    if baseline and (not suites or modes.preview):
        raise InputError("--baseline is what the errors of a published set are divided by.", "Give --suite.")
    if baseline and severity is not None and not set(levels_of(severity)) >= {1, 2, 3, 4, 5}:
        raise InputError(
            f"--baseline needs all five severities of a published set, not {severity}.", "Leave --severity out."
        )
    reference = None if baseline is None else read_run(baseline)
    scale: Scale | None = None
    if modes.scale is not None:
        from robustbench_lite.severities import read_scale

        scale = read_scale(modes.scale)
    levels = f"1-{len(scale.psnr_db) if scale else 5}"
    found: list[Sweep] = []
    if suites or any(asked.values()) or not modes.search:
        found = sweeps(asked, levels if severity is None else severity, suites, scale)
    if modes.calibrate:
        from robustbench_lite.cli.calibrate import run_calibration

        run_calibration(common, found, modes.psnr, overwrite=modes.overwrite)
        return
    remarks = partial(_remarks, scale, modes.scale, found)
    if modes.preview:
        from robustbench_lite.cli.preview import run_preview

        run_preview(common, found, overwrite=modes.overwrite, remarks=remarks)
        return
    if modes.until is not None:
        from robustbench_lite.cli.breaking import seek

        seek(common, running, found, modes.until, severity or levels, modes.tolerance)
        return
    from robustbench_lite.cli.evaluate import run_evaluation

    specs = [spec for sweep in found for spec in sweep.specs]
    run_evaluation(
        "shift",
        common,
        running,
        specs,
        optional=optional(found),
        remarks=remarks,
        ranges=modes.search,
        tries=modes.tries,
        baseline=reference,
    )


def _remarks(scale: Scale | None, path: Path | None, found: Sequence[Sweep], dataset: Dataset) -> list[str]:
    """What is said of a calibrated scale beside the conditions that it has led to."""
    if scale is None:
        return []
    levels = ", ".join(f"{level:g}" for level in scale.psnr_db)
    told = [f"severity 1-{len(scale.psnr_db)} stands for a PSNR of {levels} dB on {scale.data}, as {path} says"]
    for sweep in found:
        if sweep.left_out:
            levels = ", ".join(f"{level:g}" for level in sweep.left_out)
            told.append(f"left out, because the scale has no severity for it: level {levels} of {sweep.text}")
    return told + scale.doubts(dataset)
