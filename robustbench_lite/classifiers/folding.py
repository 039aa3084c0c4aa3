"""A cheaper copy of a network for gradients with respect to images: the same function, in fewer operations."""

from __future__ import annotations

import copy
import math
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Measured on one thread of an AVX-512 processor, for kernels of 3 to 7 pixels.
_MANY_CHANNELS = 16  # from here channels-last pays
_PRODUCT_PAYS = 16  # outputs for every input and place, from which a matrix product and its folding back pay
_Pair = tuple[int, int]


def folded(network: nn.Module) -> nn.Module | None:
    """The same function with the batch norms folded into the convolutions before them, and those made cheaper.

    On the CPU, the gradient of a convolution on few channels, usually the first, is taken as one matrix product;
    and where a convolution has many channels, all lie channels-last. The copy has convolutions of its own, and
    shares the other layers.

    Args:
        network: in eval mode; it stays as it is.

    Returns:
        None if there is nothing to gain.

    Raises:
        Exception: of any kind, if the network cannot be traced.
    """
    graph = fx.symbolic_trace(network)
    gained = _fold(graph)
    if next(network.parameters()).device.type == "cpu":
        gained |= _relay(graph)
    if not gained:
        return None
    _in_place(graph)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def _fold(graph: fx.GraphModule) -> bool:
    """Every batch norm that alone follows a convolution becomes a part of it."""
    layers = dict(graph.named_modules())
    count = 0
    for node in list(graph.graph.nodes):
        before = node.args[0] if node.args else None
        if not (_calls(node, layers, nn.BatchNorm2d) and isinstance(before, fx.Node)):
            continue
        if not (_calls(before, layers, nn.Conv2d) and len(before.users) == 1):
            continue
        fused = fuse_conv_bn_eval(layers[str(before.target)], layers[str(node.target)])
        count += 1
        _replace(graph, before, f"_folded_{count}", fused)
        layers[f"_folded_{count}"] = fused
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    return count > 0


def _relay(graph: fx.GraphModule) -> bool:
    """Convolutions that are cheaper on the CPU: channels-last if one has many channels, products on few."""
    layers = dict(graph.named_modules())
    nodes = [node for node in graph.graph.nodes if _calls(node, layers, nn.Conv2d)]
    convolutions = [layers[str(node.target)] for node in nodes]
    last = any(c.in_channels >= _MANY_CHANNELS and min(c.kernel_size) >= 3 for c in convolutions)
    few = [_is_product(c) for c in convolutions]
    for number, (node, convolution) in enumerate(zip(nodes, convolutions, strict=True)):
        own = copy.deepcopy(convolution)
        if last:
            own = own.to(memory_format=torch.channels_last)
        _replace(graph, node, f"_relaid_{number}", _FewChannels(own) if few[number] else own)
    return last or any(few)


def _is_product(convolution: nn.Conv2d) -> bool:
    c = convolution
    usual = c.groups == 1 and c.padding_mode == "zeros" and not isinstance(c.padding, str)
    return usual and c.out_channels * math.prod(c.stride) >= _PRODUCT_PAYS * c.in_channels


def _in_place(graph: fx.GraphModule) -> None:
    """Sums and ReLUs overwrite what a convolution or a sum just made for them alone: memory is time."""
    layers = dict(graph.named_modules())
    sums = (operator.add, torch.add)

    def is_spare(node: Any) -> bool:
        made = isinstance(node, fx.Node) and (
            _calls(node, layers, nn.Conv2d, _FewChannels) or node.target in (*sums, _add)
        )
        return made and len(node.users) == 1

    for node in graph.graph.nodes:
        called = node.target if node.op == "call_function" else None
        if called in sums and len(node.args) == 2 and not node.kwargs:
            spare = [number for number in (0, 1) if is_spare(node.args[number])]
            if spare:
                node.target, node.args = _add, (node.args[spare[0]], node.args[1 - spare[0]])
        elif (called in (F.relu, torch.relu) or _calls(node, layers, nn.ReLU)) and any(
            map(is_spare, node.args[:1])
        ):
            node.op, node.target, node.args, node.kwargs = "call_function", torch.relu_, node.args[:1], {}


def _add(spare: Tensor, other: Any) -> Tensor:
    same = isinstance(other, Tensor) and other.shape == spare.shape
    return spare.add_(other) if same else spare + other


def _calls(node: fx.Node, layers: dict[str, nn.Module], *kinds: type[nn.Module]) -> bool:
    # The very type: what inherits from it may compute something else.
    return node.op == "call_module" and type(layers[str(node.target)]) in kinds


def _replace(graph: fx.GraphModule, node: fx.Node, name: str, layer: nn.Module) -> None:
    """Under a name of its own, for another node may call the old layer too."""
    graph.add_submodule(name, layer.eval().requires_grad_(False))
    node.target = name


class _FewChannels(nn.Module):
    """A convolution whose gradient with respect to its input is one matrix product, folded back into an image."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        c = self.convolution
        out: Tensor = _Product.apply(x, c.weight, c.bias, c.stride, c.padding, c.dilation)
        return out


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: _Pair, padding: _Pair, dilation: _Pair
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.how = x.shape[2:], (stride, padding, dilation)
        return F.conv2d(x, weight, bias, stride, padding, dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        stride, padding, dilation = ctx.how
        columns = weight.flatten(1).t() @ gradients[0].flatten(2)
        x = F.fold(columns, ctx.size, weight.shape[2:], dilation=dilation, padding=padding, stride=stride)
        return x, None, None, None, None, None
