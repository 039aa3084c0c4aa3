"""What a way of adversarial training looks like to the trainer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_lite.classifiers.classifier import Classifier
    from robustbench_lite.rng import Streams


class Defence(Protocol):
    """Adversarial training: which images are made of the training images, and what is learnt from them.

    One of one's own is a frozen dataclass; its fields are the arguments of its spec string.
    """

    kind: ClassVar[str] = "defence"
    sees_clean: ClassVar[bool] = False
    """True if the loss needs the logits of the unchanged images as well."""
    eps: float | None
    """Size of the budget on the [0, 1] scale; filled in before the training begins."""

    @property
    def norm(self) -> str:
        """Norm of the budget."""

    @abstractmethod
    def attacked(
        self, classifier: Classifier, images: Tensor, labels: Tensor, streams: Streams, eps: float
    ) -> Tensor:
        """Images (N, C, H, W) in [0, 1] within the budget, without a graph.

        Args:
            classifier: the network as it is now.
            images: (N, C, H, W) in [0, 1], some of them wrong already.
            labels: (N,).
            streams: one per image, others in every epoch.
            eps: the budget of this step, at most ``self.eps``: it rises during the warm-up.
        """

    def loss(
        self,
        clean: Tensor | None,
        adversarial: Tensor,
        labels: Tensor,
        criterion: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Loss of each image, (N,): by default the cross-entropy of the attacked images.

        Args:
            clean: logits (N, K) of the unchanged images, if it ``sees_clean``.
            adversarial: logits (N, K) of the attacked images, of the same pass in train mode.
            labels: (N,).
            criterion: logits (N, K) and labels → (N,): the cross-entropy, smoothed if that was asked for.
        """
        return criterion(adversarial, labels)
