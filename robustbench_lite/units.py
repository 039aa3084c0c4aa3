"""The unit of work, one batch under one condition: what is left of it, and how that is written down."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from robustbench_lite.examples import Kept, Picture
from robustbench_lite.run_rows import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_LENGTHS = struct.Struct("<QQ")  # of the header and of the table; the pictures follow


class Spent(NamedTuple):
    """What a unit cost, and what was seen on the way."""

    forwards: int = 0
    gradients: int = 0
    bad_gradients: int = 0
    zero_gradients: int = 0
    detector_forwards: int = 0
    detector_gradients: int = 0
    not_finite: int = 0
    seconds: float = 0.0


@dataclass
class Unit:
    """What is left of one batch of images under one condition when it is scored.

    Args:
        condition: its spec.
        batch: its number in the grid of batches, from 0.
        rows: one per image, with the columns of ``COLUMNS``; none if no image of the batch can be read.
        spent: what it cost.
        kept: images that were among the first to be shown when it was scored.
        skipped: file and reason of each damaged image. Like what follows it is of the batch, and stands with the
            first condition alone.
        known: images that the detector was fitted to or calibrated on.
        checks: what a first look at the network found, as dictionaries.
    """

    condition: str
    batch: int
    rows: pd.DataFrame
    spent: Spent = field(default_factory=Spent)
    kept: list[Kept] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    known: int = 0
    checks: list[dict[str, str]] = field(default_factory=list)


_PLAIN = [f.name for f in fields(Unit) if f.name not in ("rows", "kept")]


class Pictures:
    """The pictures of a record behind each other, equal ones once."""

    def __init__(self, content: bytes = b"") -> None:
        self._out = io.BytesIO()
        self._seen: dict[bytes, int] = {}
        self._content = memoryview(content)

    def add(self, picture: Picture) -> list[Any]:
        """Where it will be, and its shape."""
        raw = np.ascontiguousarray(picture).tobytes()
        if raw not in self._seen:
            self._seen[raw] = self._out.tell()
            self._out.write(raw)
        return [self._seen[raw], *picture.shape]

    def get(self, where: Sequence[int]) -> Picture:
        """What was added, a copy."""
        start, *shape = where
        raw = self._content[start : start + int(np.prod(shape))]
        return np.frombuffer(raw, np.uint8).reshape(shape).copy()

    def content(self) -> bytes:
        """All of them."""
        return self._out.getvalue()


def pack(units: Sequence[tuple[str, Unit]]) -> bytes:
    """Units, and what the condition of each is called, as bytes that hold no code.

    They are a header in JSON, the rows of all as an Arrow table, and the pictures.
    """
    import pandas as pd
    import pyarrow as pa

    pictures, headers = Pictures(), []
    for mark, unit in units:
        kept = [
            {**one._asdict(), "clean": pictures.add(one.clean), "changed": pictures.add(one.changed)}
            for one in unit.kept
        ]
        plain = {name: getattr(unit, name) for name in _PLAIN}
        headers.append({**plain, "mark": mark, "n": len(unit.rows), "kept": kept})
    frames = [unit.rows for _, unit in units if len(unit.rows)]
    table = b""
    if frames:
        rows = pa.Table.from_pandas(pd.concat(frames, ignore_index=True), preserve_index=False)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(rows)
        table = sink.getvalue().to_pybytes()
    header = json.dumps(headers).encode()
    return b"".join([_LENGTHS.pack(len(header), len(table)), header, table, pictures.content()])


def headers_of(content: bytes) -> list[dict[str, Any]]:
    """What ``pack`` said of each unit, without its rows and pictures."""
    length, _ = _LENGTHS.unpack_from(content)
    found: list[dict[str, Any]] = json.loads(content[_LENGTHS.size : _LENGTHS.size + length])
    return found


def unpack(content: bytes) -> Iterator[Unit]:
    """The units that were packed, in their order."""
    import pyarrow as pa

    header, table = _LENGTHS.unpack_from(content)
    start = _LENGTHS.size + header
    rows = None
    if table:
        raw = pa.BufferReader(content[start : start + table])
        rows = pa.ipc.open_stream(raw).read_all().to_pandas().astype(COLUMNS)
    pictures, done = Pictures(content[start + table :]), 0
    for said in headers_of(content):
        n, kept, _ = said.pop("n"), said.pop("kept"), said.pop("mark")
        said["spent"] = Spent(*said["spent"])
        said["skipped"] = [tuple(pair) for pair in said["skipped"]]
        own = no_rows() if rows is None else rows.iloc[done : done + n].reset_index(drop=True)
        done += n
        yield Unit(**said, rows=own, kept=[_kept(one, pictures) for one in kept])


def _kept(said: dict[str, Any], pictures: Pictures) -> Kept:
    places = {name: pictures.get(said[name]) for name in ("clean", "changed")}
    return Kept(**{**said, **places, "rank": tuple(said["rank"])})


def no_rows() -> pd.DataFrame:
    """A table of rows without any."""
    import pandas as pd

    return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
