"""What ``rb shift --preview`` does and prints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from robustbench_lite import console, registry
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.sweeps import Sweep
from robustbench_lite.files import result_file, write_file

if TYPE_CHECKING:
    from robustbench_lite.data.dataset import Dataset

_IMAGES = 4


def run_preview(
    common: Common,
    found: Sequence[Sweep],
    *,
    overwrite: bool,
    remarks: Callable[[Dataset], Sequence[str]] = lambda dataset: (),
) -> None:
    """Write the contact sheet of some images under every shift."""
    out = result_file(common.out, "preview.png", overwrite=overwrite)
    dataset, kept = data_and_sweeps(common, found, _IMAGES)
    for line in () if common.quiet else remarks(dataset):
        console.note(f"note: {line}")
    plan = {
        "data": dataset.spec,
        "images": list(dataset.files),
        "shifts": [sweep.text for sweep in kept],
        "preview": str(out),
    }
    if not common.dry_run:
        from robustbench_lite.previews import preview

        with console.busy("painting", quiet=common.quiet):
            write_file(out, preview(dataset, [sweep.specs for sweep in kept], seed=common.seed))
    if common.json:
        console.print_json(plan)
        return
    shown = f"{len(kept)} shift{'s' * (len(kept) > 1)}, {len(dataset)} image{'s' * (len(dataset) > 1)}"
    sys.stdout.write(f"{shown} of {dataset.spec}\npreview: {out}\n")


def data_and_sweeps(common: Common, found: Sequence[Sweep], limit: int) -> tuple[Dataset, list[Sweep]]:
    """The images, without the network, and the sweeps that fit them; what is left out is said."""
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading the images", quiet=common.quiet):
        from robustbench_lite.applying import needing_colour
        from robustbench_lite.inputs import DEMO_DATA
        from robustbench_lite.runner import colour_note, load_images

        inputs = common.inputs()
        if not common.given("limit", "first"):
            inputs = replace(inputs, limit=limit, first=None)
        dataset = load_images(inputs)
    channels = dataset.image_shape[0]
    found = [sweep for sweep in found if sweep.specs]
    grey = [s for s in found if s.optional and needing_colour([registry.make(s.specs[0])], channels)]
    kept = [sweep for sweep in found if sweep not in grey] or list(found)
    left_out = [registry.make(sweep.specs[0]) for sweep in found if sweep not in kept]
    of_data = () if inputs.data == DEMO_DATA else dataset.notes
    for line in () if common.quiet else (*of_data, *colour_note(left_out, channels)):
        console.note(f"note: {line}")
    return dataset, kept
