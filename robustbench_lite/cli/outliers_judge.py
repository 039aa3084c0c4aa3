"""What ``rb outliers test`` does and prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.outliers_data import opened, told
from robustbench_lite.cli.outliers_files import DOCUMENT, TABLE, test_folder, write_test
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.outliers.detector import Detector
    from robustbench_lite.outliers.masks import PixelMeasures
    from robustbench_lite.outliers.scored import Scored
    from robustbench_lite.outliers.store import DetectorRecord


def run_test(
    common: Common,
    folder: Path,
    normal: Sequence[str],
    defect_rate: float,
    masks: Path | None,
    *,
    overwrite: bool = False,
) -> None:
    """Score labelled images, and say how well the detector tells the outliers among them."""
    out = test_folder(common.out, overwrite=overwrite)
    if common.data.partition(":")[0] == "images":
        raise InputError(
            f"test needs classes, and {common.data} has none.", "Give folder:PATH, a folder per class."
        )
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading the detector and the images", quiet=common.quiet):
        from robustbench_lite.classifiers.loading import resolve_device
        from robustbench_lite.outliers.judging import judge, judged, unseen
        from robustbench_lite.outliers.masks import pixel_auroc
        from robustbench_lite.outliers.metadata import MetadataNormals
        from robustbench_lite.outliers.opening import preprocessing
        from robustbench_lite.outliers.scored import Scored, score_images

        detector, dataset, record = opened(common, folder, "test")
        names = _normal(normal, record)
        wanted = _masks(common, detector, dataset, names, masks, preprocessing(record))
    told(common, dataset.notes, ())
    if common.dry_run:
        plan = {"detector": str(folder), "data": dataset.spec, "split": dataset.split, "n": len(dataset)}
        console.print_json({**plan, "normal": names}) if common.json else _print_plan({**plan, "normal": names})
        return
    scored, maps = Scored(), list[Any]()
    with console.progress_bar(quiet=common.quiet) as update:
        score_images(
            detector,
            dataset,
            scored,
            batch_size=common.batch_size or 64,
            device=resolve_device(common.device),
            on_batch=None if wanted is None else lambda batch, rows, found: maps.extend(_all(found)),
            on_progress=lambda done, total: update(done, total, "scoring"),
        )
    told(common, (), scored.skipped)
    if not scored.rows:
        raise InputError("no image could be scored.", "Check the files.")
    keep = unseen(detector, scored, record.about.get("calibration_groups") or ())
    known = record.about.get("metadata")
    images = judged(scored, keep, names, known and MetadataNormals.model_validate(known))
    result = {
        "detector": str(folder),
        "data": dataset.spec,
        "split": dataset.split,
        "normal": names,
        **judge(detector, images, defect_rate=defect_rate, seed=common.seed),
        **({} if wanted is None else _pixels(pixel_auroc, maps, wanted, scored, keep, common.seed)),
        "n_seen_before": int((~keep).sum()),
        "skipped": [{"file": s.file, "reason": s.reason} for s in scored.skipped],
    }
    if out is not None:
        write_test(out, result, images)
    if common.json:
        console.print_json(result)
    else:
        _print(result)
        if out is not None:
            console.stdout().print(f"files: {DOCUMENT}, {TABLE} in {out}", markup=False, soft_wrap=True)
    for line in _warnings(result):
        console.note(f"warning: {line}")


def _normal(given: Sequence[str], record: DetectorRecord) -> list[str]:
    """The normal classes: as said, or as said to ``fit``."""
    names = list(given) or list((record.about.get("data") or {}).get("normal") or ())
    if not names:
        raise InputError("which classes are normal?", "Say it: --normal good.")
    return names


def _masks(
    common: Common,
    detector: Detector,
    dataset: Dataset,
    names: Sequence[str],
    folder: Path | None,
    known: dict[str, Any],
) -> list[Any] | None:
    """A mask for each image of the data set, if there are any and the detector has maps to compare with them."""
    from robustbench_lite.outliers.masks import masks_for
    from robustbench_lite.outliers.score import Maps

    drawn = dataset.spec.partition(":")[0] == "surfaces"
    able = any(isinstance(member.scorer, Maps) for member in detector.members)
    if folder is not None and not able:
        raise InputError("no score of the detector tells where an image is outlying.", "Leave --masks out.")
    if not able or (folder is None and not drawn) or dataset.image_shape != detector.shape:
        return None  # another shape is refused where it is met
    asked = common.input_size is not None or common.resize is not None
    normal = [dataset.class_names[label] in names for label in dataset.labels.tolist()]
    return list(masks_for(dataset, folder, normal, resize=common.resize if asked else known["resize"]))


def _all(maps: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    assert maps is not None, "the detector was found able to make maps"
    return maps


def _pixels(
    measure: Callable[..., PixelMeasures],
    maps: Sequence[Any],
    masks: Sequence[Any],
    scored: Scored,
    keep: npt.NDArray[np.bool_],
    seed: int,
) -> dict[str, float | None]:
    """AUROC of pixels and per-region overlap of the images that are kept, with their intervals."""
    places = [i for i, kept in enumerate(keep.tolist()) if kept]
    table = scored.table()
    groups = table["group"].iloc[places].tolist() if "group" in table else None
    found = measure([maps[i] for i in places], [masks[scored.indices[i]] for i in places], groups, seed=seed)
    names = ("auroc", "auroc_low", "auroc_high", "aupro", "aupro_low", "aupro_high")
    values = {f"pixel_{name}": getattr(found, name) for name in names}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _print_plan(plan: dict[str, Any]) -> None:
    for key, value in plan.items():
        console.stdout().print(f"{key}: {value}", markup=False, soft_wrap=True)


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console.stdout()
    numbers = f"{result['n_normal']} normal images, {result['n_outliers']} outliers"
    title = f"{result['detector']} on {result['data']}: {numbers}"
    table = Table(title=title, title_justify="left")
    for heading in ("score", "weight", "AUROC", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "score" else "right", overflow="fold")
    table.add_row("detector", "", *_cells(result["auroc"], result["auroc_low"], result["auroc_high"]))
    for name, value in result["scores"].items():
        weight = result["weights"][name]
        table.add_row(
            Text(name), f"{weight:g}" if weight else "–", *_cells(value, *result["score_intervals"][name])
        )
    beside = result["baselines"]["metadata"]
    if beside is not None:
        table.add_row("size and file length", "–", *_cells(beside["value"], beside["ci_low"], beside["ci_high"]))
    out.print(table)
    classes = Table(title="by class", title_justify="left")
    for heading in ("class", "n", "AUROC", "95 % interval", "found"):
        classes.add_column(heading, justify="left" if heading == "class" else "right", overflow="fold")
    for name, found in result["per_class"].items():
        tpr = "" if found.get("tpr") is None else f"{found['tpr']:.1%}"
        cells = _cells(found["auroc"], found["auroc_low"], found["auroc_high"])
        classes.add_row(Text(name), str(found["n"]), *cells, tpr)
    out.print(classes)
    for line in _lines(result):
        out.print(line, markup=False, soft_wrap=True)


def _cells(value: float, low: float | None, high: float | None) -> tuple[str, str]:
    return f"{value:.3f}", "" if low is None or high is None else f"{low:.3f} – {high:.3f}"


def _lines(result: dict[str, Any]) -> list[str]:
    def with_ends(name: str) -> str:
        low, high = result[f"{name}_low"], result[f"{name}_high"]
        return f"{result[name]:.1%}" + ("" if low is None or high is None else f" ({low:.1%} to {high:.1%})")

    lines = []
    if result["pixel_auroc"] is not None:
        lines.append(f"pixels: AUROC {with_ends('pixel_auroc')}, per-region overlap {with_ends('pixel_aupro')}")
    lines.append(f"AUPR {with_ends('aupr')}")
    lines.append(f"false alarms where 95 % of the outliers are found: {with_ends('fpr95')}")
    if result["tpr"] is None:
        return [*lines, "no threshold: rb outliers calibrate chooses one"]
    lines.append(f"found at the threshold: {with_ends('tpr')} of the outliers")
    promised = f"{result['false_alarms_promised']:.2%} promised"
    lines.append(f"false alarms: {with_ends('false_alarm_rate')} of the normal images, {promised}")
    lines.append(f"the promise: {_verdict(result['promise'], result['false_alarms_promised'])}")
    if result["alarm_value"] is not None:
        share = f"{result['defect_rate']:.2%} of all images are outliers"
        value = with_ends("alarm_value")
        if not result["false_alarm_rate"] and result["alarm_value_low"] is not None:
            value = f"at least {result['alarm_value_low']:.1%}"  # "100 %" would be a word on images not yet seen
        lines.append(f"an alarm is true with probability {value}, if {share}")
    return lines


def _verdict(found: dict[str, Any], promised: float) -> str:
    """Kept or broken; of fewer normal images than one false alarm is expected in, only the latter can be said."""
    seen = f"{found['n_false_alarms']} false alarms in {found['n']} normal images"
    if found["verdict"] == "broken":
        return f"broken: {seen} are too many"
    if round(found["n"] * promised, 6) < 1:
        return f"cannot be told: {found['n']} normal images are too few for a false alarm to be expected"
    return f"kept: {seen}"


def _warnings(result: dict[str, Any]) -> list[str]:
    lines = []
    if seen := result["n_seen_before"]:
        lines.append(f"{seen} images were used for fitting or calibration, or show such a part, and are left out.")
    lines += [f"{name} prefers outliers: its AUROC is below 0.5." for name in result["prefers_outliers"]]
    found = result["promise"]
    if found is not None and found["verdict"] == "broken":
        p = f"p = {found['p_more']:.2g}"
        lines.append(
            f"{found['n_false_alarms']} false alarms in {found['n']} are more than was promised ({p}): "
            "these normal images do not come as those of calibration came. Calibrate with such as these."
        )
    elif found is not None and found["verdict"] == "fewer":
        p = f"p = {found['p_fewer']:.2g}"
        lines.append(
            f"{found['n_false_alarms']} false alarms in {found['n']} are fewer than expected ({p}): "
            "these normal images are another kind than those of calibration."
        )
    beside = result["baselines"]["metadata"]
    if beside is not None and beside["ci_low"] > 0.5:
        lines.append(
            f"image size and file length alone tell outliers (AUROC {beside['value']:.3f}): "
            "part of what is found may be how the images were taken and stored."
        )
    return lines
