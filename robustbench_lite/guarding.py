"""A classifier and the detector beside it: what the attack on both sees, and what every image is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from robustbench_lite.applying import plan
from robustbench_lite.attacks.evade import Evade
from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.errors import InputError
from robustbench_lite.records import GuardRecord
from robustbench_lite.registry import make_one, spec
from robustbench_lite.types import Attack, Condition, LogitsAndGradient, OutliersAndGradient, Shift

if TYPE_CHECKING:
    from robustbench_lite.outliers.conformal import Threshold
    from robustbench_lite.outliers.detector import Detector

_AT_ONCE = 256  # images that are sent through the detector together


class Passes(NamedTuple):
    """Images sent through the detector, and gradients taken of it."""

    forwards: int
    gradients: int


class Verdict(NamedTuple):
    """What a detector says of images: outlier scores (N,), and which of them are alarms, bool (N,)."""

    scores: Tensor
    alarms: Tensor


class GuardedClassifier:
    """A ``types.Model`` that is ``Guarded``: the classifier, and a detector whose passes are counted apart.

    Args:
        classifier: the network; what it has beside a model's members is passed on.
        detector: calibrated, for images of the shape of those that will come.
        shape: (C, H, W) of those.

    Raises:
        InputError: the detector has no threshold, or takes images of another shape.
    """

    def __init__(self, classifier: Classifier, detector: Detector, shape: tuple[int, ...]) -> None:
        found = check_detector(detector, shape)
        self.classifier, self.detector = classifier, detector
        self.threshold = found.value
        weighted = [m.spec for m in detector.members if m.weight]
        self.opaque = tuple(s for s in weighted if not make_one("score", s).differentiable)
        self._known = detector.used | detector.calibrated_on
        self._forwards = self._gradients = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K) of the classifier, without a graph."""
        return self.classifier(images)

    def gradient(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> LogitsAndGradient:
        """That of the classifier."""
        return self.classifier.gradient(images, loss)

    def draft(self, images: Tensor) -> Classifier | None:
        """The cheaper copy of the classifier; there is none of the detector."""
        return self.classifier.draft(images)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.classifier, name)

    @torch.no_grad()
    def outliers(self, images: Tensor) -> Tensor:
        """Outlier scores (N,), in nats; infinite where the detector finds no number."""
        self._forwards += len(images)
        with self.classifier.uncounted():
            scores = [self.detector(part).float() for part in torch.split(images, _AT_ONCE)]
        return _numbers(torch.cat(scores))

    def outlier_gradient(self, images: Tensor) -> OutliersAndGradient:
        """Outlier scores, and their gradient; members without one count as constant, and NaN as 0."""
        self._forwards += len(images)
        self._gradients += len(images)
        scores, gradients = list[Tensor](), list[Tensor]()
        with self.classifier.uncounted(), torch.enable_grad():
            for part in torch.split(images, _AT_ONCE):
                x = part.detach().requires_grad_()
                total = self._through(x)
                scores.append(total.detach().float())
                slope = torch.autograd.grad(total.sum(), x)[0] if total.requires_grad else torch.zeros_like(x)
                gradients.append(slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0))
        return OutliersAndGradient(_numbers(torch.cat(scores)), torch.cat(gradients))

    def _through(self, x: Tensor) -> Tensor:
        """The score of the detector, (N,), with a graph through those members that have one."""
        total = x.new_zeros(len(x))
        for member in (m for m in self.detector.members if m.weight):
            given = x.detach() if member.spec in self.opaque else x
            total = total + member.weight * member.tail(member.scorer(given).to(x.device))
        return total

    def judge(self, images: Tensor) -> Verdict:
        """What the detector says of images (N, C, H, W)."""
        scores = self.outliers(images)
        return Verdict(scores, scores > self.threshold)

    def known(self, images: Tensor) -> int:
        """How many of the unchanged images the detector was fitted to or calibrated on."""
        from robustbench_lite.outliers.units import fingerprints

        return sum(mark in self._known for mark in fingerprints(images))

    def take_passes(self) -> Passes:
        """What was sent through the detector since the last call."""
        passes = Passes(self._forwards, self._gradients)
        self._forwards = self._gradients = 0
        return passes

    def record(self, n_seen: int) -> GuardRecord:
        """What a run says of the detector, which knows so many of its images."""
        found = self.detector.threshold
        assert found is not None
        return GuardRecord(
            input_shape=list(self.detector.shape),
            members={member.spec: member.weight for member in self.detector.members},
            threshold=found.value,
            false_alarms_promised=found.rate,
            false_alarms_promised_low=found.rate_low,
            false_alarms_promised_high=found.rate_high,
            n_calibrated=found.n,
            n_seen=n_seen,
            without_gradient=list(self.opaque),
        )


def _numbers(scores: Tensor) -> Tensor:
    """What is no number is infinitely outlying."""
    return scores.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def check_detector(detector: Detector, shape: tuple[int, ...]) -> Threshold:
    """The threshold of a detector that can judge images of this shape (C, H, W).

    Raises:
        InputError: it has no threshold, or takes images of another shape.
    """
    if detector.threshold is None:
        raise InputError("the detector has no threshold.", "Calibrate it: rb outliers calibrate.")
    if tuple(detector.shape) != tuple(shape):
        raise InputError(
            f"the detector takes images of the shape {tuple(detector.shape)}, the classifier gets {tuple(shape)}.",
            "Fit one to images like those: rb outliers fit with the same --input-size and --channels.",
        )
    return detector.threshold


def plan_guarded(
    conditions: Sequence[Condition | Attack | Shift | str], eps: dict[str, float], *, has_detector: bool
) -> list[Condition]:
    """The conditions as they will run; with a detector never without an attack on both.

    One is added if there is none, with the budgets of the attacks that are there, or with the usual one if none
    has a budget in linf or l2.

    Args:
        conditions: as for ``applying.plan``.
        eps: the data's usual budgets, by norm.
        has_detector: whether there is one.

    Raises:
        InputError: as ``applying.plan``; an attack on both has no detector, or stands in a portfolio.
    """
    planned = plan(conditions, eps)
    _check(planned, has_detector=has_detector)
    attacks = [attack for condition in planned for attack in condition.attacks]
    if not has_detector or any(map(means_both, attacks)):
        return planned
    budgets = dict.fromkeys(
        (attack.norm, getattr(attack, "eps", None)) for attack in attacks if attack.norm in ("linf", "l2")
    )
    found = [Evade(eps=size, norm=norm) for norm, size in budgets if size is not None]  # type: ignore[arg-type]
    return plan([*planned, *(found or [Evade()])], eps)


def means_both(attack: Attack) -> bool:
    """Whether an attack is one on classifier and detector together."""
    return getattr(attack, "needs_detector", False)


def _check(conditions: Sequence[Condition], *, has_detector: bool) -> None:
    for attack in (attack for condition in conditions for attack in condition.attacks):
        if any(map(means_both, getattr(attack, "attacks", ()))):
            raise InputError(
                f"{spec(attack)}: a portfolio has one goal, a wrong class, and evade has two.",
                "Run evade beside it.",
            )
        if means_both(attack) and not has_detector:
            raise InputError(
                f"{spec(attack)} needs a detector, which its images are to pass.", "Give --detector, or take pgd."
            )
