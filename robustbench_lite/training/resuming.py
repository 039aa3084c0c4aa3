"""The state of a training as a file, so that one that was stopped goes on as if it had not been."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustbench_lite import __version__
from robustbench_lite.errors import InputError
from robustbench_lite.rng import stable_hash
from robustbench_lite.training.objective import Objective
from robustbench_lite.training.on_demand import OnDemand
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.tensors import Tensors

_log = logging.getLogger(__name__)

SUFFIX = ".resume"
SHARE = 0.03  # of the time of the training is spent on writing at the most
_FORMAT = 1
_ANEW = "Remove it, or give --overwrite, to start anew."


class Saved(NamedTuple):
    """What a file of a state says: of which training (texts by name), on what machine, and the loop's state."""

    identity: dict[str, str]
    machine: dict[str, str]
    state: dict[str, Any]

    @property
    def epochs(self) -> int:
        """That are finished."""
        return len(self.state["history"])


class StateFile:
    """Where a training keeps its state. If there is one, the training goes on from it.

    Args:
        path: the file.
        identity: what the weights depend on, as texts by name.

    Raises:
        InputError: the file is of another training, or damaged.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self.path, self.identity, self.machine = path, dict(identity), _machine()
        self._free, self._warned = -float("inf"), False
        saved = read_saved(path)
        self.begin = None if saved is None else saved.state
        if saved is None:
            return
        if changed := list(_changes(saved.identity, self.identity)):
            raise InputError(
                f"{path} is of another training: {'; '.join(changed)}.",
                "Give what was given then; or --overwrite, or remove it, to start anew.",
            )
        for change in _changes(saved.machine, self.machine):
            _log.warning("warning: %s; the weights may not be those of an unbroken training.", change)
        _log.warning("note: the training goes on after epoch %d of %s.", saved.epochs, identity["epochs"])

    def keep(self, state: dict[str, Any]) -> None:
        """Write the state of the loop, in one piece or not at all.

        Not if that was done a moment ago; but in any case if it is complete.
        """
        began = time.monotonic()
        if began < self._free and not state["complete"]:
            return
        content = {
            "format": _FORMAT,
            "identity": self.identity,
            "machine": self.machine,
            "state": state,
        }
        try:
            _write(self.path, content)
        except OSError as error:
            if not self._warned:
                _log.warning(
                    "warning: cannot write %s: %s. The training goes on, but --resume cannot take it up here.",
                    self.path,
                    error.strerror,
                )
            self._warned = True
        took = time.monotonic() - began
        self._free = began + took / SHARE


def identity_of(
    architecture: str, network: nn.Module, options: TrainingOptions, images: Mapping[str, str]
) -> dict[str, str]:
    """What the weights of a training depend on, as texts by name.

    Args:
        architecture: spec of the network.
        network: as it is before the first step, on its device.
        options: how it is trained.
        images: names of splits and what says which images they are.
    """
    given = {
        "architecture": architecture,
        **asdict(options),
        **images,
        "device": next(network.parameters()).device.type,
        "start weights": fingerprint(*network.state_dict().values()),
        "trained weights": sum(p.numel() for p in network.parameters() if p.requires_grad),
    }
    return {name: str(value) for name, value in given.items()}


def state_of_classifier(path: Path, architecture: str, objective: Objective, val: Tensors) -> StateFile:
    """Where the training of a classifier keeps its state.

    Raises:
        InputError: the file is of another training, or damaged.
    """
    recipe = {field.name: str(getattr(objective.recipe, field.name)) for field in fields(objective.recipe)}
    images = {
        f"{name} images": f"{len(data.ids)} ({_mark(data)}, {stable_hash(*data.ids):x})"
        for name, data in {"training": objective.data, "validation": val}.items()
    }
    identity = identity_of(architecture, objective.network, objective.options, images)
    normalisation = f"{objective.classifier.mean}, {objective.classifier.std}"
    return StateFile(path, {**identity, **recipe, "normalisation": normalisation})


def _mark(data: Tensors) -> str:
    if isinstance(data.images, OnDemand):
        return f"{data.images.summary.digest}, {fingerprint(data.labels)}"
    return fingerprint(data.images, data.labels)


def fingerprint(*tensors: Tensor) -> str:
    """A hash of the values of tensors, wherever they lie."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        for part in torch.split(tensor.detach().reshape(-1), 2**24):
            digest.update(part.cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


def read_saved(path: Path) -> Saved | None:
    """What a file of a state says; None if there is none. Nothing in it is executed.

    Raises:
        InputError: it is no such file, damaged, or written by a newer version.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as file:
            broken = file.testzip()  # torch.load would take altered numbers as they are
        if broken is not None:
            raise InputError(f"{path} is damaged.", _ANEW)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error}): it may be cut off.", _ANEW) from None
    except pickle.UnpicklingError:
        raise InputError(
            f"{path} holds more than tensors and numbers; loading it would run code from the file.", _ANEW
        ) from None
    except RuntimeError:
        raise InputError(f"{path} is no state of a training.", _ANEW) from None
    if not isinstance(content, dict) or not {"format", "identity", "machine", "state"} <= content.keys():
        raise InputError(f"{path} is no state of a training.", _ANEW)
    if content["format"] != _FORMAT:
        raise InputError(f"{path} has format {content['format']}; this release reads {_FORMAT}.", _ANEW)
    return Saved(content["identity"], content["machine"], content["state"])


def remove(path: Path) -> None:
    """Remove a file of a state, and what a killed process left of the next one."""
    for file in (path, _draft(path)):
        file.unlink(missing_ok=True)


def _write(path: Path, content: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path)
    try:
        with draft.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # or a power cut leaves an empty file under the final name
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _draft(path: Path) -> Path:
    """Always the same one, so that killed processes leave one at the most."""
    return path.with_name(f".{path.name}.part")


def _machine() -> dict[str, str]:
    return {
        "robustbench_lite": __version__,
        "torch": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
    }


def _changes(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in {**then, **now}:
        if then.get(name) != now.get(name):
            yield f"{name} was {then.get(name, 'not there')}, is now {now.get(name, 'not there')}"
