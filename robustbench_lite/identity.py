"""What the rows of a run depend on, as texts by name: finished work is gone on with if all are the same."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_lite import provenance
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.pieces import default_batch
from robustbench_lite.classifiers.scores import ScoreFunction
from robustbench_lite.data.dataset import DamagedImageError, Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.registry import spec
from robustbench_lite.types import Condition
from robustbench_lite.unfinished import Store, opened

# Modules and folders of ours that a row passes through. What only makes weights is not among them: weights have a
# hash of their own.
ROW_CODE = (
    *("applying", "attacks", "calibrating", "checks", "classifiers", "data", "descriptions", "errors", "examples"),
    *("generative", "guarding", "names", "normals", "norms", "outliers", "records", "references"),
    *("registry", "rng", "run_rows", "scoring", "search", "search_refining", "search_space", "shifts", "specs"),
    *("types", "units", "weights"),
)
_PACKAGE = "robustbench_lite"
_LOOKED_AT = 8  # images whose pixels are compared, beside the ids of all


def open_store(
    parent: Path | str,
    classifier: Classifier,
    dataset: Dataset,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    as_8bit: bool = False,
    detector: str = "",
    resume: bool = False,
) -> Store | None:
    """Where ``evaluate`` keeps finished batches, so that an evaluation that was stopped can go on.

    It is a folder ``.unfinished-…``, used by one process at a time; ``Store.remove`` removes it when the result is
    safe.

    Args:
        parent: the folder that it is in.
        classifier, dataset, seed, batch_size, as_8bit: as ``evaluate`` will be given them.
        detector: a hash of the detector that ``evaluate`` will be given.
        resume: take up what is there of the very same network, images, seed, and so on; otherwise it is discarded.

    Returns:
        The store. None, and a warning in the log, if another process uses it, or the place cannot be written.

    Raises:
        InputError: nobody can tell whether a network is this one: it is a function, or its source cannot be read.
    """
    identity = identity_of(
        classifier, dataset, seed=seed, batch_size=batch_size, as_8bit=as_8bit, detector=detector
    )
    return opened(Path(parent), identity, resume=resume)


def identity_of(
    classifier: Classifier,
    dataset: Dataset,
    *,
    seed: int,
    batch_size: int | None,
    as_8bit: bool,
    detector: str = "",
) -> dict[str, str]:
    """What all rows depend on beside their condition. Arguments and errors as for ``open_store``."""
    shape, device = dataset.image_shape, classifier.device
    size = batch_size or default_batch(shape, pieces=classifier.in_pieces)
    return {
        "format": "1",
        "weights": classifier.weights_sha256[:16],
        "network": network_mark(classifier.network),
        "normalisation": f"{classifier.mean}, {classifier.std}",
        "images": _hash([repr(_listed(dataset))]),
        "pixels": _pixels(dataset),
        "image shape": " x ".join(map(str, shape)),
        **_settings(seed, size, as_8bit),
        "detector": detector or "none",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "dtype": "float32",
        "code": code_mark(),
        "packages": _packages(),
    }


def _settings(seed: int, batch_size: int, as_8bit: bool) -> dict[str, str]:
    return {"seed": str(seed), "batch size": str(batch_size), "rounded to 8 bits": "yes" if as_8bit else "no"}


def check_store(store: Store, *, seed: int, batch_size: int, as_8bit: bool) -> None:
    """Raise InputError if a store was opened for an evaluation with other arguments."""
    for name, value in _settings(seed, batch_size, as_8bit).items():
        if store.identity[name] != value:
            raise InputError(
                f"the store is of an evaluation with another {name}: {store.identity[name]}, not {value}.",
                "Open it with the arguments of this one.",
            )


def _listed(dataset: Dataset) -> tuple[Any, ...]:
    """The list of the images in their order."""
    return (dataset.sample_ids, dataset.files, dataset.labels.tolist(), dataset.groups, dataset.class_names)


def _pixels(dataset: Dataset) -> str:
    """Of a few images: ids are of the files, and do not tell how these were decoded, scaled and cropped."""
    digest, n = hashlib.sha256(), len(dataset)
    for i in sorted({round(k * (n - 1) / max(1, _LOOKED_AT - 1)) for k in range(_LOOKED_AT)}):
        try:
            digest.update(dataset.read(i).tobytes())
        except DamagedImageError:
            digest.update(b"damaged")
    return digest.hexdigest()[:16]


def network_mark(network: nn.Module) -> str:
    """A hash of how the network is built: its layers, their plain attributes, and the source of their classes.

    Raises:
        InputError: it is a function, or the source of a class cannot be read.
    """
    if isinstance(network, ScoreFunction):
        raise InputError(
            f"nobody can tell whether the function {network.name} is the same another time.",
            "Leave --resume out.",
        )
    if isinstance(network, torch.jit.ScriptModule):
        return _hash([str(network.inlined_graph)])
    named = network.named_modules()
    layers = [f"{name}: {type(layer).__qualname__} {sorted(_attributes(layer))}" for name, layer in named]
    return _hash([repr(network), *layers, *sources_of(map(type, network.modules()))])


def _attributes(layer: nn.Module) -> Iterator[str]:
    for name, value in vars(layer).items():
        if name.startswith("_") or name == "training":
            continue
        if isinstance(value, Tensor):
            yield f"{name}={_hash([str(value.dtype), str(value.tolist())])}"
        elif callable(value):
            yield f"{name}={getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value))}"
        elif " at 0x" in repr(value):  # another address in every process
            yield f"{name}={type(value).__qualname__}"
        else:
            yield f"{name}={value!r}"


def condition_mark(condition: Condition) -> str:
    """The spec of a condition; with a hash behind it if that does not say all.

    That is so of attacks and shifts of one's own, whose source may change, and of what was found out on the data.

    Raises:
        InputError: the source of an attack or a shift cannot be read.
    """
    parts = _parts(condition)
    found = [
        repr(value)
        for part in parts
        for field in dataclasses.fields(part)
        if not field.compare and (value := getattr(part, field.name)) is not None
    ]
    told = [*found, *sources_of(map(type, parts))]
    return spec(condition) + (f" #{_hash(told)}" if told else "")


def _parts(condition: Condition) -> list[Any]:
    """Attacks and shifts, and the members of portfolios."""
    return [member for part in condition.parts for member in (part, *getattr(part, "attacks", ()))]


def sources_of(classes: Iterable[type]) -> list[str]:
    """Hashes of the files that classes are from, but for ours and PyTorch's, sorted.

    Raises:
        InputError: one has no file that can be read.
    """
    own = {one for one in classes if one.__module__.partition(".")[0] not in (_PACKAGE, "torch")}
    return sorted({_source(one) for one in own})


def _source(one: type) -> str:
    try:
        return _hash([Path(inspect.getfile(one)).read_bytes()])
    except (OSError, TypeError):
        raise InputError(
            f"the source of {one.__qualname__} cannot be read, so nobody can tell whether it is the same "
            "another time.",
            "Put it into a file, or leave --resume out.",
        ) from None


@functools.cache
def code_mark() -> str:
    """A hash of those modules of this package that a row passes through."""
    folder = Path(__file__).parent
    files = [
        file
        for name in ROW_CODE
        for file in (
            (folder / f"{name}.py",) if (folder / f"{name}.py").is_file() else (folder / name).glob("*.py")
        )
    ]
    return _hash(
        [part for file in sorted(files) for part in (file.relative_to(folder).as_posix(), file.read_bytes())]
    )


def _packages() -> str:
    return ", ".join(f"{name} {version}" for name, version in provenance.package_versions().items())


def code_sha256(classifier: Classifier, conditions: Sequence[Condition]) -> str:
    """SHA-256 of the code that makes the rows: ours, versions of packages, files of one's own. Empty: unknown."""
    try:
        used = [*classifier.network.modules(), *(part for condition in conditions for part in _parts(condition))]
        own = sources_of(map(type, used))
    except InputError:
        return ""
    return hashlib.sha256("\n".join([code_mark(), _packages(), *own]).encode()).hexdigest()


def _hash(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(content)} ".encode() + content)
    return digest.hexdigest()[:16]
