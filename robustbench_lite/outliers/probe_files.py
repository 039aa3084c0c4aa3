"""The probe matrix as files: a table, the probes as pictures, and likelihood against complexity."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustbench_lite.outliers.probe_matrix import DETECTOR, Matrix
from robustbench_lite.sheets import Block, contact_sheet

_LIKELIHOODS = ("elbo", "importance", "pca")
"""What the scatter shows, by name: the first of them that the detector has."""
_POINTS = 60  # of each probe


def matrix_table(matrix: Matrix) -> pd.DataFrame:
    """One row per probe and score, worst probe first: probe, score, auroc, auroc_low, auroc_high,
    prefers_outliers, symmetry, supervised, n."""
    return pd.DataFrame(
        [
            {
                "probe": row.probe.name,
                "score": name,
                **cell._asdict(),
                "prefers_outliers": cell.prefers_outliers,
                "symmetry": row.symmetry,
                "supervised": row.supervised,
                "n": matrix.n,
            }
            for row in matrix.rows
            for name, cell in row.cells.items()
        ]
    )


def write_matrix(matrix: Matrix, folder: Path) -> None:
    """Write ``probes.csv``, ``probes.png`` and ``scatter.png`` into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix_table(matrix).to_csv(folder / "probes.csv", index=False)
    (folder / "probes.png").write_bytes(probe_sheet(matrix))
    (folder / "scatter.png").write_bytes(scatter(matrix))


def probe_sheet(matrix: Matrix) -> bytes:
    """A PNG of a few normal images, and of each probe the same, worst first."""
    blocks = [Block("normal images", matrix.pictures[""].numpy())]
    for row in matrix.rows:
        title = f"{row.probe.name}: AUROC {row.auroc:.2f}" + (", a symmetry of the data" if row.symmetry else "")
        blocks.append(Block(title, matrix.pictures[row.probe.name].numpy()))
    return contact_sheet(blocks)


def scatter(matrix: Matrix) -> bytes:
    """A PNG: how likely a model of the images finds each of them, against its complexity.

    Likelihood is minus the score of the first of ``elbo``, ``importance`` and ``pca`` that the detector has. Where
    likelihood follows complexity, simple images pass for normal ones whatever they show: Serrà et al., *Input
    complexity and out-of-distribution detection with likelihood-based generative models*, ICLR 2020.
    """
    from matplotlib.figure import Figure

    name = _likelihood(matrix)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes: Any = figure.subplots()
    order = [row.probe.name for row in matrix.rows]
    for i, probe in enumerate(order):
        style = {"marker": "osD^v<>P"[i % 8], "s": 10, "alpha": 0.6, "color": f"C{i % 10}"}
        axes.scatter(*_points(matrix, probe, name), label=probe, **style)
    axes.scatter(*_points(matrix, "", name), label="normal", color="black", marker="x", s=16)
    spread = max(float(np.ptp(matrix.scores[""][name])), 1e-9)
    axes.set_yscale("symlog", linthresh=spread)
    axes.set_xlabel("complexity: bits per value as PNG")
    axes.set_ylabel(f"likelihood: −{name}, higher is more normal")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def _points(matrix: Matrix, probe: str, name: str) -> tuple[Any, Any]:
    """Where the first of its images are: so many that a cloud can be seen through another."""
    return matrix.complexity[probe][:_POINTS], -matrix.scores[probe][name][:_POINTS]


def _likelihood(matrix: Matrix) -> str:
    """The score that stands for the likelihood."""
    scores = list(matrix.scores[""])
    found = (score for kind in _LIKELIHOODS for score in scores if score.partition("(")[0] == kind)
    return next(found, DETECTOR)
