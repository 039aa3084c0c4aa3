"""Find, build and fill the network that a model spec names."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustbench_lite import registry
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.scores import ScoreFunction, takes_images
from robustbench_lite.errors import InputError, UnknownNameError
from robustbench_lite.specs import Call, parse
from robustbench_lite.weights import CheckpointInfo, check_kind, load_into, read_info, read_state

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # Means and deviations of the training images, as torchvision's pretrained networks expect them.
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def load_classifier(
    model: str,
    *,
    weights: Path | str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    device: str = "auto",
) -> Classifier:
    """Load a classifier.

    Args:
        model: a checkpoint of ``rb train`` (``net.safetensors``); ``torchvision:resnet18`` or any other name
            there; ``timm:NAME``; ``file.py:factory`` or ``package.module:factory``, a function or class that
            returns the network, or a function from images to scores, or that function itself; a built-in
            network such as ``cnn(width=16)``; or ``demo``.
        weights: a ``.safetensors``, ``.pt`` or ``.pth`` file with a state dict.
        mean, std: normalisation of images in [0, 1], per channel; by default that of a checkpoint of
            ``rb train``, also when it is given as weights, or none.
        class_names: of the data; only their number is used, for the outputs of a network that is built here.
        num_classes: outputs of a torchvision, timm or built-in network; by default the number of class names.
        input_shape: (C, H, W) of the images; a built-in network needs it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``, …

    Raises:
        InputError: anything that does not fit, with the key, the value and the remedy.
    """
    where = resolve_device(device)
    if num_classes is None and class_names is not None:
        num_classes = len(class_names)
    path = Path(model).expanduser()
    if path.suffix in (".safetensors", ".pt", ".pth"):
        if weights is not None:
            raise InputError(
                f"--model {model} and --weights {weights} are both files of weights.",
                "Leave --weights out, or name a network: --model torchvision:resnet18.",
            )
        return _checkpoint(path, mean, std, where)
    call = model_call(model)
    network = build(call, num_classes=num_classes, input_shape=input_shape)
    if isinstance(network, Classifier):  # the demo, or a factory that brings its own preprocessing
        for flag, value in (("weights", weights), ("mean", mean), ("std", std)):
            if value is not None:
                raise InputError(
                    f"--{flag} means nothing to {model}, which brings its own.",
                    "Leave it out, or name the network with --model.",
                )
        return network.to(where)
    if isinstance(network, ScoreFunction) and weights is not None:
        raise InputError(f"--weights means nothing to {model}, which returns scores.", "Leave it out.")
    notes: list[str] = []
    info: CheckpointInfo | None = None
    if weights is not None:
        source = Path(weights).expanduser()
        state, notes = read_state(source)
        info = read_info(source) if source.suffix == ".safetensors" else None
        if info is not None:
            check_kind(source, info, "classifier")
        notes += load_into(network, state, source)
        if info is not None:
            notes.append(f"class names and (unless given) mean and std taken from {source.name}")
    elif registry.canonical_name("model", call.name) is not None:
        raise InputError(
            f"the network {model} has no weights.",
            f"Give --weights FILE, or train it: rb train --model {model!r} --out net.safetensors.",
        )
    return Classifier(
        network,
        mean=mean or (info.mean if info and mean is None else ()),
        std=std or (info.std if info and std is None else ()),
        class_names=info.class_names if info else None,
        spec=model,
        input_shape=input_shape,
        device=where,
        notes=notes,
    )


def resolve_device(device: str) -> str:
    """``auto`` is CUDA where there is one, else the CPU.

    Raises:
        InputError: the device does not exist on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old names of devices
            torch.zeros(1, device=device).item()  # the meta device holds no numbers
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        if reason.startswith("Expected one of"):  # and twenty names
            reason = "there is no such device"
        raise InputError(f"--device {device} cannot be used: {reason}.", "Use auto, cpu or cuda.") from None
    return device


def model_call(model: str) -> Call:
    """A model spec as name and arguments. ``torchvision:resnet18`` means ``torchvision(name=resnet18)``."""
    head, colon, rest = model.partition(":")
    if colon and head.lower() in ("torchvision", "timm"):
        return Call(head.lower(), {"name": rest})
    calls = parse(model)
    if len(calls) != 1:
        raise InputError(f"{model!r} is not one network.", "Name one.")
    return calls[0]


def build(
    call: Call, *, num_classes: int | None, input_shape: tuple[int, int, int] | None
) -> nn.Module | Classifier:
    """What the factory that a call names returns; it gets the sizes that it asks for by keyword."""
    try:
        factory = registry.load("model", call.name)
    except UnknownNameError as error:
        raise _better_told(call.name, error) from None
    sizes: dict[str, Any] = {"num_classes": num_classes, "input_shape": input_shape}
    if takes_images(factory) and not call.arguments:
        return ScoreFunction(factory)
    parameters = inspect.signature(factory).parameters
    wanted = {name: value for name, value in sizes.items() if name in parameters and name not in call.arguments}
    own = registry.canonical_name("model", call.name) is not None
    for name, value in list(wanted.items()):
        if value is None:
            if parameters[name].default is not inspect.Parameter.empty and not own:
                del wanted[name]
                continue
            raise InputError(f"{call.name} needs to know its {name.replace('_', ' ')}.", f"Give {name}.")
    network = registry.construct(factory, call, **wanted)
    if isinstance(network, (nn.Module, Classifier)):
        return network
    if callable(network) and not isinstance(network, type):
        return ScoreFunction(network)
    raise InputError(
        f"{call.name} returns {type(network).__name__}, not a torch.nn.Module.",
        "Return the network, or a function of images that returns scores.",
    )


def _better_told(name: str, error: UnknownNameError) -> InputError:
    """The error for a network that is not registered, with what was probably meant."""
    if name.endswith(".py"):
        return InputError(f"{name} is a file; which network in it?", f"Write {name}:factory.")
    from torchvision.models import list_models

    if name.lower() in list_models():
        return InputError(f"unknown model {name!r}.", f"Did you mean torchvision:{name.lower()}?")
    return error


def build_network(architecture: str, *, num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """The untrained network of an architecture spec, for training or for a checkpoint's weights."""
    network = build(model_call(architecture), num_classes=num_classes, input_shape=input_shape)
    if isinstance(network, ScoreFunction):
        raise InputError(f"{architecture} returns scores, and has no weights.", "Name a network, for example cnn.")
    if isinstance(network, Classifier):
        raise InputError(f"{architecture} is trained already.", "Name an architecture, for example cnn.")
    return network


def load_trained(path: Path, architecture: str, *, device: str = "auto") -> Classifier:
    """The network that was trained as ``architecture`` and written to a checkpoint.

    Args:
        path: the checkpoint.
        architecture: as it was asked for. It may be a program; one that only the checkpoint names is never run.
        device: as for ``load_classifier``.

    Raises:
        InputError: the file does not do.
    """
    info = read_info(path)
    if info is None or info.architecture != architecture:  # as where it began with another checkpoint
        return load_classifier(str(path), device=device)
    classes, shape = len(info.class_names), info.input_shape
    found = load_classifier(architecture, weights=path, num_classes=classes, input_shape=shape, device=device)
    found.history = info.history
    return found


def _checkpoint(path: Path, mean: Sequence[float] | None, std: Sequence[float] | None, device: str) -> Classifier:
    state, notes = read_state(path)
    info = read_info(path) if path.suffix == ".safetensors" else None
    if info is None:
        raise InputError(
            f"{path} holds weights only, and does not say of which network.",
            f"Name it: --model torchvision:resnet18 --weights {path}, or --model file.py:factory.",
        )
    check_kind(path, info, "classifier")
    if registry.is_code("model", model_call(info.architecture).name):
        raise InputError(
            f"{path} names a program as its network, {info.architecture}; no file makes one run.",
            f"If it is yours, say so: --model {info.architecture!r} --weights {path}.",
        )
    network = build_network(info.architecture, num_classes=len(info.class_names), input_shape=info.input_shape)
    notes += load_into(network, state, path)
    return Classifier(
        network,
        mean=info.mean if mean is None else mean,
        std=info.std if std is None else std,
        class_names=info.class_names,
        input_shape=info.input_shape,
        spec=str(path),
        device=device,
        notes=notes,
        history=info.history,
    )
