"""What ``rb train --compare`` does and prints."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from robustbench_lite import console, registry
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.train_inputs import architecture_of, check_folder, splits, start_of
from robustbench_lite.errors import ExitCode, InputError, UnknownNameError
from robustbench_lite.files import write_file
from robustbench_lite.references import is_reference
from robustbench_lite.specs import parse_number, split_outside_brackets

if TYPE_CHECKING:
    from robustbench_lite.cli.train_run import Asked
    from robustbench_lite.comparing import Comparison
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.tradeoff import Progress
    from robustbench_lite.training.recipe import Recipe
    from robustbench_lite.training.shifting import ShiftRange
    from robustbench_lite.types import Condition

FOLDER = Path("compared")  # without --out
MOST_JUDGED = 500  # images: the attack that judges is dearer than many a training
_NORMS = ("linf", "l2", "l1")


def run_comparison(common: Common, asked: Asked) -> None:
    """Train a network by every recipe that was named, and print what each gains and costs."""
    folder = common.out or FOLDER
    check_folder(folder, asked, what="a comparison")
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading", quiet=common.quiet):
        from robustbench_lite.tradeoff import compared

        comparison = _comparison(common, asked, folder)
    if common.dry_run:
        _print_plan(comparison, asked, as_json=common.json)
        return
    if not common.quiet:
        console.note(f"note: judged on {_judged_words(comparison)}")
    if warning := comparison.about()["warning"]:
        console.note(f"warning: {warning}")
    with console.progress_bar(quiet=common.quiet) as update:
        names = list(comparison.recipes)

        def on_progress(p: Progress) -> None:
            text = f"{p.what} {p.recipe}, {names.index(p.recipe) + 1} of {len(names)}"
            update(p.done, p.total, text)

        found = compared(comparison, resume=asked.resume, on_progress=on_progress)
    document = found.document()
    _write(folder, document, found.table.to_csv(index=False))
    _print(document, folder, common)
    if found.status == "interrupted":
        console.note(f"interrupted; what was finished is in {folder}. The same with --resume goes on.")
        raise typer.Exit(ExitCode.INTERRUPTED)
    if any(row["status"] == "failed" for row in found.rows):
        raise typer.Exit(ExitCode.INCOMPLETE)


def _comparison(common: Common, asked: Asked, folder: Path) -> Comparison:
    """Load the data, and read what is compared under what."""
    from robustbench_lite.classifiers.loading import resolve_device
    from robustbench_lite.comparing import comparison
    from robustbench_lite.runner import load_data
    from robustbench_lite.training.options import TrainingOptions
    from robustbench_lite.training.recipe import Recipe
    from robustbench_lite.training.suiting import suited

    split = _split(common)
    recipes = recipes_of(asked)
    inputs = common.inputs()
    train_set, val_set = splits(common)
    judged = val_set
    if split == "test" or len(val_set) > MOST_JUDGED:
        everything = val_set if split == "val" else load_data(replace(inputs, split=split, limit=None, first=None))
        some = replace(inputs, split=split, limit=min(MOST_JUDGED, len(everything)), first=None)
        judged = everything if len(everything) <= MOST_JUDGED else load_data(some)
    # All learn with the same options: those that the dearest can bear.
    attacked = next((recipe for recipe in recipes.values() if recipe.adversarial is not None), Recipe())
    return comparison(
        *(_with_eps(train_set, asked), val_set, recipes, folder),
        test_set=_with_eps(judged, asked),
        architecture=architecture_of(common, attacked=attacked.adversarial is not None),
        options=suited(TrainingOptions(**asked.learning), asked.learning, attacked, len(train_set)),
        start=start_of(common, asked),
        on=_conditions(asked, judged.image_shape[0]),
        device=resolve_device(common.device),
    )


def _conditions(asked: Asked, channels: int) -> list[Condition]:
    """What networks are judged under: --on, and where it names no attack or no shift, what is learnt from."""
    from robustbench_lite.comparing import ATTACK
    from robustbench_lite.training.shifting import parse_shifts

    on = [registry.make(text) for text in asked.on]
    if not any(condition.attacks for condition in on):
        norm = asked.attack.get("norm")
        on.append(registry.make(ATTACK if norm is None else f"{ATTACK}(norm={norm})"))
    if asked.shift is not None and all(condition.attacks for condition in on):
        on += strongest(one.fitting(channels) for one in parse_shifts(asked.shift))
    return on


def _split(common: Common) -> str:
    split = "val" if common.split == "auto" else common.split
    if split not in ("val", "test"):
        raise InputError(
            f"--split {split}: networks are not compared on images that they learn from.",
            "Leave it out: val is taken. Or give --split test.",
        )
    return split


def _with_eps(data: Dataset, asked: Asked) -> Dataset:
    """The data with --eps as their usual budget: what trains and what judges take it where they say none."""
    eps = asked.attack.get("eps")
    return data if eps is None else replace(data, eps=dict.fromkeys(_NORMS, parse_number(str(eps))))


def recipes_of(asked: Asked) -> dict[str, Recipe]:
    """The recipes that --compare names.

    Raises:
        InputError: an unknown name, or options that mean nothing to any of them.
    """
    from robustbench_lite.comparing import SHIFTS, STANDARD
    from robustbench_lite.training.recipe import Recipe, make_recipe

    names = [text.strip() for text in split_outside_brackets(asked.compare or "", ",")]
    if not all(names):
        raise InputError(f"--compare {asked.compare!r} names nothing somewhere.", "Write standard,pgd,shift.")
    for flag, value in (("--adversarial", asked.adversarial), ("--mix", asked.mix)):
        if value is not None and "mix" not in names:
            raise InputError(
                f"{flag} {value} is about mix, and --compare does not name it.", "Add mix to --compare."
            )
    # The budget is that of the data, which --eps replaces: it judges as well.
    arguments = {key: value for key, value in asked.attack.items() if key == "norm"}
    steps = {key: value for key, value in asked.attack.items() if key in ("steps", "step_size")}
    attacks = [name for name in names if name not in (STANDARD, "shift")]
    longer = [name for name in attacks if name != "fast"]  # one step is what makes it fast
    for flag, value, by in (("warmup", asked.warmup, attacks), *((*given, longer) for given in steps.items())):
        if value is not None and not by:
            raise InputError(
                f"--{flag.replace('_', '-')} means nothing to --compare {asked.compare}.", "Leave it out."
            )
    shift = asked.shift or ", ".join(f"{name}(severity=1..4)" for name in SHIFTS)
    found: dict[str, Recipe] = {}
    for name in names:
        if name == STANDARD:
            found[name] = Recipe()
        elif name == "shift":
            found[name] = make_recipe(shift=shift)
        else:
            _check_known(name)
            attack = (asked.adversarial or "pgd") if name == "mix" else name
            own = steps if name in longer else {}
            found[name] = make_recipe(
                adversarial=attack,
                arguments=arguments | own,
                shift=shift if name == "mix" else None,
                mix=asked.mix if name == "mix" else None,
                warmup=asked.warmup,
            )
    return found


def _check_known(name: str) -> None:
    """Tell a misspelt recipe from all that there are."""
    head = name.partition("(")[0].strip()
    attacks = [*registry.names("defence"), *registry.names("attack")]
    known = any(registry.canonical_name(kind, head) for kind in ("defence", "attack"))
    if name != "mix" and not known and not is_reference(head):
        raise UnknownNameError("recipe", name, ["standard", "shift", "mix", *attacks])


def strongest(shifts: Iterable[ShiftRange]) -> list[Condition]:
    """Shifts that were learnt from as conditions: at the highest severity, and at both ends of other ranges."""
    found = []
    for member in (member for one in shifts for member in one.members):
        ends = ((1.0,) if axis.name == "severity" else (0.0, 1.0) for axis in member.axes)
        found += [member.condition(point) for point in itertools.product(*ends)]
    return found


def _judged_words(comparison: Comparison) -> str:
    judged = comparison.judged
    few = " at the most, drawn by class" if len(judged) == MOST_JUDGED else ""
    return f"{len(judged)} images of the {judged.split} split{few}"


def _print_plan(comparison: Comparison, asked: Asked, *, as_json: bool) -> None:
    from robustbench_lite.comparing import planned
    from robustbench_lite.reports.tradeoff import plan_table

    plan = planned(comparison, resume=asked.resume)
    if as_json:
        console.print_json(plan)
    else:
        console.stdout().print(plan_table(plan))


def _write(folder: Path, document: dict[str, Any], csv: str) -> None:
    from robustbench_lite.reports.tradeoff import picture

    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_file(folder / "tradeoff.json", text.encode())
    write_file(folder / "tradeoff.csv", csv.encode())
    write_file(folder / "tradeoff.png", picture(document))


def _print(document: dict[str, Any], folder: Path, common: Common) -> None:
    from robustbench_lite.reports.tradeoff import told, tradeoff_table

    if common.json:
        console.print_json(document)
    else:
        console.stdout().print(tradeoff_table(document))
    for row in document["recipes"]:
        for doubt in row["doubts"]:
            console.note(f"warning: {row['recipe']}: {doubt}")
        if row["reason"]:
            failed = " failed" if row["status"] == "failed" else ""
            console.note(f"warning: {row['recipe']}{failed}: {row['reason']}")
    if not common.quiet:
        for sentence in told(document):
            console.note(sentence)
        console.note(f"Networks, numbers and picture: {folder}")
