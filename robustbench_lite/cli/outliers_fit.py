"""What ``rb outliers fit`` and ``rb outliers calibrate`` do and print."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from robustbench_lite import console, registry
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.outliers_data import divided, loaded, opened, told
from robustbench_lite.cli.outliers_fitted import expected, print_fitted, print_plan, threshold, training
from robustbench_lite.cli.outliers_probe import FILES, SHOWN, document, print_matrix, probe_fitted
from robustbench_lite.errors import InputError
from robustbench_lite.specs import parse_number, split_outside_brackets

if TYPE_CHECKING:
    from robustbench_lite.outliers.gathering import Division, Gathered
    from robustbench_lite.outliers.score import Score

_OWN = "Your own images: rb outliers fit --data folder:PARTS/train --normal good, or --data images:FOLDER."
_GOOD = {"good", "ok", "normal", "pass", "io", "defect_free"}
_OURS = {"detector.json", "tensors.safetensors", "classifier.safetensors", "generator.safetensors", *FILES}


@dataclass(frozen=True)
class FitOptions:
    """The options of ``rb outliers fit`` beside the shared ones."""

    normal: Sequence[str]
    preset: str | None
    scores: Sequence[str]
    generator: Path | None
    false_alarms: float
    calibration: float
    overwrite: bool
    probes: bool


def run_fit(common: Common, options: FitOptions) -> None:
    """Load, divide, fit, calibrate, write; say what is promised."""
    folder = _place(common.out or Path("detector"), options.overwrite)
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading the images", quiet=common.quiet):
        from robustbench_lite.classifiers.loading import resolve_device
        from robustbench_lite.outliers.gathering import divide, gather, of_classes
        from robustbench_lite.outliers.opening import load_parts_generator, write_detector
        from robustbench_lite.outliers.score import Parts

        members = _members(common.data, options)
        needs = {score.needs for score, _ in members}
        _check_networks(common, options, needs)
        inputs = divided(common.inputs(), "train")
        dataset, classifier = loaded(inputs, asks_classifier="classifier" in needs)
        generator = None
        if options.generator is not None:
            generator = load_parts_generator(options.generator, resolve_device(common.device))
        gathered = gather(of_classes(dataset, options.normal))
        division = divide(gathered, options.false_alarms, options.calibration, common.seed)
    told(common, dataset.notes, gathered.skipped)
    present = [name for label, name in enumerate(dataset.class_names) if (dataset.labels == label).any()]
    _warn_of_classes(options.normal, present)
    if not options.normal and len(present) < len(dataset.class_names):  # a train split of good parts only
        options = replace(options, normal=present)
    plan = _plan(common, options, folder, dataset.split, gathered, division, members)
    expensive = {m["score"]: m["passes"] for m in plan["scores"] if m["passes"] > 1}
    if expensive and not common.quiet:
        console.note(f"note: passes through a network per image: {expensive}.")
    trains = "generator" in needs and generator is None
    if trains and not common.quiet:
        console.note(
            "note: no --generator: a vae of the normal images is trained first; some 30 s of one core, "
            "longer with tens of thousands of images."
        )
    if common.dry_run:
        print_plan(plan, as_json=common.json)
        return
    from robustbench_lite.generative.loading import save_generator
    from robustbench_lite.outliers.default_generator import default_generator
    from robustbench_lite.outliers.fitting import fit_divided
    from robustbench_lite.outliers.metadata import MetadataNormals
    from robustbench_lite.provenance import package_versions

    start, trained = time.perf_counter(), None
    with console.progress_bar(quiet=common.quiet) as update:
        if trains:
            trained = default_generator(gathered.normals(division.fit, common.seed), update)
            generator = trained.network
            trained.history["seconds"] = round(time.perf_counter() - start, 1)
        detector = fit_divided(
            gathered,
            division,
            members,
            options.false_alarms,
            parts=Parts(classifier and classifier[0], generator),
            seed=common.seed,
            on_progress=update,
        )
    metadata = MetadataNormals.of([gathered.metadata[i] for i in division.fit] if gathered.metadata else [])
    about = {
        "data": {
            **{key: plan[key] for key in ("data", "split", "normal", "n_fit", "n_calibration", "unit")},
            "group": common.group,
        },
        "preset": plan["preset"],
        "preprocessing": _preprocessing(common, dataset.image_shape, asked=classifier is not None),
        "metadata": metadata and metadata.model_dump(),
        "calibration_groups": _groups(gathered, division.calibrate),
        "seed": common.seed,
        "versions": package_versions(),
    }
    with TemporaryDirectory() as place:
        file = options.generator
        if trained is not None:
            file = Path(place) / "generator.safetensors"
            save_generator(file, trained.spec, trained.network, {**trained.history, "data": dataset.spec})
        write_detector(detector, folder, about, classifier=classifier and classifier[1], generator=file)
    seconds = round(time.perf_counter() - start, 1)
    told_of = {"trained": trained and training(trained)}
    result = {**plan, **told_of, **threshold(detector.threshold, plan["unit"]), "seconds": seconds}
    kept = division.calibrate if options.probes else None
    matrix = None if kept is None else probe_fitted(common, folder, detector, gathered, kept, dataset.eps)
    print_fitted({**result, "probes": matrix and document(matrix)}, as_json=common.json)
    if matrix is not None and not common.json:
        print_matrix(matrix, SHOWN)
        console.stdout().print(f"all probes: {folder / FILES[0]}", markup=False, soft_wrap=True)
    if not common.quiet:
        labelled = "folder:PARTS/test" if ":" in common.data else common.data
        asked = "" if common.data == "digits" else f" --data {labelled}"
        console.note(f"Next: rb outliers score {folder} --data images:FOLDER, or rb outliers test {folder}{asked}")
        if common.data == "digits":
            console.note(_OWN)


def run_calibrate(common: Common, folder: Path, normal: Sequence[str], false_alarms: float) -> None:
    """Score images that were used for nothing else, choose the threshold, write it into the folder."""
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading the detector and the images", quiet=common.quiet):
        from robustbench_lite.outliers.fitting import calibrated
        from robustbench_lite.outliers.gathering import gather, of_classes
        from robustbench_lite.outliers.store import save_threshold

        detector, dataset, record = opened(common, folder, "val", by_part=True)
        known = record.about.get("data", {}).get("normal") or ()
        gathered = gather(of_classes(dataset, normal or [name for name in known if name in dataset.class_names]))
        if detector.groups and gathered.groups is None:
            raise InputError(
                f"{folder} was fitted to parts, several pictures each, and these images do not tell their parts.",
                "Give --group, as for fit.",
            )
    if tuple(gathered.images.shape[1:]) != detector.shape:
        from robustbench_lite.outliers.scored import wrong_shape

        raise wrong_shape(gathered.files[0], tuple(gathered.images.shape[1:]), detector.shape)
    with console.busy("scoring", quiet=common.quiet):
        ready = calibrated(detector, gathered, range(len(gathered)), false_alarms)
    told(common, dataset.notes, gathered.skipped)
    unit = "images" if gathered.groups is None else "parts"
    result = {
        "detector": str(folder),
        "data": dataset.spec,
        "split": dataset.split,
        "n_calibration": len(gathered),
        "unit": unit,
        **threshold(ready.threshold, unit),
    }
    if not common.dry_run:
        changed = {**record.about.get("data", {}), "n_calibration": len(gathered), "unit": unit}
        about = {"data": changed, "calibration_groups": _groups(gathered, range(len(gathered)))}
        save_threshold(ready, folder, about)
    print_fitted(result, as_json=common.json)


def _warn_of_classes(normal: Sequence[str], classes: Sequence[str]) -> None:
    """Whoever forgets --normal has defects among the normal images."""
    good = [name for name in classes if name.lower() in _GOOD]
    if good and not normal and len(classes) > 1:
        others = [name for name in classes if name not in good]
        console.note(
            f"warning: all classes are taken as normal, {', '.join(others[:4])} too. "
            f"Did you mean --normal {good[0]}?"
        )


def _place(out: Path, overwrite: bool) -> Path:
    """Where the detector goes, if it may go there."""
    if out.is_dir():
        if not (out / "detector.json").is_file():
            raise InputError(f"{out} exists, and is no detector.", "Choose another --out.")
        if not overwrite:
            raise InputError(f"{out} exists already.", "Choose another --out, or give --overwrite.")
        strange = sorted({file.name for file in out.iterdir()} - _OURS)
        if strange:
            raise InputError(f"{out} holds {strange[0]} too, which would be lost.", "Choose another --out.")
    elif out.exists():
        raise InputError(f"{out} is a file.", "Choose another --out.")
    return out


def _members(data: str, options: FitOptions) -> list[tuple[Score, float]]:
    from robustbench_lite.outliers.presets import preset, usual_preset, with_baseline

    if not options.scores:
        return preset(options.preset or usual_preset(data))
    if options.preset is not None:
        raise InputError("--preset and --score exclude each other.", "Give one of them.")
    found: list[tuple[Score, float]] = []
    for text in options.scores:
        spec, *weight = split_outside_brackets(text, "=")
        if len(weight) > 1:
            raise InputError(f"--score {text} has two weights.", "Write it like pca=0.5.")
        value = parse_number(weight[0]) if weight else 1.0
        if value < 0:
            raise InputError(f"--score {text}: the weight is negative.", "Give 0 (looked at only) or more.")
        found.append((registry.make_one("score", spec), float(value)))
    if len({registry.spec(score) for score, _ in found}) < len(found):
        raise InputError("a score is given twice.", "Give each once, with its weight.")
    if not any(weight for _, weight in found):
        raise InputError("all weights are 0.", "Give one score more.")
    return with_baseline(found)


def _check_networks(common: Common, options: FitOptions, needs: Collection[str]) -> None:
    """Networks that are asked are given, and those that are given are asked, before anything is loaded."""
    if options.generator is not None and "generator" not in needs:
        raise InputError(f"no score asks --generator {options.generator}.", "Leave it out, or give --score.")
    for flag in ("model", "weights", "mean", "std"):
        if common.given(flag) and getattr(common, flag) != "demo" and "classifier" not in needs:
            raise InputError(
                f"no score asks a classifier, so --{flag} means nothing.", "Leave it out, or give --score."
            )


def _plan(
    common: Common,
    options: FitOptions,
    folder: Path,
    split: str,
    gathered: Gathered,
    division: Division,
    members: Sequence[tuple[Score, float]],
) -> dict[str, Any]:
    from robustbench_lite.outliers.presets import usual_preset

    grouped = gathered.groups is not None
    return {
        "detector": str(folder),
        "data": common.data,
        "split": split,
        "normal": list(options.normal),
        "preset": None if options.scores else options.preset or usual_preset(common.data),
        "scores": [
            {"score": registry.spec(s), "weight": w, "passes": s.cost().forwards + s.cost().gradients}
            for s, w in members
        ],
        "n_fit": len(division.fit),
        "n_calibration": len(division.calibrate),
        "unit": "parts" if grouped else "images",
        "false_alarms_promised": options.false_alarms,
        **expected(division, options.false_alarms, "parts" if grouped else "images"),
    }


def _preprocessing(common: Common, shape: tuple[int, int, int], *, asked: bool) -> dict[str, Any]:
    """How images of any size become those of the detector: as was asked, or as the classifier wants them."""
    if asked:
        return {"input_size": list(shape[1:]), "resize": common.resize, "channels": shape[0]}
    size = None if common.input_size is None else list(shape[1:])
    return {"input_size": size, "resize": common.resize, "channels": common.channels}


def _groups(gathered: Gathered, chosen: Sequence[int]) -> list[str] | None:
    return None if gathered.groups is None else sorted({gathered.groups[i] for i in chosen})
