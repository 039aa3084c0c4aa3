"""The frozen network with its preprocessing: the only owner of normalisation, device and eval mode."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustbench_lite.classifiers.features import features_of
from robustbench_lite.classifiers.folding import folded
from robustbench_lite.classifiers.module import ImageModule
from robustbench_lite.classifiers.outputs import logits_of, with_graph
from robustbench_lite.classifiers.pieces import in_pieces
from robustbench_lite.classifiers.scores import ScoreFunction, as_network
from robustbench_lite.errors import InputError, RbError
from robustbench_lite.rng import Streams
from robustbench_lite.types import LogitsAndGradient

log = logging.getLogger(__name__)

_DRAFT_TOLERANCE = 1e-4  # of the largest logit, at least 1: several times what rounding does to a deep network


class Counts(NamedTuple):
    """Images sent forward, gradients taken, and how many of those were not finite, or all zero."""

    forwards: int
    gradients: int
    bad_gradients: int
    zero_gradients: int


@dataclass
class _Spent:
    """What was spent since it was last asked for; a classifier and its draft share one."""

    faulty: Tensor  # on the device: not finite, all zero
    forwards: int = 0
    gradients: int = 0


class Classifier:
    """Images (N, C, H, W) in [0, 1] → logits (N, K), through a network that stays as it was.

    While it is used the network is in eval mode, its parameters are frozen, and convolutions run in full
    float32; ``frozen`` restores all of it. The network is moved to the device for good.

    Args:
        network: any module that returns logits, or an object or mapping with ``logits``; or any other function of
            images (N, C, H, W) that returns scores (N, K), for attacks that need no gradient.
        mean, std: per channel, applied to images in [0, 1] before the network. Empty: no normalisation.
        class_names: one per class, if known.
        input_shape: (C, H, W), if known.
        spec: how to ask for this classifier again.
        device: a torch device.
        notes: what was decided while loading, for people.
        history: the training record, if the checkpoint carries one.

    Raises:
        InputError: mean and std differ in length, or a std is not positive.
    """

    def __init__(
        self,
        network: nn.Module | Callable[[Tensor], Any],
        *,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        class_names: Sequence[str] | None = None,
        input_shape: tuple[int, int, int] | None = None,
        spec: str = "",
        device: str | torch.device = "cpu",
        notes: Sequence[str] = (),
        history: dict[str, Any] | None = None,
    ) -> None:
        if len(mean) != len(std):
            raise InputError(
                f"{len(mean)} means but {len(std)} standard deviations.", "Give one of each per channel."
            )
        if any(not s > 0 for s in std):
            raise InputError(f"std={tuple(std)} holds a value that is not positive.", "Check --std.")
        network = as_network(network)
        self.network = network.to(device)
        self.device = torch.device(device)
        self.mean, self.std = tuple(mean), tuple(std)
        self.class_names = None if class_names is None else tuple(class_names)
        self.input_shape = input_shape
        self.spec = spec or (network.name if isinstance(network, ScoreFunction) else type(network).__name__)
        self.notes = tuple(notes)
        self.history = history
        self._spent = _Spent(torch.zeros(2, dtype=torch.int64, device=device))
        self._depth = 0
        self._draft: Classifier | None = None
        self._draft_tried = False
        self._shift = torch.tensor(self.mean, device=device).view(1, -1, 1, 1)
        self._scale = torch.tensor(self.std, device=device).view(1, -1, 1, 1)

    def to(self, device: str | torch.device) -> Classifier:
        """The same classifier on another device."""
        if torch.device(device) == self.device:
            return self
        return Classifier(
            self.network,
            mean=self.mean,
            std=self.std,
            class_names=self.class_names,
            input_shape=self.input_shape,
            spec=self.spec,
            device=device,
            notes=self.notes,
            history=self.history,
        )

    def __repr__(self) -> str:
        return f"Classifier({self.spec!r}, device={str(self.device)!r})"

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K) float32, without a graph."""
        with self.frozen(), torch.no_grad():
            return torch.cat([self._forward(piece) for piece in self._pieces(images)])

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> LogitsAndGradient:
        """Logits, and the gradient of the loss with respect to the images; gradients that are not finite are 0.

        Args:
            images: (N, C, H, W) in [0, 1].
            loss: logits (N, K) → (N,); the value of one image must not depend on the others. It is called once for
                every piece of the batch that is sent through the network, with zeros for what follows.
        """
        seen, gradients = list[Tensor](), list[Tensor]()
        with self.frozen(), torch.enable_grad():
            for piece in self._pieces(images):
                x = piece.detach().requires_grad_()
                logits = with_graph(self._forward(x))
                # All rows, for the loss knows the labels of all; the graph of a piece at a time, to save memory.
                rows = [*seen, logits]
                rows += [logits.new_zeros(len(images) - sum(map(len, rows)), logits.shape[1])]
                with _memory_told():
                    gradients += torch.autograd.grad(loss(torch.cat(rows)).sum(), x)
                seen.append(logits.detach())
        return LogitsAndGradient(torch.cat(seen), self._counted(torch.cat(gradients)))

    def features(self, images: Tensor) -> Tensor:
        """What enters the last linear layer, (N, D) float32; with a graph if the images ask for one."""
        return features_of(self, images)

    def _pieces(self, images: Tensor) -> Sequence[Tensor]:
        return in_pieces(images) if self.in_pieces else (images,)

    @property
    def in_pieces(self) -> bool:
        """Whether large batches go through the network in pieces: on the CPU, but for functions, which get all."""
        return self.device.type == "cpu" and self.has_gradient

    def module(self, *, watch_zeros: bool = True) -> nn.Module:
        """The same as a module, images in [0, 1] → logits with a graph, for attacks that need one.

        What it is used for is counted, and its gradients are watched, as those of ``gradient`` are. The mode and
        the parameters of the network stay as they are.

        Args:
            watch_zeros: count gradients that are all zero; False for a loss that is flat by design.
        """

        def forward(images: Tensor) -> Tensor:
            with self.frozen():
                logits = self._forward(images)
            return with_graph(logits) if images.requires_grad and torch.is_grad_enabled() else logits

        def seen(grad: Tensor) -> Tensor:
            # Contiguous, for some attacks of others take a flat view of it.
            return self._counted(grad, watch_zeros=watch_zeros).contiguous()

        return ImageModule(self.network, forward, seen)

    def draft(self, images: Tensor) -> Classifier | None:
        """A cheaper copy with the same logits but for rounding; None if there is none, or outside ``frozen``.

        It is made once inside ``frozen``, where the weights cannot change, and what it spends is counted here. It
        proposes images; what they are taken for is for the classifier itself to say.
        """
        if self._depth and not self._draft_tried:
            self._draft_tried = True
            self._draft = self._drafted(images)
        return self._draft

    def _drafted(self, images: Tensor) -> Classifier | None:
        try:
            network = folded(self.network)
        except Exception as error:  # whatever an exotic network does to the tracing of it
            reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            log.info("note: gradients are taken of the network as it is: it cannot be traced (%s)", reason)
            return None
        if network is None:
            return None
        copy = Classifier(network, mean=self.mean, std=self.std, spec=f"{self.spec}, folded", device=self.device)
        some = images[:8]
        noise = Streams(0, "draft", tuple(map(str, range(len(some))))).uniform(some.shape[1:], like=some)
        tried, before = torch.cat([some, noise]), self._spent.forwards
        wanted, found = self(tried), copy(tried)
        self._spent.forwards = before  # a look at the network is nobody's cost
        off = float((wanted - found).abs().max())
        if not off <= _DRAFT_TOLERANCE * max(1.0, float(wanted.abs().max())):
            log.info("note: gradients are taken of the network as it is: folded, its logits differ by %.2g", off)
            return None
        copy._spent = self._spent
        copy._depth = 1  # its layers are frozen with ours
        return copy

    def _counted(self, grad: Tensor, *, watch_zeros: bool = True) -> Tensor:
        """The gradient, 0 where it is not finite; it is counted, and so are the faulty ones."""
        self._spent.gradients += len(grad)
        # Counted on the device: asking the host at every step would slow an attack down; the CPU is the host.
        largest = grad.flatten(1).abs().amax(1)  # NaN and infinity show in it
        finite, zero = largest.isfinite(), (largest == 0) & watch_zeros
        self._spent.faulty += torch.stack([(~finite).sum(), zero.sum()])
        if grad.device.type == "cpu" and finite.all():
            return grad
        return torch.nan_to_num(grad, nan=0.0, posinf=0.0, neginf=0.0)

    @property
    def has_gradient(self) -> bool:
        """False for a function that returns scores: only attacks that need no gradient work on it."""
        return not isinstance(self.network, ScoreFunction)

    def take_counts(self) -> Counts:
        """What was spent since the last call."""
        bad, zero = self._spent.faulty.tolist()
        counts = Counts(self._spent.forwards, self._spent.gradients, bad, zero)
        self._spent.forwards = self._spent.gradients = 0
        self._spent.faulty.zero_()
        return counts

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """What is spent inside is counted by somebody else."""
        kept, self._spent = self._spent, _Spent(torch.zeros_like(self._spent.faulty))
        try:
            yield
        finally:
            self._spent = kept

    def _forward(self, images: Tensor) -> Tensor:
        if len(images) == 0:
            raise InputError("no images to classify.", "Give at least one.")
        x = images.to(self.device, torch.float32)
        if self.mean:
            if len(self.mean) not in (1, x.shape[1]):
                raise InputError(
                    f"the images have {x.shape[1]} channels, mean and std have {len(self.mean)}.",
                    "Give --channels, or as many means as channels.",
                )
            x = (x - self._shift) / self._scale
        try:
            with _memory_told():
                out = self.network(x)
        except RbError:
            raise
        except Exception as error:  # which exception a layer chooses for a wrong size is its own
            reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            raise InputError(
                f"the network refuses images of shape {tuple(images.shape[1:])}: {reason}.",
                "Check --input-size and --channels.",
            ) from error
        self._spent.forwards += len(images)
        return logits_of(out, len(images))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Eval mode, no parameter gradients, full float32; everything is handed back as it was. Re-entrant."""
        if self._depth:
            yield
            return
        modes = [(module, module.training) for module in self.network.modules()]
        wanted = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self._depth += 1
        try:
            self.network.eval()
            for parameter in wanted:
                parameter.requires_grad_(False)
            # TF32 and autotuning would make the last digits depend on the batch.
            with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
                yield
        finally:
            self._depth -= 1
            self._draft, self._draft_tried = None, False
            for module, mode in modes:
                module.training = mode
            for parameter in wanted:
                parameter.requires_grad_(True)

    @property
    def num_parameters(self) -> int:
        """Number of trainable numbers in the network; 0 for a function, whose numbers nobody sees."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of all weights and buffers: names, shapes and bytes; ``unknown`` for a function."""
        if not self.has_gradient:
            return "unknown"
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


@contextmanager
def _memory_told() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError("the device is out of memory.", "Give a smaller --batch-size.") from None
