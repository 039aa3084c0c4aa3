"""What ``rb train --protocol`` does and prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.train_inputs import architecture_of, check_folder, recipe_of, start_of
from robustbench_lite.errors import ExitCode, InputError
from robustbench_lite.files import write_file

if TYPE_CHECKING:
    from robustbench_lite.cli.train_run import Asked
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.data.folds import Fold
    from robustbench_lite.fold_plan import Plan
    from robustbench_lite.inputs import Inputs
    from robustbench_lite.protocols import Progress

FOLDER = Path("folds")  # without --out


def run_protocol(common: Common, asked: Asked) -> None:
    """Train and judge a network per fold, and print what they come to."""
    folder = common.out or FOLDER
    _check_asked(common, asked, folder)
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading", quiet=common.quiet):
        from robustbench_lite.fold_plan import NO_IMAGE_LEFT
        from robustbench_lite.protocols import carried_out

        plan = _plan(common, asked, folder)
    if common.split == "all":
        console.note(f"warning: {NO_IMAGE_LEFT}")
    for text in plan.notes:
        console.note(f"warning: {text}")
    if common.dry_run:
        _print_plan(plan, as_json=common.json)
        return
    if asked.overwrite and not asked.resume:  # or networks of more folds would stay among those of fewer
        for file in (*folder.glob("fold-*.safetensors"), *folder.glob("fold-*.resume")):
            file.unlink()
    with console.progress_bar(quiet=common.quiet) as update:

        def on_progress(p: Progress) -> None:
            update(p.done, p.total, f"fold {p.fold} of {len(plan.folds)}")

        found = carried_out(plan, resume=asked.resume, on_progress=on_progress)
    document = found.document()
    _write(folder, document, found.table.to_csv(index=False), found.predictions.to_csv(index=False))
    _print(document, folder, common)
    if found.status == "interrupted":
        console.note(f"interrupted; what was finished is in {folder}. The same with --resume goes on.")
        raise typer.Exit(ExitCode.INTERRUPTED)


def _plan(common: Common, asked: Asked, folder: Path) -> Plan:
    from robustbench_lite.classifiers.loading import resolve_device
    from robustbench_lite.fold_plan import planned
    from robustbench_lite.training.options import TrainingOptions
    from robustbench_lite.training.suiting import suited

    protocol = asked.protocol or ""
    inputs = common.inputs()
    dataset, folds = _images(inputs, protocol)
    recipe = recipe_of(asked)
    options = suited(TrainingOptions(**asked.learning), asked.learning, recipe, len(dataset))
    return planned(
        *(architecture_of(common, attacked=asked.adversarial is not None), dataset, protocol, options),
        recipe=recipe,
        folds=folds,
        moments=_moments(inputs, dataset, asked.order) if protocol.startswith("time") else None,
        start=start_of(common, asked),
        device=resolve_device(common.device),
        folder=folder,
    )


def _images(inputs: Inputs, protocol: str) -> tuple[Dataset, list[Fold] | None]:
    """The images that are divided, and for ``holdout`` how: as they come."""
    import numpy as np

    from robustbench_lite.data.dataset import joined
    from robustbench_lite.data.folds import Fold
    from robustbench_lite.data.splits import stratified
    from robustbench_lite.runner import load_data

    unlimited = replace(inputs, limit=None, first=None)
    if protocol == "holdout":
        parts = [load_data(replace(inputs, split="train"))]
        parts += [load_data(replace(unlimited, split=split)) for split in ("val", "test")]
        ends = np.cumsum([0, *map(len, parts)])
        sides = [np.arange(*ends[i : i + 2], dtype=np.intp) for i in range(3)]
        return joined(parts, "all"), [Fold(1, sides[0], sides[1], sides[2])]
    if inputs.split == "all":
        return load_data(inputs), None
    data = joined([load_data(replace(unlimited, split=split)) for split in ("train", "val")], "train and val")
    if inputs.first is not None:
        data = data.select(range(min(inputs.first, len(data))))
    if inputs.limit is not None:
        places = range(len(data))
        data = data.select(stratified(places, data.labels, data.files, inputs.limit, inputs.seed))
    return data, None


def _moments(inputs: Inputs, dataset: Dataset, order: str) -> list[str]:
    """When each image was taken, by its name or by what --order finds in it, as --group does."""
    from robustbench_lite.runner import load_data

    if order == "name":
        return [file.rpartition("/")[2] for file in dataset.files]
    try:
        everything = load_data(replace(inputs, split="all", group=order, limit=None, first=None))
    except InputError as error:
        raise InputError(
            error.what.replace("--group", "--order"), error.remedy.replace("--group", "--order")
        ) from None
    found = dict(zip(everything.files, everything.groups or (), strict=True))
    return [found[file] for file in dataset.files]


def _check_asked(common: Common, asked: Asked, folder: Path) -> None:
    from robustbench_lite.data.folds import parse_protocol

    kind = parse_protocol(asked.protocol or "").kind
    if asked.order != "name" and kind != "time":
        raise InputError(f"--order {asked.order} is about --protocol time.", "Give that, or leave it out.")
    if common.split not in ("auto", "all") or (common.split == "all" and kind == "holdout"):
        remedy = "Leave it out: train and val are divided, and test stays untouched."
        if kind == "holdout":
            remedy = "It learns from train, chooses by val, and is judged on test: leave it out."
        raise InputError(f"--split {common.split} means nothing to --protocol {asked.protocol}.", remedy)
    check_folder(folder, asked, what="a protocol")


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    from robustbench_lite.reports.folds import sides_table

    document = plan.document()
    if as_json:
        console.print_json(document)
    else:
        console.stdout().print(sides_table(document))


def _write(folder: Path, document: dict[str, Any], table: str, predictions: str) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_file(folder / "folds.json", text.encode())
    write_file(folder / "folds.csv", table.encode())
    write_file(folder / "predictions.csv", predictions.encode())


def _print(document: dict[str, Any], folder: Path, common: Common) -> None:
    from robustbench_lite.reports.folds import folds_table, pooled_words, summary_table

    if common.json:
        console.print_json(document)
    else:
        terminal = console.stdout()
        terminal.print(folds_table(document))
        terminal.print(summary_table(document))
        terminal.print(pooled_words(document), markup=False, soft_wrap=True)
    for row in document["folds"]:
        for verdict in row["verdicts"]:
            console.note(f"warning: fold {row['fold']}: {verdict['text']} {verdict['remedy']}".rstrip())
    if not common.quiet:
        console.note(f"Networks, numbers and predictions: {folder}")
