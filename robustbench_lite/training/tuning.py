"""Which layers of a network are trained, and which stay as they are."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import nn

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError


class Layer(NamedTuple):
    """A convolution or linear layer, or another one with weights, and the normalisations that follow it."""

    names: tuple[str, ...]  # as the network calls them
    parameters: tuple[nn.Parameter, ...]


class Tuned(NamedTuple):
    """What is trained of a network: layers like ``Conv2d 4 + BatchNorm2d 5``, and how many numbers."""

    layers: tuple[str, ...]
    trained_parameters: int
    parameters: int


def layers_of(network: nn.Module, input_shape: tuple[int, int, int]) -> list[Layer]:
    """All layers with parameters of a network on the CPU, in the order in which an image (C, H, W) comes to them.

    Modules whose own parameters are vectors, as those of normalisations, belong to the layer before. A module that
    comes twice counts where it comes last; what is used without being called counts with what holds it.

    Raises:
        InputError: the network does not take such images.
    """
    order = dict[nn.Module, int]()

    def seen(module: nn.Module, given: object) -> None:
        order.pop(module, None)
        order[module] = calls[0]
        calls[0] += 1

    calls = [0]
    hooks = [module.register_forward_pre_hook(seen) for module in network.modules()]
    try:
        Classifier(network)(torch.zeros(1, *input_shape))
    finally:
        for hook in hooks:
            hook.remove()
    modules = dict(network.named_modules())

    def place(name: str) -> int:
        return order[modules[name]] if modules[name] in order else place(name.rpartition(".")[0])

    layers = list[Layer]()
    for name in sorted((name for name in modules if list(modules[name].parameters(recurse=False))), key=place):
        own = tuple(modules[name].parameters(recurse=False))
        if layers and all(parameter.ndim < 2 for parameter in own):
            before = layers.pop()
            layers.append(Layer((*before.names, name), (*before.parameters, *own)))
        else:
            layers.append(Layer((name,), own))
    return layers


def head_of(network: nn.Module, layers: list[Layer], num_classes: int) -> list[str]:
    """Names of the parameters of the last layer, if it has one output per class; else none."""
    if not layers or len(layers[-1].parameters[0]) != num_classes:
        return []
    name = layers[-1].names[0]
    own = network.get_submodule(name).named_parameters(recurse=False)
    return [f"{name}.{parameter}".removeprefix(".") for parameter, _ in own]


def check_tune(text: str) -> None:
    """Refuse what ``--tune`` cannot be.

    Raises:
        InputError: it is neither all, head nor last:N.
    """
    if text not in ("all", "head") and not re.fullmatch(r"last:[1-9]\d*", text):
        raise InputError(f"--tune {text} is unknown.", "Give all, head, or last:N with N from 1.")


def freeze(network: nn.Module, layers: list[Layer], tune: str) -> Tuned:
    """Freeze all but the layers that are to be trained.

    Args:
        network: its parameters are marked as frozen; ``train_mode`` keeps the statistics of their layers as well.
        layers: of the network.
        tune: ``all``, ``head`` (the last one) or ``last:N``.

    Raises:
        InputError: there are not so many layers.
    """
    count = len(layers) if tune == "all" else 1 if tune == "head" else int(tune.removeprefix("last:"))
    if count > len(layers):
        raise InputError(f"--tune {tune}: the network has {len(layers)} layers.", "Give fewer, or --tune all.")
    trained = layers[len(layers) - count :]
    if tune != "all":
        network.requires_grad_(False)
        for layer in trained:
            for parameter in layer.parameters:
                parameter.requires_grad_(True)
    every = list(network.parameters())
    return Tuned(
        layers=tuple(" + ".join(_called(network, name) for name in layer.names) for layer in trained),
        trained_parameters=sum(p.numel() for p in every if p.requires_grad),
        parameters=sum(p.numel() for p in every),
    )


def _called(network: nn.Module, name: str) -> str:
    return f"{type(network.get_submodule(name)).__name__} {name}".rstrip()


def train_mode(network: nn.Module) -> None:
    """Train mode, but eval mode for what holds frozen parameters only: batch norm keeps its statistics there."""
    network.train()
    for module in network.modules():
        own = list(module.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()
