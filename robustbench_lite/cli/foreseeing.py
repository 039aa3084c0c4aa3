"""What the command line and the files alone tell is refused before torch is imported, which takes seconds.

Each refusal is in the words of the one that would come later: to read the file itself takes torch.
"""

from __future__ import annotations

from pathlib import Path

from robustbench_lite.cli.options import Common
from robustbench_lite.cli.running import Running
from robustbench_lite.errors import InputError
from robustbench_lite.inputs import DEMO_DATA, check_demo, parse_size
from robustbench_lite.run_folder import check_asked

_WEIGHTS = (".safetensors", ".pt", ".pth")


def foresee(common: Common, running: Running) -> None:
    """Refuse what cannot come to anything.

    Raises:
        InputError: files or folders that are not there, a place that is taken, or options that do not fit.
    """
    parse_size(common.input_size)
    if not common.dry_run:
        check_asked(common.out, resume=running.resume, save_images=running.save_images)
    model = Path(common.model).expanduser()
    if model.suffix in _WEIGHTS and not model.is_file():
        raise InputError(f"no such file: {model}", "Check the path.")
    kind, _, place = common.data.partition(":")
    if kind.lower() != "run":
        check_demo(common.model, common.data, known=common.data == DEMO_DATA)
    where = Path(place).expanduser().absolute()
    if place and kind.lower() in ("folder", "images") and not where.is_dir():
        raise InputError(f"no such folder: {place}.", f"Check the path; it was looked for at {where}.")
    if place and kind.lower() == "npz" and not where.is_file():
        raise InputError(f"no such file: {place}.", f"Check the path; it was looked for at {where}.")
    if running.detector is not None and not (running.detector / "detector.json").is_file():
        raise InputError(
            f"{running.detector} is no detector: it holds no detector.json.", "Fit one: rb outliers fit."
        )
