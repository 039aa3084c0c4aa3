"""The network that a training begins with: fresh, or with weights from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from robustbench_lite import registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.loading import build_network, model_call
from robustbench_lite.errors import InputError
from robustbench_lite.training.tuning import check_tune, freeze, head_of, layers_of
from robustbench_lite.weights import CheckpointInfo, check_kind, load_into, read_info, read_state

WEIGHT_FILES = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True)
class Start:
    """What a training begins from. Without arguments: fresh weights, all of which are trained.

    Args:
        weights: a ``.safetensors``, ``.pt`` or ``.pth`` file with a state dict. Nothing in it is executed.
        tune: what is trained: ``all``, ``head`` (the layer that ends in the logits) or ``last:N``.
        mean, std: normalisation of images in [0, 1], one or one per channel; by default that of a checkpoint it
            begins from, else it is measured.
    """

    weights: Path | str | None = None
    tune: str = "all"
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_tune(self.tune)
        if (self.mean is None) != (self.std is None):
            raise InputError("mean and std belong together.", "Give both.")


class Begun(NamedTuple):
    """A network before its training.

    ``architecture`` is its spec, ``normalisation`` mean and deviation per channel, if they are known already,
    ``told`` what a history says of it, ``notes`` what people are to know.
    """

    network: nn.Module
    architecture: str
    normalisation: tuple[list[float], list[float]] | None
    told: dict[str, Any]
    notes: list[str]


def is_weights(model: str) -> bool:
    """Whether a model spec is a file of weights."""
    return Path(model).suffix in WEIGHT_FILES


def begin(
    architecture: str, start: Start | None = None, *, num_classes: int, input_shape: tuple[int, int, int]
) -> Begun:
    """Build the network, and fill it.

    Args:
        architecture: as for ``train``, or a checkpoint of ``rb train``, whose architecture and weights are taken.
        start: weights, and what of them is trained.
        num_classes: of the data; a head for another number of classes is replaced by a fresh one.
        input_shape: (C, H, W) of the data.

    Raises:
        InputError: weights that do not fit, or that were not given though something is to stay as it is.
    """
    start = start or Start()
    source = None if start.weights is None else Path(start.weights).expanduser()
    if is_weights(architecture):
        if source is not None:
            raise InputError(
                f"--model {architecture} and --weights {source} are both files of weights.",
                "Leave --weights out, or name a network: --model torchvision:resnet18.",
            )
        source = Path(architecture).expanduser()
        architecture = _architecture_in(source)
    if source is None and start.tune != "all":
        raise InputError(f"--tune {start.tune} leaves fresh weights untrained.", "Give --weights, or --tune all.")
    network = build_network(architecture, num_classes=num_classes, input_shape=input_shape)
    normalisation = _given(start, input_shape[0])
    if source is None:
        return Begun(network, architecture, normalisation, {}, [])
    layers = layers_of(network, input_shape)
    head = head_of(network, layers, num_classes)
    if start.tune == "head" and not head:
        raise InputError(
            f"--tune head: the last layer of {architecture} has not one output for each of {num_classes} classes.",
            "Give --tune all, or last:N.",
        )
    info, notes = _filled(network, head, source, input_shape)
    tuned = freeze(network, layers, start.tune)
    if normalisation is None and info is not None:
        normalisation = info.mean, info.std
        notes.append(f"mean and std taken from {source.name}")
    elif normalisation is None:
        notes.append("mean and std are measured; weights that were trained on ImageNet expect --mean imagenet")
    told = {
        "weights": source.name,
        "weights_sha256": Classifier(network).weights_sha256,
        "tune": start.tune,
        "layers": list(tuned.layers),
        "trained_parameters": tuned.trained_parameters,
        "parameters": tuned.parameters,
    }
    what = "all" if start.tune == "all" else ", ".join(tuned.layers)
    notes.append(f"trained: {what} ({tuned.trained_parameters:,} of {tuned.parameters:,} parameters)")
    return Begun(network, architecture, normalisation, told, notes)


def _architecture_in(source: Path) -> str:
    """The spec of the network in a checkpoint."""
    read_state(source)  # says what is wrong with a file that cannot be read
    info = read_info(source) if source.suffix == ".safetensors" else None
    if info is None:
        raise InputError(
            f"{source} holds weights only, and does not say of which network.",
            f"Name it: --model torchvision:resnet18 --weights {source}.",
        )
    check_kind(source, info, "classifier")
    if registry.is_code("model", model_call(info.architecture).name):
        raise InputError(
            f"{source} names a program as its network, {info.architecture}; no file makes one run.",
            f"If it is yours, say so: --model {info.architecture!r} --weights {source}.",
        )
    return info.architecture


def _filled(
    network: nn.Module, head: list[str], source: Path, input_shape: tuple[int, int, int]
) -> tuple[CheckpointInfo | None, list[str]]:
    """The description in a file whose weights were put into the network, and what was done to make them fit."""
    state, notes = read_state(source)
    info = read_info(source) if source.suffix == ".safetensors" else None
    if info is not None:
        check_kind(source, info, "classifier")
    try:
        return info, [*notes, *load_into(network, state, source, head=head)]
    except InputError as error:
        if info is None or info.input_shape == input_shape:
            raise
        channels, height, width = info.input_shape
        size = f"{height}" if height == width else f"{height}x{width}"
        raise InputError(
            error.what, f"It was trained with --input-size {size} --channels {channels}: give these."
        ) from None


def _given(start: Start, channels: int) -> tuple[list[float], list[float]] | None:
    if start.mean is None or start.std is None:
        return None
    for name, values in (("mean", start.mean), ("std", start.std)):
        if len(values) not in (1, channels):
            raise InputError(
                f"--{name} has {len(values)} values, the images have {channels} channels.", "Give one, or as many."
            )
    if not min(start.std) > 0:
        raise InputError("--std holds a value that is not positive.", "Check --std.")
    return [float(v) for v in start.mean], [float(v) for v in start.std]
