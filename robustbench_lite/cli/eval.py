"""The command ``rb eval``."""

from __future__ import annotations

from typing import Annotated

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import As8Bit, Common, DetectorFolder, NoChecks, SaveImages, with_common


@with_common
@console.guarded
def evaluate(
    common: Common,
    on: Annotated[list[str], typer.Option("--on", help="A condition: attack, shift or chain; may be repeated.")],
    detector: DetectorFolder = None,
    as_8bit: As8Bit = False,
    no_checks: NoChecks = False,
    save_images: SaveImages = False,
) -> None:
    """Accuracy under any list of conditions, written as specs.

    Examples:

      rb eval --on "pgd(eps=0.1)" --on "night(severity=3)" --on "night(severity=2) + pgd(eps=0.05)"

      rb eval --on "mine.py:Scratch(depth=0.2)" --model net.safetensors --data folder:parts
    """
    from robustbench_lite.cli.evaluate import run_evaluation

    run_evaluation(
        "eval",
        common,
        on,
        detector=detector,
        as_8bit=as_8bit,
        save_images=save_images,
        probes=not no_checks,
    )
