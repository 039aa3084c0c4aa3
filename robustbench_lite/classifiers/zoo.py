"""Architectures from torchvision and timm, without their pretrained weights: nothing is ever downloaded here."""

from __future__ import annotations

from torch import nn

from robustbench_lite.errors import InputError, UnknownNameError


def torchvision(name: str, *, num_classes: int) -> nn.Module:
    """Any classification network of torchvision, by its name there: torchvision:resnet18."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise UnknownNameError("torchvision network", name, known)
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **extra)
    return network


def timm(name: str, *, num_classes: int) -> nn.Module:
    """Any classification network of timm, by its name there: timm:resnet18. Needs the extra [timm]."""
    try:
        import timm as library
    except ImportError:
        raise InputError(
            f"timm:{name} needs the package timm.", "Install it: pip install 'robustbench-lite[timm]'."
        ) from None
    if name not in library.list_models():
        raise UnknownNameError("timm network", name, library.list_models())
    network: nn.Module = library.create_model(name, pretrained=False, num_classes=num_classes)
    return network
