"""``load_dataset``: from a few strings to a data set."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from robustbench_lite import registry
from robustbench_lite.data.dataset import DamagedImageError, Dataset, Metadata, Pixels, Skipped
from robustbench_lite.data.groups import grouping
from robustbench_lite.data.pixels import Fit
from robustbench_lite.data.source import Shape, Source
from robustbench_lite.data.splits import split_indices, stratified
from robustbench_lite.errors import InputError

DATA_ROOT = Path("data")
"""Where the torchvision sets are looked for: the folder ``data`` in the current one."""

_T = TypeVar("_T")


def load_dataset(
    spec: str,
    *,
    split: str = "test",
    root: Path | None = None,
    download: bool = False,
    input_size: int | tuple[int, int] | None = None,
    resize: int | None = None,
    channels: int | None = None,
    group: str | None = None,
    limit: int | None = None,
    first: int | None = None,
    seed: int = 0,
    max_damaged: float = 0.01,
) -> Dataset:
    """A data set by name: listed, split, checked and hashed, but not decoded.

    Args:
        spec: ``name`` or ``name:ARGUMENT``, such as ``digits`` or ``folder:PATH``; or a loader of one's own,
            ``file.py:function`` or ``file.py:function:ARGUMENT``, which returns a Source.
        split: ``train``, ``val``, ``test`` or ``all``.
        root: folder of the torchvision sets; by default ``data`` in the current folder.
        download: fetch a torchvision set that is missing.
        input_size: (H, W) in pixels, or one side of a square, that all images are scaled and cut to; by default
            they keep their size.
        resize: length in pixels of the shorter side before the cut; by default it just covers the cut.
        channels: 1 or 3 turns grey and colour into each other; 4 keeps opacity.
        group: which images belong together: a regular expression searched in the file names, ``level:N`` or
            ``column:NAME``.
        limit: how many images to take, of every class in proportion.
        first: how many images to take from the beginning. Folders are in the order of their classes.
        seed: which images ``limit`` takes.
        max_damaged: share of the chosen images that may be damaged.

    Raises:
        UnknownNameError: no such data set, split or column.
        InputError: the data are missing, do not fit the arguments, or too many images are damaged.
    """
    square = (input_size, input_size) if isinstance(input_size, int) else input_size
    fit = Fit(channels, square, resize)
    _check_counts(limit, first, max_damaged)
    offered = {"split": split, "root": root or DATA_ROOT, "download": download, "channels": channels}
    source = _call_loader(spec, offered)
    group_of = grouping(source, spec, group)
    digests: dict[int, bytes] = {}

    def digests_of(indices: Sequence[int]) -> list[bytes]:
        missing = [i for i in indices if i not in digests]
        digests.update(zip(missing, _in_threads(lambda i: _digest_or_name(source, i), missing), strict=True))
        return [digests[i] for i in indices]

    chosen = split_indices(source, spec, split, group_of, digests_of)
    in_split = len(chosen)
    if first is not None:
        chosen = chosen[:first]
    if limit is not None:
        chosen = stratified(chosen, source.labels, source.files, limit, seed)
    groups = [group_of(i) for i in chosen] if group_of else None

    found = _in_threads(lambda i: _inspect(source, fit, i, digests.get(i)), chosen)
    good = [k for k, result in enumerate(found) if not isinstance(result, Skipped)]
    skipped = [result for result in found if isinstance(result, Skipped)]
    _check_damaged(skipped, len(found), max_damaged)
    kept = [chosen[k] for k in good]
    contents = [result[0] for result in found if not isinstance(result, Skipped)]
    shape = next((result[1] for result in found if not isinstance(result, Skipped)), None)

    def read(k: int) -> Pixels:
        i = kept[k]
        return fit(source.read(i), source.files[i])

    def metadata(k: int) -> Metadata:
        i = kept[k]
        height, width, *_ = source.header(i) if source.header is not None else source.read(i).shape
        return Metadata(height, width, None if source.file_bytes is None else source.file_bytes(i))

    dataset = Dataset(
        spec=spec,
        split=split,
        class_names=source.class_names,
        labels=source.labels[kept],
        files=tuple(source.files[i] for i in kept),
        sample_ids=tuple(
            source.sample_ids[i] if source.sample_ids else sample_id(content, source.class_names[source.labels[i]])
            for i, content in zip(kept, contents, strict=True)
        ),
        read=read,
        eps=dict(source.eps or {}),
        groups=tuple(groups[k] for k in good) if groups is not None else None,
        skipped=tuple(skipped),
        notes=_notes(source, split, in_split, groups and [groups[k] for k in good], source.labels[kept]),
        metadata=metadata,
    )
    if source.eps is not None:
        return dataset
    return replace(dataset, eps=_usual_eps(shape or dataset.image_shape))


def usual_split(
    spec: str, split: str, *, root: Path | None = None, download: bool = False, channels: int | None = None
) -> str:
    """The split itself; but ``all`` where the spec says from where, as a path, and nothing is divided there.

    For those whose images are divided before they come: the normal images in one folder, the others elsewhere.
    """
    if not _name_and_argument(spec)[1]:
        return split
    offered = {"split": "all", "root": root or DATA_ROOT, "download": download, "channels": channels}
    return split if _call_loader(spec, offered).splits else "all"


def sample_id(content: bytes, class_name: str) -> str:
    """16 hexadecimal digits from the hash of an image's content and the name of its class."""
    return hashlib.sha256(content + class_name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _usual_eps(shape: tuple[int, ...]) -> dict[str, float]:
    """The budgets of 32×32 colour images; the l2 one grows with the root of the number of values."""
    return {"linf": 8 / 255, "l2": 0.5 * math.sqrt(math.prod(shape) / (3 * 32 * 32))}


def _notes(
    source: Source, split: str, n: int, groups: Sequence[str] | None, labels: npt.NDArray[np.int64]
) -> tuple[str, ...]:
    """What was decided on the way that may surprise."""
    notes = list(source.notes)
    if source.splits is None and split != "all" and len(source) > n:
        notes.append(
            f"the data come without splits: {split} is {n} of {len(source)} images, chosen by their content "
            "(--split all takes all)"
        )
    if groups is not None:
        classes: dict[str, set[int]] = {}
        for group, label in zip(groups, labels.tolist(), strict=True):
            classes.setdefault(group, set()).add(label)
        mixed = sum(len(found) > 1 for found in classes.values())
        text = f"{len(classes)} groups in {len(groups)} images"
        notes.append(text + (f", {mixed} of them over more than one class: is --group right?" if mixed else ""))
    return tuple(notes)


def _check_counts(limit: int | None, first: int | None, max_damaged: float) -> None:
    if limit is not None and first is not None:
        raise InputError(f"--limit {limit} and --first {first} exclude each other.", "Give one of them.")
    for name, value in (("limit", limit), ("first", first)):
        if value is not None and value < 1:
            raise InputError(f"--{name} {value} is refused.", "Give at least 1.")
    if not 0 <= max_damaged <= 1:
        raise InputError(f"--max-damaged {max_damaged} is refused.", "Give a share, such as 0.01.")


def _check_damaged(skipped: Sequence[Skipped], count: int, max_damaged: float) -> None:
    if skipped and (len(skipped) > max_damaged * count or len(skipped) == count):
        raise InputError(
            f"{len(skipped)} of {count} images are damaged, the first: {skipped[0].file} ({skipped[0].reason}).",
            "Delete or replace them"
            + (", or raise --max-damaged." if len(skipped) < count else ": no image is left."),
        )


def _call_loader(spec: str, offered: Mapping[str, Any]) -> Source:
    """What the loader returns for the argument in the spec and those options that it asks for."""
    name, argument = _name_and_argument(spec)
    if registry.canonical_name("data", name) is None and spec and Path(spec).expanduser().exists():
        kind = "npz" if spec.endswith(".npz") else "folder"
        raise InputError(f"{spec} says where the data are, but not what they are.", f"Write {kind}:{spec}.")
    loader: Callable[..., Any] = registry.load("data", name)
    parameters = inspect.signature(loader).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if argument and not positional:
        raise InputError(f"{name} takes no argument, but {argument!r} follows it.", f"Write {name}.")
    if not argument and positional and positional[0].default is inspect.Parameter.empty:
        wanted = positional[0].name
        raise InputError(f"{name} needs its {wanted}.", f"Write {name}:{wanted.upper()}.")
    options = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option.name not in offered and option.default is inspect.Parameter.empty:
            raise InputError(f"the loader {name} asks for {option.name!r}.", f"It can have {', '.join(offered)}.")
    given = {option.name: offered[option.name] for option in options if option.name in offered}
    source = loader(argument, **given) if argument else loader(**given)
    if not isinstance(source, Source):
        raise InputError(
            f"the loader {name} returned {type(source).__name__}.",
            "It must return a robustbench_lite.data.source.Source.",
        )
    if not len(source):
        raise InputError(f"{spec} holds no image.", "Check where it reads from.")
    return source


def _name_and_argument(spec: str) -> tuple[str, str]:
    """The loader's name, and what follows it after a colon."""
    head, _, rest = spec.partition(":")
    if registry.canonical_name("data", head):
        return head, rest
    # file.py:function or module:function. A lone word that is no module is a misspelt name.
    match = re.fullmatch(r"(.+?\.py:\w+|[A-Za-z_][\w.]*:[A-Za-z_]\w*)(?::(.*))?", spec)
    if match and ("." in head or ".py:" in spec or importlib.util.find_spec(head)):
        return match[1], match[2] or ""
    return head, rest


def _content(source: Source, i: int) -> bytes:
    """SHA-256 of what an image is, wherever it is stored."""
    if source.digest is not None:
        return source.digest(i)
    pixels = np.asarray(source.read(i))
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    little_endian = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{pixels.shape} {pixels.dtype.name} ".encode() + little_endian.tobytes()).digest()


def _digest_or_name(source: Source, i: int) -> bytes:
    """For a file that cannot be read its name decides the split, in which it is then reported."""
    try:
        return _content(source, i)
    except DamagedImageError:
        return source.files[i].encode("utf-8", "surrogatepass")


def _inspect(source: Source, fit: Fit, i: int, content: bytes | None) -> tuple[bytes, Shape | None] | Skipped:
    """An image's hash and final shape, or why it is left out. Only the header is looked at."""
    name = source.files[i]
    try:
        shape = fit.shape(source.header(i), name) if source.header is not None else None
        return content or _content(source, i), shape
    except DamagedImageError as error:
        return Skipped.because(name, error)


def _in_threads(function: Callable[[int], _T], indices: Sequence[int], chunk: int = 64) -> list[_T]:
    """The function's results, in order. In chunks, because a task costs more than hashing a small image."""
    chunks = [indices[k : k + chunk] for k in range(0, len(indices), chunk)]

    def run(part: Sequence[int]) -> list[_T]:
        return [function(i) for i in part]

    def results(pool: ThreadPoolExecutor) -> Iterator[_T]:
        for part in pool.map(run, chunks):
            yield from part

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(results(pool))
