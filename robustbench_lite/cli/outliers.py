"""The commands ``rb outliers …``: their options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import UNREAD_DETECTING, Common, with_common

DETECTOR = "Detector"

Folder = Annotated[Path, typer.Argument(metavar="DETECTOR", help="A detector's folder.")]
Normal = Annotated[
    list[str] | None,
    typer.Option("--normal", metavar="CLASS", help="Normal classes: good, or 0,1. (default: all)"),
]
FalseAlarms = Annotated[float, typer.Option(help="Share of normal images that may cause an alarm.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def with_splits(out: str) -> Callable[[Any], Any]:
    """The shared options; the split follows from the command, unless given. ``out``: what --out is without."""
    return functools.partial(with_common, out=out, split="auto", unread=UNREAD_DETECTING)


def with_scoring(out: str) -> Callable[[Any], Any]:
    """The same; and whatever cannot be read is named and left out."""
    return functools.partial(with_common, out=out, split="auto", max_damaged=1.0, unread=UNREAD_DETECTING)


def names(normal: list[str] | None) -> list[str]:
    """``--normal a,b --normal c`` as names."""
    return [name.strip() for text in normal or () for name in text.split(",") if name.strip()]


@functools.partial(with_common, out="detector", split="auto", unread=("limit", "first", "batch_size"))
@console.guarded
def fit(
    common: Common,
    normal: Normal = None,
    preset: Annotated[
        str | None,
        typer.Option(help="surfaces (small defects) or objects (another shape). (default: suits the data)"),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option("--score", metavar="SPEC[=WEIGHT]", help="Instead of a preset; see rb ls scores."),
    ] = None,
    generator: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A model of images that scores ask. (default: a vae)")
    ] = None,
    false_alarms: FalseAlarms = 0.01,
    calibration: Annotated[
        float, typer.Option(help="Share of the images that is kept for the threshold; 0: none.")
    ] = 0.25,
    no_probes: Annotated[
        bool, typer.Option("--no-probes", help="Do not try it on images that no normal one looks like.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a detector to normal images, and choose its threshold with a part of them.

    --model is the classifier that a score asks, if one does. --split auto is train, and everything of a path that
    is not divided.

    Examples:

      rb outliers fit

      rb outliers fit --data folder:PARTS/train --normal good --out detector

      rb outliers fit --data images:GOOD --input-size 128 --channels 1 --false-alarms 0.05
    """
    from robustbench_lite.cli.outliers_fit import FitOptions, run_fit

    options = FitOptions(
        normal=names(normal),
        preset=preset,
        scores=score or [],
        generator=generator,
        false_alarms=false_alarms,
        calibration=calibration,
        overwrite=overwrite,
        probes=not no_probes,
    )
    run_fit(common, options)


@with_splits("none; the detector's folder is changed")
@console.guarded
def calibrate(common: Common, detector: Folder, normal: Normal = None, false_alarms: FalseAlarms = 0.01) -> None:
    """Choose the threshold anew, with normal images that were used for nothing else.

    --split auto is val, and everything of a path that is not divided.

    Example: rb outliers calibrate detector --data folder:PARTS/calibration --normal good --false-alarms 0.01
    """
    from robustbench_lite.cli.outliers_fit import run_calibrate

    run_calibrate(common, detector, names(normal), false_alarms)


@with_scoring("nothing is written")
@console.guarded
def judge(
    common: Common,
    detector: Folder,
    normal: Normal = None,
    defect_rate: Annotated[
        float, typer.Option(help="Share of outliers in operation, for the value of an alarm.")
    ] = 0.01,
    masks: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the outlying pixels are: a mask per outlier.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """How well a detector tells labelled outliers from normal images, and whether it keeps its promise.

    The normal classes are those that were said to fit, unless --normal says others. --split auto is test, and
    everything of a path that is not divided. --out FOLDER writes test.json, the document of --json, and
    scores.csv, a row per image.

    Examples:

      rb outliers fit --normal 0,1,2,3,4 && rb outliers test detector

      rb outliers test detector --data folder:PARTS/test --normal good --masks MASKS --json
    """
    from robustbench_lite.cli.outliers_judge import run_test

    run_test(common, detector, names(normal), defect_rate, masks, overwrite=overwrite)


@with_scoring("scores")
@console.guarded
def score(
    common: Common,
    detector: Folder,
    overwrite: Overwrite = False,
    no_heatmaps: Annotated[
        bool, typer.Option("--no-heatmaps", help="Write the table and the sheet only.")
    ] = False,
) -> None:
    """Score images: a table, heat maps, and a contact sheet with the most outlying first.

    --split auto is test, and everything of a path that is not divided.

    Example: rb outliers score detector --data images:INCOMING --out scores
    """
    from robustbench_lite.cli.outliers_score import run_score

    run_score(common, detector, overwrite=overwrite, heatmaps=not no_heatmaps)


@with_scoring("the detector's folder")
@console.guarded
def probe(
    common: Common,
    detector: Folder,
    normal: Normal = None,
    probe: Annotated[
        list[str] | None,
        typer.Option("--probe", metavar="SPEC", help="A shift, or a chain of them, as one more probe."),
    ] = None,
) -> None:
    """Try a detector on images that no normal one looks like: what does it not see?

    The probes are made of normal images that it was not fitted to. --split auto is test, and everything of a path
    that is not divided. The files go into the detector's folder, or to --out.

    Examples:

      rb outliers probe detector

      rb outliers probe detector --data folder:PARTS/test --normal good --probe "lens_scratches(severity=3)"
    """
    from robustbench_lite.cli.outliers_probe import run_probe

    run_probe(common, detector, names(normal), probe or [])


def group(cls: Any) -> typer.Typer:
    """The group of commands, listed by ``cls``."""
    app = typer.Typer(
        name="outliers",
        cls=cls,
        help="Find images that do not look like the normal ones, with a promised share of false alarms.\n\n"
        "Start with: rb outliers fit.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for command in (fit, calibrate, score, probe):
        app.command()(command)
    app.command("test")(judge)
    return app
