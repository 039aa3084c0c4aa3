"""Attacks steered by the gradients of a cheaper copy; the verdict is always that of the model itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from robustbench_lite.rng import Streams
from robustbench_lite.types import Attack, HasDraft, LogitsAndGradient, Model, StopsWithin

_WORTH_IT = 10  # gradients per image from which the copy saves more than the looks at the result cost


@dataclass(frozen=True)
class Drafted:
    """A model with the gradients of its cheaper copy."""

    truth: Model
    copy: Model

    def __call__(self, images: Tensor) -> Tensor:
        return self.truth(images)

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> LogitsAndGradient:
        """Of the copy: logits too, or an attack would follow one function and stop at another."""
        return self.copy.gradient(images, loss)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the model has."""
        return getattr(self.truth, name)


def drafted(attack: Attack, model: Model, images: Tensor) -> Model:
    """What the attack sees: the model with the gradients of its copy, if it has one and that pays."""
    if isinstance(model, HasDraft) and attack.max_cost().gradients >= _WORTH_IT:
        copy = model.draft(images)
        return model if copy is None else Drafted(model, copy)
    return model


def doubtful(attack: Attack, model: Model, found: Tensor, labels: Tensor) -> list[int]:
    """Which of the images the copy takes for something else than the model does.

    An attack may have stopped there because the copy was fooled, and the model is not: those are to be attacked
    again with the gradients of the model. Images that left their label are settled, unless there is a target.
    """
    if not isinstance(model, Drafted):
        return []
    truth = model.truth(found).argmax(1)
    unsettled = truth == labels if getattr(attack, "target", None) is None else labels == labels
    places = unsettled.nonzero()[:, 0]
    if len(places) == 0:
        return []
    differs = model.copy(found[places]).argmax(1) != truth[places]
    rows: list[int] = places[differs].tolist()
    return rows


def run(attack: Attack, model: Model, images: Tensor, labels: Tensor, streams: Streams, eps: float) -> Tensor:
    """An attack inside another, which counts what is within eps: the doubtful images are attacked again.

    An attack on scores asks the copy: alone it would ask the model, for there every query counts.
    """
    search = partial(attack.within, eps=eps) if isinstance(attack, StopsWithin) else attack
    asked = model.copy if isinstance(model, Drafted) and not attack.needs_gradient else model
    found = search(asked, images, labels, streams)
    again = doubtful(attack, model, found, labels)
    if again and isinstance(model, Drafted):
        found[again] = search(model.truth, images[again], labels[again], streams[again])
    return found
