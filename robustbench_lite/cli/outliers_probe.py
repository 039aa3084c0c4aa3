"""What ``rb outliers probe`` does and prints, and how ``rb outliers fit`` probes what it has fitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite import console
from robustbench_lite.cli.options import Common
from robustbench_lite.cli.outliers_data import opened, told
from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from robustbench_lite.outliers.detector import Detector
    from robustbench_lite.outliers.gathering import Gathered
    from robustbench_lite.outliers.probe_matrix import Cell, Matrix, Row

MOST = 200
"""Normal images that are probed with; more would narrow the intervals, and cost time."""
SHOWN = 8  # probes in the table of fit
FILES = ("probes.csv", "probes.png", "scatter.png")


def run_probe(common: Common, folder: Path, normal: Sequence[str], probe: Sequence[str]) -> None:
    """Try a detector on the probes, with normal images that it has not seen."""
    out = common.out or folder
    if out.is_file():
        raise InputError(f"{out} is a file.", "Choose another --out.")
    console.set_verbosity(verbose=common.verbose, quiet=common.quiet)
    with console.busy("loading the detector and the images", quiet=common.quiet):
        from robustbench_lite.outliers.gathering import gather, of_classes
        from robustbench_lite.outliers.scored import wrong_shape

        detector, dataset, record = opened(common, folder, "test")
        gathered = gather(of_classes(dataset, normal or record.about.get("data", {}).get("normal") or ()))
    told(common, dataset.notes, gathered.skipped)
    if tuple(gathered.images.shape[1:]) != detector.shape:
        raise wrong_shape(gathered.files[0], tuple(gathered.images.shape[1:]), detector.shape)
    matrix = probed(common, detector, gathered, range(len(gathered)), dataset.eps, probe)
    if not common.dry_run:
        from robustbench_lite.outliers.probe_files import write_matrix

        try:
            write_matrix(matrix, out)
        except OSError as error:
            raise InputError(f"cannot write {out}: {error.strerror}.", "Choose another --out.") from None
    if common.json:
        console.print_json({"detector": str(folder), "out": str(out), **document(matrix)})
        return
    print_matrix(matrix)
    if not common.dry_run:
        console.stdout().print(f"files: {', '.join(FILES)} in {out}", markup=False, soft_wrap=True)


def probed(
    common: Common,
    detector: Detector,
    gathered: Gathered,
    chosen: Sequence[int],
    eps: dict[str, float],
    shifts: Sequence[str] = (),
) -> Matrix:
    """The matrix of a detector with some of the images, spread over all, under a progress bar."""
    import numpy as np

    from robustbench_lite.outliers.probe_images import probes
    from robustbench_lite.outliers.probe_matrix import probe_matrix

    spread = np.linspace(0, len(chosen) - 1, min(len(chosen), MOST)).round().astype(int)
    normals = gathered.normals([chosen[i] for i in spread], common.seed)
    wanted = probes(detector.shape, data=common.data, shifts=shifts, classifier=detector.parts.classifier, eps=eps)
    with console.progress_bar(quiet=common.quiet) as update:
        return probe_matrix(
            detector,
            normals.images,
            wanted,
            groups=normals.groups,
            seed=common.seed,
            on_progress=update,
        )


def probe_fitted(
    common: Common,
    folder: Path,
    detector: Detector,
    gathered: Gathered,
    kept: Sequence[int],
    eps: dict[str, float],
) -> Matrix | None:
    """Try a new detector with the images that chose its threshold, and write that beside it; None if too few."""
    from robustbench_lite.outliers.probe_files import write_matrix
    from robustbench_lite.outliers.probe_matrix import LEAST

    if len(kept) < LEAST:
        console.note(f"note: not probed: that takes {LEAST} images for the threshold. Later: rb outliers probe.")
        return None
    matrix = probed(common, detector, gathered, kept, eps)
    write_matrix(matrix, folder)
    return matrix


def document(matrix: Matrix) -> dict[str, Any]:
    """The matrix as JSON, worst probe first."""
    rows = [
        {
            "probe": row.probe.name,
            "symmetry": row.symmetry,
            "supervised": row.supervised,
            "scores": {
                name: {**cell._asdict(), "prefers_outliers": cell.prefers_outliers}
                for name, cell in row.cells.items()
            },
        }
        for row in matrix.rows
    ]
    return {
        "n": matrix.n,
        "worst_probe": matrix.worst.probe.name,
        "worst_auroc": matrix.worst.auroc,
        "probes": rows,
    }


def print_matrix(matrix: Matrix, most: int | None = None) -> None:
    """The table of the worst probes, by default of all; the worst case and what prefers outliers in words."""
    console.stdout().print(matrix_table(matrix, most))
    for line in remarks(matrix):
        console.stdout().print(line, markup=False, soft_wrap=True)


def matrix_table(matrix: Matrix, most: int | None = None) -> Table:
    """AUROC by probe and score, worst probe first; below 0.5 in red and marked."""
    from rich.table import Table
    from rich.text import Text

    shown = matrix.rows[:most]
    table = Table(
        title=f"AUROC of normal images against probes made of them, n = {matrix.n}, 95 % interval of the detector",
        title_justify="left",
    )
    table.add_column("probe", overflow="fold")
    names = list(matrix.rows[0].cells)
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("shown it", justify="right")
    for row in shown:
        cells = [_cell(row.cells[name], interval=name == names[0]) for name in names]
        table.add_row(Text(_named(row)), *cells, f"{row.supervised:.2f}")
    return table


def _named(row: Row) -> str:
    return f"{row.probe.name} (symmetry)" if row.symmetry else row.probe.name


def _cell(cell: Cell, *, interval: bool) -> Any:
    from rich.text import Text

    text = f"{cell.auroc:.2f}" + (f" [{cell.auroc_low:.2f}, {cell.auroc_high:.2f}]" if interval else "")
    return Text(f"! {text}", style="bold red") if cell.prefers_outliers else Text(text)


def remarks(matrix: Matrix) -> list[str]:
    """The worst case, and what prefers outliers, in words."""
    worst = matrix.worst
    cell = worst.cells[next(iter(worst.cells))]
    lines = [
        f"worst case: {worst.probe.name}, AUROC {cell.auroc:.3f} [{cell.auroc_low:.3f}, {cell.auroc_high:.3f}]"
    ]
    for name in worst.cells:
        found = [row.probe.name for row in matrix.rows if row.cells[name].prefers_outliers]
        if found:
            lines.append(f"! {name} prefers outliers (AUROC < 0.5): {', '.join(found)}")
    return lines
