"""Weights from files, and the self-describing checkpoint. Nothing in a file is ever executed."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from robustbench_lite.errors import InputError
from robustbench_lite.files import why_unwritable

_NESTED_UNDER = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("_orig_mod.", "module.")  # left by torch.compile and DataParallel
_KEY = "robustbench_lite"


class CheckpointInfo(BaseModel):
    """What a checkpoint says of itself, beside the weights.

    ``architecture`` is the spec of the network, ``history`` the training record. A model of images (``generator``)
    takes images in [0, 1] and knows no classes: ``class_names``, ``mean`` and ``std`` are empty.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    kind: Literal["classifier", "generator"] = "classifier"
    architecture: str
    class_names: list[str]
    input_shape: tuple[int, int, int]
    mean: list[float]
    std: list[float]
    history: dict[str, Any]


def save_checkpoint(path: Path, network: nn.Module | Mapping[str, Tensor], info: CheckpointInfo) -> None:
    """Write weights and description as one safetensors file, in one piece or not at all.

    Args:
        path: the file.
        network: a network, or the state of one.
        info: the description.

    Raises:
        InputError: the place cannot be written.
    """
    # Clones, because safetensors refuses tensors that share memory, as tied weights do.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in (network.state_dict() if isinstance(network, nn.Module) else network).items()
    }
    content = save(state, metadata={_KEY: info.model_dump_json()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _not_writable(path, error) from None


def check_writable(path: Path) -> None:
    """Try the place of a checkpoint, before hours of training are spent on it.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _not_writable(path, error) from None


def _not_writable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {why_unwritable(path, error)}.", "Choose another place with --out.")


def read_info(path: Path) -> CheckpointInfo | None:
    """The description in a safetensors file, or None if it carries none.

    Raises:
        InputError: the file is damaged, or written by a newer version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no safetensors file: {error}.", "Check the file.") from None
    if _KEY not in metadata:
        return None
    try:
        content = json.loads(metadata[_KEY])
        found = content.get("format", 1) if isinstance(content, dict) else 1
        if isinstance(found, int) and found > 1:
            raise InputError(f"{path} has checkpoint format {found}; this release reads 1.", "Upgrade.")
        return CheckpointInfo.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        reason = ": ".join([".".join(map(str, fault["loc"])), fault["msg"]]).removeprefix(": ")
    except ValueError as error:  # no JSON
        reason = str(error)
    raise InputError(f"the description in {path} is damaged: {reason}.", "Train it again.")


def check_kind(path: Path, info: CheckpointInfo, wanted: Literal["classifier", "generator"]) -> None:
    """Refuse a model of images where a classifier is wanted, or the other way round.

    Raises:
        InputError: the checkpoint is of the other kind.
    """
    if info.kind == wanted:
        return
    if wanted == "classifier":
        raise InputError(
            f"{path} is a model of images ({info.architecture}), no classifier.",
            "Give a checkpoint of a network that was trained to tell classes, such as cnn.",
        )
    raise InputError(
        f"{path} is a classifier ({info.architecture}), no model of images.",
        f"Train one: rb train --model vae --data … --out {path.stem}-vae.safetensors.",
    )


def read_state(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict in a ``.safetensors``, ``.pt`` or ``.pth`` file, and what was done to get at it.

    Raises:
        InputError: no such file, a damaged one, no state dict in it, or a pickle that needs more than tensors.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}", "Check the path.")
    if path.suffix == ".safetensors":
        read_info(path)  # says clearly what is wrong with a damaged file
        with safe_open(path, framework="pt") as file:
            return _clean({name: file.get_tensor(name) for name in file.keys()}, path)  # noqa: SIM118
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript, which is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "operand" in str(error) or "invalid load key" in str(error):
            raise InputError(f"{path} is no file of PyTorch weights.", "Check the file.") from None
        raise InputError(
            f"{path} holds more than tensors; loading it would run code from the file.",
            "Where it was made: torch.save(network.state_dict(), FILE), and load that.",
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        if "TorchScript" in str(error):
            raise InputError(
                f"{path} is a TorchScript program, not weights; running it would run code from the file.",
                "Where it was made: torch.save(network.state_dict(), FILE), and load that.",
            ) from None
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise InputError(
            f"{path} cannot be read as PyTorch weights ({type(error).__name__}: {reason}).",
            "Check the file: it may be cut off.",
        ) from None
    return _clean(content, path)


def _clean(content: Any, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    notes = []
    for key in _NESTED_UNDER:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            notes.append(f"weights taken from {key!r} in {path.name}")
    found = content if isinstance(content, Mapping) else {}
    state = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not state:
        raise InputError(f"{path} holds no state dict.", "Save one: torch.save(network.state_dict(), FILE).")
    return state, notes


def _without_prefixes(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The state with the names that the network uses, and the prefix that was stripped from all of them."""
    state, stripped = dict(state), ""
    while not state.keys() & own.keys():  # a network may keep its layers in .module by right
        prefix = next((p for p in _PREFIXES if state and all(name.startswith(p) for name in state)), "")
        if not prefix:
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        stripped += prefix
    return state, stripped


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], source: Path, *, head: Collection[str] = ()
) -> list[str]:
    """Put weights into a network; every name and shape must fit, but for a prefix that all names share.

    Args:
        network: is changed in place.
        state: the weights, by name.
        source: where they are from, for messages.
        head: names of the parameters that may be for another number of classes: then the network keeps its own.

    Returns:
        What was done to make them fit.

    Raises:
        InputError: names the first key that does not fit, and both shapes.
    """
    own = network.state_dict()
    state, prefix = _without_prefixes(state, own)
    notes = [f"prefix {prefix!r} stripped from the names in {source.name}"] if prefix else []
    other = [name for name in head if name in state and len(state[name]) != len(own[name])]
    if other:
        notes.append(f"head replaced: {len(state[other[0]])} → {len(own[other[0]])} classes")
        state |= {name: own[name] for name in head}
    for name, tensor in state.items():
        if name in own and own[name].shape != tensor.shape:
            raise InputError(
                f"{source} does not fit the network: {name!r} has shape {tuple(tensor.shape)}, "
                f"the network wants {tuple(own[name].shape)}.",
                "Check the architecture, the number of classes and --channels.",
            )
    # Batch norm counters only matter to training; old files lack them.
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        parts = [f"lacks {_some(missing)}"] * bool(missing) + [f"has unknown {_some(unknown)}"] * bool(unknown)
        raise InputError(
            f"{source} does not fit the network: it {' and '.join(parts)}.", "Check the architecture."
        )
    network.load_state_dict(state, strict=False)
    return notes


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
