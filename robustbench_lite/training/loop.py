"""What all trainings share: seeds, and the loop that keeps the best epoch and can be taken up again."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from robustbench_lite.errors import InputError
from robustbench_lite.training.averaging import MovingAverage
from robustbench_lite.training.optimising import l1_norm, make_optimizer, make_schedule
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.sampling import shuffled
from robustbench_lite.training.tuning import train_mode

_log = logging.getLogger(__name__)

_EXPLODED = 10
_LOOK = 50  # steps between two looks at the loss: each waits for the device


class Step(NamedTuple):
    """Where the training is."""

    epoch: int  # from 1
    number: int  # of all steps, from 0
    total: int  # steps of all epochs

    @property
    def progress(self) -> float:
        """Share of the whole training that is behind it, in [0, 1)."""
        return self.number / self.total


class Judged(Protocol):
    """What is said of an epoch, whatever else it says."""

    @property
    def epoch(self) -> int:
        """From 1."""

    @property
    def train_loss(self) -> float:
        """Mean over the epoch."""

    @property
    def val_loss(self) -> float:
        """Mean over the validation images."""

    @property
    def rank(self) -> tuple[float, ...]:
        """What the best epoch is chosen by: the smallest wins, the first of equals."""

    def _asdict(self) -> dict[str, Any]: ...


_Epoch = TypeVar("_Epoch", bound=Judged)


@dataclass
class Hooks(Generic[_Epoch]):
    """Who else takes part in a training.

    Args:
        finished: from (epoch, train loss, learning rate) to what is said of the epoch.
        on_epoch: called after every epoch.
        so_far: called after every epoch with what is said of all of them, also of those before ``begin``.
        undone: called with what is said of an epoch; True: that epoch is taken back, and trained again.
        keep: called after every epoch with a state that ``begin`` takes; tensors, numbers, texts, lists, dicts.
        begin: such a state, to go on from.
        restored: from an entry of the state's history to what was said of that epoch.
        more: what else belongs into the state; an epoch that is taken back does not take it back.
        more_restored: called with that of ``begin``.
        warmup: epochs that ``patience`` does not count: the task still grows harder.
        random: generators that the loss draws from; they are a part of the state.
        started: called right before the first step of every epoch, when all that is made once has been made.
        chance: the loss of a network that knows nothing, in nats, if there is such a thing; ten times that, or ten
            times the loss of the first batch if that is larger, over a whole epoch is a training that diverges.
    """

    finished: Callable[[int, float, float], _Epoch]
    on_epoch: Callable[[_Epoch], None]
    so_far: Callable[[Sequence[_Epoch]], None] = lambda epochs: None
    undone: Callable[[_Epoch], bool] | None = None
    keep: Callable[[dict[str, Any]], None] | None = None
    begin: dict[str, Any] | None = None
    restored: Callable[[dict[str, Any]], _Epoch] | None = None
    more: Callable[[], dict[str, Any]] = dict
    more_restored: Callable[[dict[str, Any]], None] = lambda state: None
    warmup: int = 0
    random: Sequence[torch.Generator] = field(default_factory=tuple)
    started: Callable[[], None] = lambda: None
    chance: float | None = None


class Fitted(NamedTuple, Generic[_Epoch]):
    """The weights of the best epoch, all epochs, and whether it was stopped from outside, or diverged."""

    best: dict[str, Tensor]
    epochs: list[_Epoch]
    interrupted: bool
    diverged: bool


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators of the CPU and of the device begin at the seed, and are handed back as they were."""
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch every other device as well
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def fit(
    network: nn.Module,
    count: int,
    loss: Callable[[Tensor, Step], Tensor],
    options: TrainingOptions,
    hooks: Hooks[_Epoch],
    order: Callable[[int], Tensor] | None = None,
) -> Fitted[_Epoch]:
    """Train a network, inside ``seeded``.

    After Ctrl-C what was finished is returned, if it is at least one epoch.

    Args:
        network: on its device.
        count: number of training images.
        loss: mean loss of some of them, by their indices on the CPU.
        options: how to train.
        hooks: who else takes part.
        order: the indices of an epoch, at most ``count``; by default all, shuffled.

    Raises:
        InputError: the loss is not finite in the first epoch.
    """
    return _Loop(network, count, loss, options, hooks, order or (lambda e: shuffled(count, options.seed, e))).run()


class _Loop(Generic[_Epoch]):
    def __init__(
        self,
        network: nn.Module,
        count: int,
        loss: Callable[[Tensor, Step], Tensor],
        options: TrainingOptions,
        hooks: Hooks[_Epoch],
        order: Callable[[int], Tensor],
    ) -> None:
        self.network, self.loss, self.options, self.hooks, self.order = network, loss, options, hooks, order
        self.device = next(network.parameters()).device
        self.steps = math.ceil(count / options.batch_size)
        self.optimizer = make_optimizer(network, options)
        self.schedule = make_schedule(self.optimizer, options, self.steps)
        self.average = None if options.ema is None else MovingAverage(network, options.ema)
        self.best: dict[str, Tensor] = {}
        self.history: list[_Epoch] = []
        self.start = math.nan  # loss of the first batch
        if hooks.begin is not None:
            self.restore(hooks.begin)
            hooks.more_restored(hooks.begin["more"])

    def run(self) -> Fitted[_Epoch]:
        interrupted = diverged = False
        try:
            while not (diverged or self.complete):
                diverged = not self.one_epoch()
        except KeyboardInterrupt:
            if not self.history:
                raise
            interrupted = True
        return Fitted(self.best, self.history, interrupted, diverged)

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to do."""
        return len(self.history) >= self.options.epochs or self.waiting >= self.options.patience

    @property
    def waiting(self) -> int:
        """Epochs since the best one, and since the end of the warm-up."""
        best = min(self.history, key=lambda e: e.rank).epoch if self.history else 0
        return len(self.history) - max(best, self.hooks.warmup)

    def shown(self) -> AbstractContextManager[None]:
        """The network with the weights that are judged and kept, which are not those that are trained."""
        return nullcontext() if self.average is None else self.average.shown()

    def one_epoch(self) -> bool:
        """Train one, judge it, keep it; False if it diverged."""
        before = None if self.hooks.undone is None else copy.deepcopy(self.state())
        epoch = len(self.history) + 1
        lr = self.optimizer.param_groups[0]["lr"]
        self.hooks.started()
        train_loss = self.train(epoch)
        if not train_loss < self.limit:
            return self.diverged(epoch, train_loss)
        with self.shown():
            judged = self.hooks.finished(epoch, train_loss, lr)
        if not math.isfinite(judged.val_loss):
            return self.diverged(epoch, judged.val_loss)
        if before is not None and self.taken_back(judged):
            self.restore(before)
            return True
        best = self.best
        if not self.history or judged.rank < min(e.rank for e in self.history):
            with self.shown():
                best = copy.deepcopy(self.network.state_dict())
        self.best, self.history = best, [*self.history, judged]  # both or none, whenever Ctrl-C comes
        if self.hooks.keep is not None:
            self.hooks.keep(self.state())
        self.hooks.on_epoch(judged)
        self.hooks.so_far(self.history)
        return True

    @property
    def limit(self) -> float:
        """The mean loss of an epoch that no training comes back from."""
        chance = self.hooks.chance
        return math.inf if chance is None else _EXPLODED * max(chance, self.start)

    def diverged(self, epoch: int, loss: float) -> Literal[False]:
        """Say so."""
        how = f"{loss:.3g}, and was {self.start:.3g} at the start" if math.isfinite(loss) else "not finite"
        what = f"training diverged in epoch {epoch}: the loss is {how}."
        remedy = f"Give a smaller --lr than {self.options.lr:g}; --find-lr looks for one."
        if not self.history:
            raise InputError(what, remedy)
        _log.warning("warning: %s The best epoch before is kept. %s", what, remedy)
        return False

    def taken_back(self, judged: _Epoch) -> bool:
        """Whether an epoch does not count."""
        with self.shown():
            return self.hooks.undone is not None and self.hooks.undone(judged)

    def train(self, epoch: int) -> float:
        """All batches of an epoch; their mean loss. It gives up where that cannot become finite again."""
        train_mode(self.network)
        total, seen = torch.zeros((), device=self.device), 0
        for number, chunk in enumerate(batches(self.order(epoch), self.options.batch_size)):
            step = Step(epoch, (epoch - 1) * self.steps + number, self.options.epochs * self.steps)
            value = self.loss(chunk, step)
            self.optimizer.zero_grad()
            goal = value + self.options.l1 * l1_norm(self.network) if self.options.l1 else value
            goal.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.schedule.step()
            if self.average is not None:
                self.average.update(step.number)
            total += value.detach() * len(chunk)
            seen += len(chunk)
            if step.number == 0:
                self.start = float(value.detach())
            if number % _LOOK == 0 and not math.isfinite(total):
                break
        return float(total) / seen

    def state(self) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        cuda = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "best": self.best,
            "start": self.start,
            "complete": self.complete,
            "history": [epoch._asdict() for epoch in self.history],
            "more": self.hooks.more(),
            "random": [torch.get_rng_state(), *cuda, *(random.get_state() for random in self.hooks.random)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.restore(state["average"])
        self.best, self.start = state["best"], state["start"]
        if self.hooks.restored is not None:
            self.history = [self.hooks.restored(epoch) for epoch in state["history"]]
        own, *others = state["random"]
        torch.set_rng_state(own)
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(others.pop(0), self.device)
        for random, saved in zip(self.hooks.random, others, strict=True):
            random.set_state(saved)


def batches(order: Tensor, size: int) -> list[Tensor]:
    """The indices, a batch at a time."""
    chunks = list(torch.split(order, size))
    if len(chunks) > 1 and len(chunks[-1]) == 1:  # batch norm cannot train on one image
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks
