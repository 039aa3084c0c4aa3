"""The rows of a run as a file: those of a condition in a group of their own, so that they can be read alone."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = "samples.parquet"
_DIGEST = b"robustbench_lite.rows"

COLUMNS = {
    "index": "int32",  # place of the image in the data set; with the condition it names the row
    "sample_id": "string",
    "file": "string",
    "group": "string",  # missing where the data have no groups
    "label": "int32",
    "condition": "string",
    "kind": "string",  # clean, attack, shift, chain
    "severity": "float32",  # missing where a condition has none
    "prediction": "int32",  # -1: the logits were not finite
    "correct": "int8",
    "attacked": "int8",  # 0: no attack was run on it, because it was wrong before or already at its target
    "succeeded": "int8",  # 1: the attack reached its goal
    "fools_8bit": "int8",  # 1: it did, and still does when the image is rounded to 8 bits within the budget
    "by": "string",  # which attack of a portfolio it was; missing where none, or no portfolio, fooled the network
    "confidence": "float32",  # softmax probability of the prediction
    "brier": "float32",  # squared distance of the softmax from the label as a vector of 0 and 1, 0 to 2
    "margin": "float32",  # logit of the label minus the largest other logit
    "l2": "float32",  # size of the change from the clean image
    "linf": "float32",
    "l1": "float32",
    "l0": "int32",  # values that changed, channels counted apart
    "filled": "float32",  # share of pixels that a shift invented; missing where none of the condition can
    "outlier": "float32",  # the detector's score of the image as it was classified; missing without a detector
    "flagged": "int8",  # 1: that is above the detector's threshold
}


def write_rows(samples: pd.DataFrame, folder: Path) -> str:
    """Write all rows of a run, with the columns of ``COLUMNS``; those of a condition stand together.

    Returns:
        A hash of the rows, which the file holds too: by it a record knows its rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    samples = samples.astype(COLUMNS)
    digest = _digest(samples)
    table = pa.Table.from_pandas(samples, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _DIGEST: digest.encode()})
    with pq.ParquetWriter(folder / SAMPLES, table.schema, compression="zstd") as writer:
        start = 0
        for _, same in itertools.groupby(samples["condition"].tolist()):
            length = sum(1 for _ in same)
            writer.write_table(table.slice(start, length), row_group_size=length)
            start += length
    return digest


def _digest(samples: pd.DataFrame) -> str:
    """SHA-256 of what is counted: which image, under what, with what answer."""
    sha = hashlib.sha256("\n".join(samples["condition"].drop_duplicates()).encode())
    for name, kind in COLUMNS.items():
        if kind != "string":
            sha.update(samples[name].to_numpy().tobytes())
    return sha.hexdigest()


def read_rows(
    folder: Path, columns: Sequence[str] | None, conditions: Sequence[str] | None, digest: str = ""
) -> pd.DataFrame:
    """Some columns of the rows of some conditions; None: all.

    Args:
        folder: of the run.
        columns, conditions: which.
        digest: that of ``write_rows``, by the run's record; empty: unknown.

    Raises:
        InputError: the file is damaged, or holds other rows.
    """
    import pyarrow.parquet as pq

    file = folder / SAMPLES
    filters = None if conditions is None else [("condition", "in", list(conditions))]
    with _told(file):
        table = pq.read_table(file, columns=None if columns is None else list(columns), filters=filters)
    held = (table.schema.metadata or {}).get(_DIGEST, b"").decode()
    if digest and held and held != digest:
        raise InputError(
            f"{file} does not belong to the run.json beside it.",
            "If another run is taking its place, wait; else one of the two was exchanged: run it again.",
        )
    with _told(file):
        rows: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return rows


def stored_columns(folder: Path) -> list[str]:
    """Names of the columns that the file has.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    import pyarrow.parquet as pq

    with _told(folder / SAMPLES):
        return list(pq.read_schema(folder / SAMPLES).names)


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """What pyarrow raises for a damaged file, as one message."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file} is missing.", "Run it again.") from None
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
        raise InputError(f"{file} is damaged: {reason}.", "Run it again.") from None
