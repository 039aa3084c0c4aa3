"""The attacks of the library torchattacks (Kim, *Torchattacks*, arXiv:2010.01950), run and checked as ours are."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robustbench_lite import norms
from robustbench_lite.errors import InputError, RbError, UnknownNameError
from robustbench_lite.rng import Streams, stable_hash
from robustbench_lite.types import Attack, Cost, Model

# What the classes without an argument ``norm`` measure; the others are linf.
_NORM = {
    **dict.fromkeys(("PGDL2", "PGDRSL2", "CW", "DeepFool", "GN", "VANILA"), "l2"),
    **dict.fromkeys(("EADL1", "EADEN"), "l1"),
    **dict.fromkeys(("JSMA", "OnePixel", "Pixle", "SparseFool"), "l0"),
}
_NORM_THERE = {"linf": "Linf", "l2": "L2", "l1": "L1"}
_NOT_ATTACKS = ("MultiAttack", "LGV")  # made of other attacks, or of training
_OWN_LOSS_STOPS = ("CW", "EADL1", "EADEN")  # a loss without a slope where the image is fooled: by design
_NO_GRADIENT = ("Square", "SPSA", "OnePixel", "Pixle", "GN", "VANILA")
_AT_ONCE = 128
_REAL = ("c", "kappa", "lam", "nsig", "scale")  # whole numbers by default, but any real number will do
_FAULTS = {
    "AutoAttack": "gives its gradient attacks 10 steps, not the published 100",
    "CW": "does not search c, and cannot move a value that is exactly 0 or 1; cw does both",
    "DeepFool": "often stalls before the network is fooled; deepfool goes on",
    "JSMA": "aims at the next of ten classes, whatever the network has",
}


@dataclasses.dataclass(frozen=True)
class _TorchAttack(Attack):
    """An attack of torchattacks; the subclasses' fields are the arguments there, in our names and units.

    Its random numbers come from the global generators, which are seeded for every batch and put back afterwards:
    the same run gives the same result, but an image's result depends on its batch.
    """

    theirs: ClassVar[Any]  # the class of torchattacks
    norm_there: ClassVar[str]

    def __post_init__(self) -> None:
        values = vars(self)
        if "norm" in values:
            object.__setattr__(self, "norm", str(values["norm"]).lower())
            norms.check_norm(values["norm"])
        if values.get("eps") is not None:
            norms.check_eps(values["eps"], self.norm)

    @property
    def norm(self) -> str:
        return self.norm_there

    @property
    def warnings(self) -> tuple[str, ...]:
        """Known faults of the class, with these arguments."""
        name, values = type(self).__name__, vars(self)
        found = [f"torchattacks' {name} {_FAULTS[name]}."] if name in _FAULTS else []
        reach = values.get("alpha", math.inf) * values.get("steps", 1)
        if values.get("eps") is not None and reach < values["eps"] * (1 - 1e-9):
            found.append(
                f"alpha · steps = {reach:.3g} is less than eps = {values['eps']:.3g}: give a larger alpha."
            )
        return tuple(found)

    def max_cost(self) -> Cost:
        """An estimate from the arguments, with ten classes where the cost grows with them."""
        name, values = type(self).__name__, vars(self)
        classes = values.get("n_classes") or 10
        counts = ("steps", "n_restarts", "eot_iter", "m", "noise_batch_size", "num_iter_set")
        product = math.prod(values.get(count, 1) for count in (*counts, "binary_search_steps", "max_iterations"))
        product *= 1 + values.get("N", 0)
        if name == "AutoAttack":
            return Cost(5000 + 40 * classes, 30 * classes)
        if name in _NO_GRADIENT:
            queries = (values.get("n_queries", 1), 2 * values.get("nb_iter", 0) * values.get("nb_sample", 0))
            pixle = values.get("restarts", 0) * (values.get("max_iterations", 0) + 1)
            return Cost(max(*queries, pixle, product * values.get("popsize", 1) * 2) * product + 3, 0)
        if name in ("APGDT", "FAB", "DeepFool", "SparseFool", "JSMA"):
            product *= classes
        if name in ("SparseFool", "JSMA"):  # an inner loop of which the arguments do not tell the length
            product *= 50
        return Cost(3 * product + 10, product + 2 * classes)

    def __call__(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        # Batches are larger on the CPU as ours go through the network in pieces; theirs do not.
        most = _AT_ONCE if images.device.type == "cpu" else len(images)
        parts = torch.split(torch.arange(len(images), device=images.device), most)
        return torch.cat([self._part(model, images[part], labels[part], streams[part]) for part in parts])

    def _part(self, model: Model, images: Tensor, labels: Tensor, streams: Streams) -> Tensor:
        name = f"torchattacks:{type(self).__name__}"
        if not hasattr(model, "module"):
            raise InputError(
                f"{name} needs a network of PyTorch, and gets something that returns scores.",
                "Take an attack of ours.",
            )
        values = dict(vars(self))
        if "eps" in values and norms.check_eps(values["eps"], self.norm) == 0:
            return images.clone()
        seed = stable_hash(streams.seed, streams.condition, *streams.sample_ids) % 2**32
        if "norm" in values:
            values["norm"] = _NORM_THERE[values["norm"]]
        if "n_classes" in values and values["n_classes"] is None:
            values["n_classes"] = model(images[:1]).shape[1]
        if "seed" in values and values["seed"] is None:  # which means the time of day there
            values["seed"] = seed
        if "eps" in values and "max_epsilon" in inspect.signature(self.theirs).parameters:
            values["max_epsilon"] = values.pop("eps")
        network = model.module(watch_zeros=type(self).__name__ not in _OWN_LOSS_STOPS)
        before = np.random.get_state()
        try:
            with torch.random.fork_rng(), torch.enable_grad():
                torch.manual_seed(seed)
                np.random.seed(seed)
                attack = self.theirs(network, **values)
                result: Tensor = attack(images.contiguous(), labels)
        except RbError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".")
            raise InputError(
                f"{name} fails: {reason}.", "Check its arguments, or take an attack of ours."
            ) from error
        finally:
            np.random.set_state(before)
        return result.detach()


def torchattacks(name: str) -> type[Attack]:
    """Any attack of torchattacks, by its name there: torchattacks:PGD(eps=8/255). Needs the extra [torchattacks].

    Raises:
        InputError: the library is not installed.
        UnknownNameError: it has no such attack.
    """
    try:
        import torchattacks as library
    except ImportError:
        raise InputError(
            f"torchattacks:{name} needs the package torchattacks.",
            "Install it: pip install 'robustbench-lite[torchattacks]'.",
        ) from None
    known = {n.lower(): n for n in library.__all__ if n not in _NOT_ATTACKS}
    if name.lower() not in known:
        raise UnknownNameError("attack of torchattacks", name, known)
    return _wrapped(getattr(library, known[name.lower()]))


@functools.cache
def _wrapped(theirs: Any) -> type[Attack]:
    """A frozen dataclass whose fields are the arguments of a class of torchattacks."""
    fields: list[tuple[str, Any, Any]] = []
    for name, parameter in inspect.signature(theirs).parameters.items():
        default = parameter.default
        if name == "norm":
            fields.append(("norm", str, "linf"))
        elif name in ("eps", "max_epsilon"):
            fields.append(("eps", float | None, None))
        elif name in ("n_classes", "seed"):
            fields.append((name, int | None, None if name == "n_classes" else default))
        elif name not in ("model", "verbose"):
            kind = float if name in _REAL else type(default)
            fields.append((name, kind, kind(default)))
    cls = dataclasses.make_dataclass(
        theirs.__name__,
        [(name, kind, dataclasses.field(default=default)) for name, kind, default in fields],
        bases=(_TorchAttack,),
        frozen=True,
        namespace={
            "theirs": theirs,
            "norm_there": _NORM.get(theirs.__name__, "linf"),
            "minimal": "eps" not in [name for name, _, _ in fields],
        },
    )
    cls.__module__ = "torchattacks"  # so that a spec names it as it was asked for
    return cls
