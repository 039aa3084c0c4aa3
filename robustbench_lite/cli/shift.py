"""The command ``rb shift``: its options, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import Baseline, Common, with_common
from robustbench_lite.cli.running import Running
from robustbench_lite.names import FAMILIES, PUBLISHED

SHIFTS, WORST, INSTEAD = "Shifts", "How far, and the worst case", "Without a network"


def _family(name: str) -> Any:
    """The option of one risk; its help names the shifts."""
    shifts = ", ".join(["all", *FAMILIES[name]])
    return typer.Option(f"--{name}", metavar="SHIFT", help=f"{shifts}.", rich_help_panel=SHIFTS)


@with_common
@console.guarded
def shift(
    common: Common,
    running: Running,
    lighting: Annotated[list[str] | None, _family("lighting")] = None,
    optics: Annotated[list[str] | None, _family("optics")] = None,
    sensor: Annotated[list[str] | None, _family("sensor")] = None,
    weather: Annotated[list[str] | None, _family("weather")] = None,
    digital: Annotated[list[str] | None, _family("digital")] = None,
    geometry: Annotated[list[str] | None, _family("geometry")] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            "--suite",
            metavar="SET",
            help=f"{', '.join(PUBLISHED)}: 15 corruptions by published parameters; 19 of imagenet_c(extra=true).",
            rich_help_panel=SHIFTS,
        ),
    ] = None,
    baseline: Baseline = None,
    severity: Annotated[
        str | None, typer.Option("--severity", "-s", help="1-5, 3, 0.5,1,2: from 0 (nothing) to 5. (default: 1-5)")
    ] = None,
    scale: Annotated[
        Path | None, typer.Option(help="What --calibrate wrote: the severities are its levels.")
    ] = None,
    until: Annotated[
        float | None,
        typer.Option(
            help="Find the severity where the accuracy falls below this share of the clean one, like 0.9.",
            rich_help_panel=WORST,
        ),
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Of --until, in severities. (default: 0.05)", rich_help_panel=WORST)
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="RANGES",
            help='The worst case in ranges: "night(exposure_ev=-4..-1) + rotation(degrees=-10..10)".',
            rich_help_panel=WORST,
        ),
    ] = None,
    tries: Annotated[
        int | None, typer.Option(help="Of --search, per image. (default: 64)", rich_help_panel=WORST)
    ] = None,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Show the images: a contact sheet, preview.png.", rich_help_panel=INSTEAD),
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Find the severities of stated PSNRs on these images: severities.json.",
            rich_help_panel=INSTEAD,
        ),
    ] = False,
    psnr: Annotated[
        str | None,
        typer.Option(help="Of --calibrate, in dB. (default: 30,26,22,19,16)", rich_help_panel=INSTEAD),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=INSTEAD)
    ] = False,
) -> None:
    """Accuracy under synthetic distribution shift, severity by severity.

    The options of the risks take a name, a spec, or all, and may be repeated.

    Examples:

      rb shift --lighting night

      rb shift --lighting all --weather all --severity 3

      rb shift --lighting all --preview --data folder:parts --out lighting.png

      rb shift --lighting all --calibrate --data folder:parts --out parts.json

      rb shift --lighting night --until 0.9 --model net.safetensors --data folder:parts

      rb shift --search "night(exposure_ev=-4..-1) + rotation(degrees=-10..10)"

      rb shift --sensor gaussian_noise --digital jpeg --severity 1,3,5 --data folder:parts --model net.safetensors

      rb shift --lighting "night(exposure_ev=-3, auto_exposure=0)"

      rb shift --suite imagenet-c --data folder:photos --model torchvision:resnet18
    """
    from robustbench_lite.cli.shift_modes import Modes, run_shift

    asked = {
        "lighting": lighting,
        "optics": optics,
        "sensor": sensor,
        "weather": weather,
        "digital": digital,
        "geometry": geometry,
    }
    modes = Modes(preview, calibrate, psnr, scale, overwrite, until, tolerance, search or [], tries)
    families = {family: wanted or [] for family, wanted in asked.items()}
    run_shift(common, running, families, suite or [], severity, modes, baseline=baseline)
