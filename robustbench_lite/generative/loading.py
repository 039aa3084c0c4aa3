"""Models of images as checkpoints: the same files as those of classifiers, of another kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from robustbench_lite import registry
from robustbench_lite.errors import InputError
from robustbench_lite.specs import parse
from robustbench_lite.weights import (
    CheckpointInfo,
    check_kind,
    load_into,
    read_info,
    read_state,
    save_checkpoint,
)


@dataclass(frozen=True)
class Fitted:
    """A model of images from a file.

    Args:
        model: a network with latents (generative/latent.py) in eval mode and frozen, or a density (density.py).
        spec: what it was trained as.
        info: what the checkpoint says of itself.
    """

    model: Any
    spec: str
    info: CheckpointInfo


def save_generator(path: Path, spec: str, model: Any, history: dict[str, Any]) -> None:
    """Write a model of images as a checkpoint, in one piece or not at all.

    Args:
        path: ``….safetensors``.
        spec: what it was trained as.
        model: a network, or a density with ``state()``; either knows the ``shape`` of its images.
        history: the record of the training.

    Raises:
        InputError: the model has no state, or the place cannot be written.
    """
    if not isinstance(model, nn.Module) and not hasattr(model, "state"):
        raise InputError(f"{spec} cannot be kept in a file: it has no state().", "Fit it again where it is used.")
    info = CheckpointInfo(
        kind="generator",
        architecture=spec,
        class_names=[],
        input_shape=model.shape,
        mean=[],
        std=[],
        history=history,
    )
    save_checkpoint(path, model if isinstance(model, nn.Module) else model.state(), info)


def load_generator(path: Path | str, device: str = "cpu", *, spec: str | None = None) -> Fitted:
    """Read a model of images that ``save_generator`` or ``rb train`` wrote.

    Args:
        path: ``….safetensors``.
        device: of a network; densities stay on the CPU.
        spec: what it is; by default what the file says, if that is no program of one's own (``file.py:Class``).

    Raises:
        InputError: no such file, a damaged one, a checkpoint of a classifier, or one of a program.
    """
    path = Path(path).expanduser()
    state, _ = read_state(path)
    info = read_info(path) if path.suffix == ".safetensors" else None
    if info is None:
        raise InputError(f"{path} does not say which model it is.", "Give a checkpoint of rb train.")
    check_kind(path, info, "generator")
    if spec is None and registry.is_code("generator", parse(info.architecture)[0].name):
        raise InputError(
            f"{path} names a program as its model, {info.architecture}; no file makes one run.",
            f"If it is yours, say so: --model {info.architecture!r} --weights {path} (Python: spec=…).",
        )
    spec = spec or info.architecture
    maker = registry.make_one("generator", spec)
    if hasattr(maker, "network"):
        network = maker.network(info.input_shape)
        load_into(network, state, path)
        return Fitted(network.to(device).eval().requires_grad_(False), spec, info)
    if hasattr(maker, "restore"):
        return Fitted(maker.restore(state, info.input_shape), spec, info)
    raise InputError(f"{spec} cannot be read from a file.", "Fit it again where it is used.")
