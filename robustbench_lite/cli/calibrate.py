"""What ``rb shift --calibrate`` does and prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.preview import data_and_sweeps
from robustbench_lite.cli.sweeps import Sweep
from robustbench_lite.errors import InputError
from robustbench_lite.files import result_file, write_file
from robustbench_lite.specs import parse_number

if TYPE_CHECKING:
    from robustbench_lite.severities import Scale

_IMAGES = 64


def run_calibration(common: Common, found: Sequence[Sweep], psnr: str | None, *, overwrite: bool) -> None:
    """Find the severities with the stated PSNRs, and write them to a file."""
    out = result_file(common.out, "severities.json", overwrite=overwrite)
    from robustbench_lite.severities import PSNR_DB, calibrate, checked_levels

    wanted = checked_levels(PSNR_DB if psnr is None else _decibels(psnr))
    dataset, kept = data_and_sweeps(common, found, _IMAGES)
    shifts = list(dict.fromkeys(sweep.text for sweep in kept))
    if common.dry_run:
        plan = {"data": dataset.spec, "n": len(dataset), "psnr_db": wanted, "shifts": shifts, "scale": str(out)}
        if common.json:
            console.print_json(plan)
        else:
            for key, value in plan.items():
                console.stdout().print(f"{key}: {value}", markup=False)
        return
    with console.progress_bar(quiet=common.quiet) as update:
        scale = calibrate(dataset, shifts, psnr_db=wanted, seed=common.seed, on_progress=update)
    write_file(out, (scale.model_dump_json(indent=2) + "\n").encode())
    _print(scale, out, as_json=common.json)
    for line in scale.remarks():
        console.note(f"warning: {line}.")
    if not common.quiet:
        console.note(f"Next: rb shift --scale {out} with the same shifts and --data.")


def _decibels(text: str) -> list[float]:
    try:
        return [float(parse_number(level)) for level in text.split(",")]
    except InputError:
        raise InputError(f"--psnr {text} is no list of levels.", "Write it like 30,26,22,19,16.") from None


def _print(scale: Scale, out: Path, *, as_json: bool) -> None:
    if as_json:
        console.print_json({"scale": str(out), **scale.model_dump()})
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"severity by PSNR, {scale.n} images of {scale.data}", title_justify="left")
    table.add_column("shift", overflow="fold")
    for level, wanted in enumerate(scale.psnr_db, 1):
        table.add_column(f"{level}: {wanted:g} dB", justify="right")
    for name, found in scale.shifts.items():
        cells = ["–" if level.severity is None else f"{level.severity:.3f}" for level in found.levels]
        table.add_row(Text(name), *cells)
    out_ = console.stdout()
    out_.print(table)
    out_.print(f"scale: {out}", markup=False, soft_wrap=True)
