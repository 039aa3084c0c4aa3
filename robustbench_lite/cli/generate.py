"""What ``rb generate`` does: opens or fits a model of images, and writes a sheet of what was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console, registry
from robustbench_lite.cli.generate_samples import with_samples
from robustbench_lite.cli.generate_views import PATHS, with_interpolation, with_reconstructions, with_traversals
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.train_generator import print_record
from robustbench_lite.errors import InputError
from robustbench_lite.files import result_file, write_file
from robustbench_lite.specs import parse

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from robustbench_lite.data.dataset import Dataset

DEFAULT_MODEL = "pca"
CHECKPOINTS = (".safetensors", ".pt", ".pth")
NUMBERS = {"samples": 32, "reconstruct": 16, "traverse": 10, "interpolate": 9}
"""What --n is by default: images in a block, latents, steps."""
MOST_TILES = 1000
MOST_VALUES = 2**27
"""Values of a split that is loaded: 1 GiB as float64, of which fitting makes a few copies."""


@dataclass(frozen=True)
class Request:
    """What is asked for, beside the shared options.

    Args:
        view: ``samples``, ``reconstruct``, ``traverse`` or ``interpolate``.
        n: see ``NUMBERS``.
        pair: of images to interpolate between, by place in the split.
        path: ``linear``, ``spherical``, or None for what suits the model.
        with_data: whether images were asked for; a checkpoint can do without.
        out: the sheet.
    """

    view: str
    n: int
    pair: tuple[int, int]
    path: str | None
    with_data: bool
    out: Path


@dataclass(frozen=True)
class Opened:
    """The model that --model names: one that is still to be fitted, or one from a checkpoint.

    Args:
        spec: what it is.
        maker: the class to fit, or None.
        model: the fitted model, or None.
        file: the checkpoint, or None.
    """

    spec: str
    maker: Any = None
    model: Any = None
    file: str | None = None


def run_generation(
    common: Common,
    *,
    n: int | None,
    reconstruct: bool,
    traverse: bool,
    interpolate: str | None,
    path: str | None,
    data_given: bool,
    overwrite: bool,
) -> None:
    """Open or fit the model, make what was asked for, write the sheet, print the figures."""
    request = _request(common, n, (reconstruct, traverse, interpolate), path, data_given, overwrite)
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading", quiet=common.quiet):
        opened = _open(common)
        _check(common, request, opened)
        from robustbench_lite.sheets import contact_sheet
        from robustbench_lite.weights import check_writable

        sets = _data(common, request, opened)
    plan: dict[str, Any] = {"model": opened.spec}
    if opened.file:
        plan["checkpoint"] = opened.file
    if sets:
        plan["data"] = common.data
    plan |= {f"n_{split}": len(found) for split, found in sets.items()}
    if common.dry_run:
        plan["sheet"] = str(request.out)
        print_record(plan, as_json=common.json)
        return
    check_writable(request.out)
    with console.busy(f"working with {opened.spec}", quiet=common.quiet):
        images = {split: _images(found) for split, found in sets.items()}
        model = opened.model or opened.maker.fit(images["train"], common.seed)
        if request.view == "samples":
            groups = sets["test"].groups if "test" in sets else None
            made = with_samples(opened, model, images, groups, common.data, request.n, common.seed)
        elif request.view == "reconstruct":
            title = f"images: {common.data}, {common.split}"
            made = with_reconstructions(opened.spec, model, images[common.split], title, request.n)
        elif request.view == "traverse":
            made = with_traversals(opened.spec, model, images.get(common.split), request.n)
        else:
            shown = images[common.split]
            made = with_interpolation(opened.spec, model, shown, request.pair, request.path, request.n)
        write_file(request.out, contact_sheet(made.blocks))
    plan |= {f"n_{split}": len(found) for split, found in images.items()}
    for note in made.notes:
        console.note(note)
    if common.json:
        console.print_json({**plan, **made.result, "sheet": str(request.out)})
        return
    out = console.stdout()
    for part in made.tables:
        out.print(part)
    out.print(f"sheet: {request.out}", markup=False, soft_wrap=True)


def _request(
    common: Common,
    n: int | None,
    views: tuple[bool, bool, str | None],
    path: str | None,
    data_given: bool,
    overwrite: bool,
) -> Request:
    """Refuse what means nothing here, before anything is loaded."""
    for field in ("weights", "mean", "std", "batch_size"):
        if getattr(common, field) is not None and not (field == "weights" and _is_own(common.model)):
            flag = f"--{field.replace('_', '-')}"
            raise InputError(f"{flag} means nothing to a model of images.", "Leave it out.")
    asked = [name for name, given in zip(list(NUMBERS)[1:], views, strict=True) if given not in (False, None)]
    if len(asked) > 1:
        raise InputError(f"--{asked[0]} and --{asked[1]} are two sheets.", "Give one of them at a time.")
    view = asked[0] if asked else "samples"
    if common.split != "test" and view in ("samples", "traverse"):
        raise InputError(
            f"--split {common.split} means nothing to {view.replace('traverse', 'traversals')}.",
            "It learns from train and reports on both train and test."
            if view == "samples"
            else "Latents are weighed on the test split.",
        )
    if path is not None and view != "interpolate":
        raise InputError("--path is that of --interpolate.", "Give both, or leave it out.")
    if path is not None and path not in PATHS:
        raise InputError(f"--path {path} is unknown.", f"Give {' or '.join(PATHS)}.")
    number = NUMBERS[view] if n is None else n
    least = 2 if view == "interpolate" else 1
    if not least <= number <= MOST_TILES:
        raise InputError(f"--n {number} is refused.", f"Give {least} to {MOST_TILES}.")
    out = result_file(common.out, "sheet.png", overwrite=overwrite)
    pair = _pair(views[2]) if views[2] is not None else (0, 0)
    return Request(view, number, pair, path, data_given, out)


def _is_own(model: str) -> bool:
    """Whether it is a program, whose checkpoint is given beside it."""
    return Path(model).suffix not in CHECKPOINTS and registry.is_code("generator", parse(model)[0].name)


def _pair(text: str) -> tuple[int, int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--interpolate {text} names no two images.", "Write it like 0,7: places in the split.")
    return int(parts[0]), int(parts[1])


def _open(common: Common) -> Opened:
    text = DEFAULT_MODEL if common.model == "demo" else common.model
    from robustbench_lite.classifiers.loading import resolve_device
    from robustbench_lite.generative.loading import load_generator

    if Path(text).suffix in CHECKPOINTS:
        fitted = load_generator(Path(text), device=resolve_device(common.device))
        return Opened(fitted.spec, model=fitted.model, file=text)
    maker = registry.make_one("generator", text)
    spec = registry.spec(maker)
    if common.weights is not None:
        fitted = load_generator(common.weights, device=resolve_device(common.device), spec=spec)
        return Opened(spec, model=fitted.model, file=str(common.weights))
    if not hasattr(maker, "fit"):
        train = f"rb train --model {spec!r} --data {common.data} --out net.safetensors"
        raise InputError(f"{spec} must be trained first.", f"{train}, and give that as --model.")
    return Opened(spec, maker=maker)


def _check(common: Common, request: Request, opened: Opened) -> None:
    """Refuse what means nothing to this model."""
    if common.device != "auto" and not hasattr(opened.model, "parameters"):
        raise InputError("--device means nothing to a density model.", "Leave it out.")
    if opened.maker is not None:
        return
    if not request.with_data and request.view in ("reconstruct", "interpolate"):
        raise InputError(f"--{request.view} needs images.", "Give --data.")
    for flag in ("limit", "first"):
        if getattr(common, flag) is not None and not (request.view == "samples" and request.with_data):
            raise InputError(f"--{flag} is about training images, and none are asked for here.", "Leave it out.")


def _data(common: Common, request: Request, opened: Opened) -> dict[str, Dataset]:
    """The splits that are asked for, in the shape of the model if it has one already."""
    from robustbench_lite.generative.pixels import times
    from robustbench_lite.runner import load_data

    if opened.model is not None and not request.with_data:
        return {}
    fits = opened.maker is not None or request.view == "samples"  # the histogram is always fitted
    shown = opened.maker is None or request.view != "traverse"  # axes need no images to be weighed
    wanted = ["train"] * fits + [common.split] * (shown and not (fits and common.split == "train"))
    shape = None if opened.model is None else opened.model.shape
    inputs = common.inputs()
    if shape is not None and not common.given("input_size", "resize", "channels"):
        inputs = replace(inputs, input_size=None, resize=None, channels=None)
    sets = {}
    for split in wanted:
        limits: dict[str, Any] = {} if split == "train" and fits else {"limit": None, "first": None}
        sets[split] = found = load_data(replace(inputs, split=split, **limits), shape=shape)
        if shape is not None and found.image_shape != shape:
            raise InputError(
                f"the images of {found.spec} are {times(found.image_shape)}; {opened.file} is a model of "
                f"{times(shape)}.",
                "Give images like those it was trained on.",
            )
        if shape is not None and not common.quiet:
            _say_scaled(found, split)
    if opened.maker is not None:
        opened.maker.check(len(sets["train"]), sets["train"].image_shape)
    return sets


def _say_scaled(dataset: Dataset, split: str) -> None:
    """Images that are shown otherwise than they are in their files."""
    if dataset.metadata is None or not len(dataset):
        return
    size, (_, height, width) = dataset.metadata(0), dataset.image_shape
    if (size.height, size.width) != (height, width):
        console.note(
            f"note: the {split} images ({size.height}×{size.width}, the first) are scaled to {height}×{width}, "
            "the size of the model's."
        )


def _images(dataset: Dataset) -> npt.NDArray[np.float32]:
    """All images of a split (N, C, H, W) that can be read."""
    import numpy as np

    values = len(dataset) * math.prod(dataset.image_shape)
    if values > MOST_VALUES:
        raise InputError(
            f"the {dataset.split} split of {dataset.spec} is {values:,} values; {MOST_VALUES:,} fit.",
            "Give --input-size, or fewer images with --limit (for training).",
        )
    batches = list(dataset.batches(128))
    skipped = [*dataset.skipped, *(s for batch in batches for s in batch.skipped)]
    if skipped:
        console.note(f"warning: {len(skipped)} images could not be read (first: {skipped[0].file}).")
    found = [batch.images.numpy() for batch in batches if len(batch.labels)]
    if not found:
        raise InputError(f"{dataset.spec} holds no image that can be read.", "Check the files.")
    if len({images.shape[1:] for images in found}) > 1:
        raise InputError(f"the images of {dataset.spec} differ in shape.", "Give --input-size (and --channels).")
    return np.concatenate(found)
