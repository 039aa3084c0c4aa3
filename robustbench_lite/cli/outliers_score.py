"""What ``rb outliers score`` does and prints."""

from __future__ import annotations

import heapq
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.outliers_data import opened, told
from robustbench_lite.errors import ExitCode, InputError
from robustbench_lite.files import write_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from robustbench_lite.data.dataset import Batch
    from robustbench_lite.outliers.detector import Detector
    from robustbench_lite.outliers.scored import Scored

TABLE, COLUMNS, SHEET, HEATMAPS = "scores.csv", "scores.parquet", "sheet.png", "heatmaps"
_MOST_SHOWN = 10
MOST_ON_SHEET = 60
_SIDE = 256  # of a picture on the sheet; small ones get half of it, which a score and its alarm fit under


def run_score(common: Common, folder: Path, *, overwrite: bool, heatmaps: bool) -> None:
    """Score the images batch by batch; what was computed is written, whatever stops it."""
    out = _place(common.out or Path("scores"), overwrite)
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading the detector and the images", quiet=common.quiet):
        from robustbench_lite.classifiers.loading import resolve_device
        from robustbench_lite.outliers.scored import Scored, score_images

        detector, dataset, _ = opened(common, folder, "test")
    told(common, dataset.notes, ())
    plan = {"detector": str(folder), "data": dataset.spec, "split": dataset.split, "out": str(out)}
    if common.dry_run:
        _print({**plan, "n": len(dataset)}, as_json=common.json)
        return
    scored, status, error = Scored(), "done", None
    pictures = Pictures(detector, out, heatmaps=heatmaps)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(f"cannot write {out}: {fault.strerror}.", "Choose another --out.") from None
    try:
        with console.progress_bar(quiet=common.quiet) as update:
            score_images(
                detector,
                dataset,
                scored,
                batch_size=common.batch_size or 64,
                device=resolve_device(common.device),
                on_batch=pictures.add,
                on_progress=lambda done, total: update(done, total, "scoring"),
            )
    except KeyboardInterrupt:
        status = "interrupted"
    except Exception as fault:  # whatever it was, what is finished is kept
        status, error = "failed", fault
    told(common, (), scored.skipped)
    written = _write(out, scored, pictures)
    if error is not None:
        if written:
            error.add_note(f"What was finished is in {out}.")
        raise error
    if status == "interrupted" and not written:
        console.note("interrupted; no image was finished")
        raise typer.Exit(ExitCode.INTERRUPTED)
    _print({**plan, **_result(detector, scored, len(dataset) + len(dataset.skipped), status)}, as_json=common.json)
    if status == "interrupted":
        console.note(f"interrupted; what was finished is in {out}")
        raise typer.Exit(ExitCode.INTERRUPTED)


def _place(out: Path, overwrite: bool) -> Path:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file.", "Choose another --out.")
    if out.is_dir() and any(out.iterdir()):
        if not (out / TABLE).is_file():
            raise InputError(f"{out} exists, and holds no scores.", "Choose another --out.")
        if not overwrite:
            raise InputError(f"{out} exists already.", "Choose another --out, or give --overwrite.")
    return out


def _clear(out: Path) -> None:
    """Remove what an earlier scoring has left."""
    for name in (TABLE, COLUMNS, SHEET):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / HEATMAPS, ignore_errors=True)


class Pictures:
    """Heat maps, written as they come, and the most outlying images, for the sheet.

    Args:
        detector: whose maps.
        place: the folder, cleared of what an earlier scoring has left when the first images come.
        heatmaps: whether heat maps are written.
    """

    def __init__(self, detector: Detector, place: Path, *, heatmaps: bool) -> None:
        self.scale = detector.map_scale
        self.place = place
        self.heatmaps = heatmaps
        self.most: list[tuple[float, int, _Picture]] = []

    def add(self, batch: Batch, rows: pd.DataFrame, maps: npt.NDArray[np.float32] | None) -> None:
        """The images of a batch."""
        from robustbench_lite.outliers.heatmaps import write_heatmaps

        images = batch.images.numpy()
        if not self.most:  # not before there is something in its place
            _clear(self.place)
        if self.scale is not None and maps is not None and self.heatmaps:
            write_heatmaps(self.place / HEATMAPS, batch.files, images, maps, self.scale)
        scores = rows["score"].astype(float).tolist()
        alarms = rows["alarm"].tolist() if "alarm" in rows else [None] * len(scores)
        for i, score in enumerate(scores):
            found = None if maps is None else maps[i]
            place = (math.inf if math.isnan(score) else score, -batch.indices[i])
            if len(self.most) == MOST_ON_SHEET:
                if place < self.most[0][:2]:
                    continue
                heapq.heappop(self.most)
            # Copies: a view would keep its whole batch in memory.
            copied = (images[i].copy(), None if found is None else found.copy())
            heapq.heappush(self.most, (*place, _Picture(batch.files[i], *copied, score, alarms[i])))

    def sheet(self) -> bytes:
        """A PNG of the most outlying."""
        from robustbench_lite.outliers.heatmaps import outlier_sheet

        shown = [picture for _, _, picture in sorted(self.most, key=lambda entry: entry[:2], reverse=True)]
        maps = [p.found for p in shown if p.found is not None]
        return outlier_sheet(
            [p.file for p in shown],
            [p.image for p in shown],
            maps if maps and self.scale is not None else None,
            [p.score for p in shown],
            None if shown[0].alarm is None else [bool(p.alarm) for p in shown],
            self.scale,
            side=_SIDE,
        )


class _Picture(NamedTuple):
    file: str
    image: npt.NDArray[np.float32]
    found: npt.NDArray[np.float32] | None
    score: float
    alarm: bool | None


def _write(out: Path, scored: Scored, pictures: Pictures) -> bool:
    """The table, the most outlying first, as CSV and as Parquet, and the sheet; whether there was a row."""
    table = scored.table()
    if table.empty:
        if not any(out.iterdir()):
            out.rmdir()
        return False
    table = _ordered(table)
    table.to_csv(out / TABLE, index=False)
    table.to_parquet(out / COLUMNS, index=False)
    write_file(out / SHEET, pictures.sheet())
    return True


def _result(detector: Detector, scored: Scored, asked: int, status: str) -> dict[str, Any]:
    table = scored.table()
    calibrated = detector.threshold is not None
    if table.empty:
        raise InputError("no image could be scored.", "Check the files.")
    return {
        "status": status,
        "n": len(table),
        "n_asked": asked,
        "alarms": int(table["alarm"].sum()) if calibrated else None,
        "false_alarms_promised": detector.threshold.rate if detector.threshold is not None else None,
        "threshold": detector.threshold.value if detector.threshold is not None else None,
        "most_outlying": _first(table),
        "skipped": [{"file": s.file, "reason": s.reason} for s in scored.skipped],
    }


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The most outlying first; a score that is no number is an alarm, and comes before all."""
    return table.sort_values("score", ascending=False, kind="stable", na_position="first")


def _first(table: pd.DataFrame) -> list[dict[str, Any]]:
    most = _ordered(table).head(_MOST_SHOWN)
    alarms = most["alarm"].tolist() if "alarm" in most else [None] * len(most)
    rows = zip(most["file"].tolist(), most["score"].astype(float).tolist(), alarms, strict=True)
    return [
        {"file": file, "score": score if math.isfinite(score) else None, "alarm": alarm}
        for file, score, alarm in rows
    ]


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.print_json(result)
        return
    out = console.stdout()
    if "alarms" not in result:
        for key, value in result.items():
            out.print(f"{key}: {value}", markup=False, soft_wrap=True)
        return
    for row in result["most_outlying"]:
        score = "no number" if row["score"] is None else f"{row['score']:.3f}"
        out.print(f"{score:>10}  {'alarm' if row['alarm'] else '     '}  {row['file']}", markup=False)
    asked = f" of {result['n_asked']}" if result["n"] < result["n_asked"] else ""
    images = f"{result['n']}{asked} images"
    if result["alarms"] is None:
        out.print(f"{images} scored; no threshold: rb outliers calibrate chooses one", markup=False)
    else:
        out.print(
            f"{result['alarms']} alarms in {images}; of normal images at most "
            f"{result['false_alarms_promised']:.2%} were promised",
            markup=False,
        )
    place = Path(result["out"])
    pictures = f"{SHEET}, {HEATMAPS}" if (place / HEATMAPS).is_dir() else SHEET
    out.print(
        f"tables: {place / TABLE}, {COLUMNS}; pictures: {pictures}",
        markup=False,
        soft_wrap=True,
    )
