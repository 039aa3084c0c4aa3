"""The trust checks of an attack: a few images once more, under attacks that must not find more.

The images are drawn by the seed, so they do not depend on batches. Nothing here changes a row of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from robustbench_lite import checks, norms
from robustbench_lite.attacks.losses import loss_function, margin
from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.checks import Check
from robustbench_lite.classifiers.classifier import Classifier, Counts
from robustbench_lite.data.dataset import Dataset
from robustbench_lite.followup import FollowUp
from robustbench_lite.registry import make, spec
from robustbench_lite.rng import Streams, stable_hash
from robustbench_lite.specs import Call, format_call
from robustbench_lite.types import Attack, Condition, is_attack, is_shift

MOST = 32  # images that were attacked, and as many that the attack did not fool
QUERIES, NOISE_DRAWS, HUGE_STEPS = 100, 3, 10
PER_IMAGE = 140  # forward passes and gradients that all probes together may cost per image
SHARE, FLOOR = 0.2, 1000  # of the most that the attack itself may spend; passes that are always allowed
FURTHER = 1.25  # times as far down in margin as the attack: what counts as getting further
PROBES = ("one_step", "score_only", "huge_eps", "noise", "progress")


class Images(NamedTuple):
    """Images (M, C, H, W) as the attack found them, and what it made of each, (M,)."""

    x: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    before: Tensor  # margins, positive: right
    after: Tensor
    fooled: Tensor  # bool

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Prober:
    """Looks at the images of a run again.

    Args:
        classifier: the network; the passes of the probes are on its counters afterwards.
        dataset: the images of the run.
        seed: the run's.
        batch_size: images at a time.
    """

    classifier: Classifier
    dataset: Dataset
    seed: int
    batch_size: int

    def first_look(self, images: Tensor, logits: Tensor) -> list[Check]:
        """The network on some unchanged images and their logits; what that costs is not counted."""
        outputs = checks.logit_outputs(logits, gradient=self.classifier.has_gradient)
        found = [outputs, checks.repeatable(self.classifier, images[:16])]
        self.classifier.take_counts()
        return found

    def majority(self, clean: pd.DataFrame) -> Check:
        """The accuracy in the rows of the unchanged images."""
        names = self.dataset.class_names
        counts = clean["label"].value_counts().reindex(range(len(names)), fill_value=0)
        return checks.better_than_majority(int(clean["correct"].sum()), counts.tolist(), names)

    def checks(
        self, condition: Condition, rows: pd.DataFrame, clean: pd.DataFrame, counts: Counts, unprobed: str = ""
    ) -> list[Check]:
        """All checks of one condition with an attack.

        Args:
            condition: what was done, with its budgets filled in.
            rows: of this condition.
            clean: of the unchanged images.
            counts: what the attack spent.
            unprobed: why the probes, which cost passes, are left out; empty: they are not.
        """
        blind = checks.blind(counts.bad_gradients, counts.zero_gradients, counts.gradients)
        follow = FollowUp(condition, blind or not self.classifier.has_gradient)
        sizes, margins = torch.zeros(0), torch.zeros(0)
        reason = unprobed or _unfit(condition) or ("" if rows["attacked"].any() else "no image was attacked.")
        if reason:
            found = [Check(name, "not run", reason) for name in PROBES]
        else:
            attack = condition.attacks[0]
            sample, left = (self._load(condition, rows, places) for places in _drawn(rows, attack, self.seed))
            probes = _Probes(self, attack, follow)
            stuck = int((left.after >= left.before - 1e-6 * left.before.abs()).sum())
            found = [
                probes.one_step(left),
                probes.score_only(left),
                probes.huge_eps(sample),
                probes.noise(sample, left),
                checks.made_progress(len(left), stuck, next=follow.stronger()),
            ]
            if probes.gradients:
                sizes, margins = probes.gradient_sizes(sample), sample.before
        right = rows["correct"].to_numpy()
        right_before = clean.set_index("index")["correct"].reindex(rows["index"]).to_numpy()
        return [
            _gradients(condition, counts, sizes, margins, follow),
            *found,
            checks.below_clean(int((right > right_before).sum()), int((right < right_before).sum()), len(rows)),
        ]

    def margins(self, images: Images, name: str, attack: Callable[[Tensor, Tensor, Streams], Tensor]) -> Tensor:
        """Margins after an attack, (M,), at most a batch at a time. Not finite counts as fooled."""
        found = [images.before[:0]]
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            x, labels = images.x[part], images.labels[part]
            changed = attack(x, labels, Streams(self.seed, f"checks {name}", images.ids[part]))
            logits = self.classifier(changed)
            found.append(torch.where(logits.isfinite().all(1), -margin(logits, labels), -torch.inf))
        return torch.cat(found)

    def _load(self, condition: Condition, rows: pd.DataFrame, places: list[int]) -> Images:
        """The images at these places again, after the shifts of a chain, and what the attack made of them."""
        device = self.classifier.device
        row = rows.set_index("index").loc[places]
        images, labels, before = (
            [torch.zeros(0, device=device)],
            [torch.zeros(0).long().to(device)],
            [torch.zeros(0)],
        )
        for batch in self.dataset.select(places).batches(self.batch_size):
            x, y = batch.images.to(device), batch.labels.to(device)
            seen: list[str] = []
            for shift in filter(is_shift, condition.parts):
                name = spec(shift)  # the streams are those of applying.apply
                x = shift(x, Streams(self.seed, name + "#" * seen.count(name), batch.sample_ids))
                seen.append(name)
            images.append(x)
            labels.append(y)
            before.append(-margin(self.classifier(x), y).cpu())
        return Images(
            torch.cat(images[1:] or images),
            torch.cat(labels),
            tuple(row["sample_id"]),
            torch.cat(before).to(device),
            torch.tensor(row["margin"].tolist(), device=device),
            torch.tensor(row["correct"].tolist(), device=device) == 0,
        )


def _unfit(condition: Condition) -> str:
    """Why the probes make no sense for a condition; empty if they do."""
    *before, attack = condition.parts
    if not is_attack(attack) or any(is_attack(part) for part in before):
        return "the chain is not shifts followed by one attack."
    if getattr(attack, "needs_detector", False):
        return "the attack has a second goal, to pass the detector."
    eps = getattr(attack, "eps", None)
    if getattr(attack, "minimal", False) or eps is None:
        return "the attack has no budget: it looks for the smallest change."
    if eps == 0:
        return "the budget is 0."
    if attack.norm == "linf" and eps > 1:
        return "the budget is larger than the range of the images."
    if getattr(attack, "target", None) is not None:
        return "the attack aims at one class."
    return "" if attack.norm in norms.NORMS else f"there are no probes for {attack.norm}."


def _gradients(condition: Condition, counts: Counts, sizes: Tensor, margins: Tensor, follow: FollowUp) -> Check:
    if not counts.gradients:
        return Check("gradients", "not run", "none was taken.")
    bad, zero, gradients = counts.bad_gradients, counts.zero_gradients, counts.gradients
    return checks.sound_gradients(bad, zero, gradients, sizes, margins, next=follow.without_gradients())


def _drawn(rows: pd.DataFrame, attack: Attack, seed: int) -> tuple[list[int], list[int]]:
    """Places of some attacked images, and of some that survived; as many as the attack's own cost allows."""
    attacked = rows[rows["attacked"] == 1]
    cost = attack.max_cost()
    allowed = max(FLOOR, SHARE * len(attacked) * (cost.forwards + cost.gradients))
    most = min(MOST, int(allowed // PER_IMAGE))
    ranks = [stable_hash(seed, "checks", sample_id) for sample_id in attacked["sample_id"]]
    order = attacked.assign(rank=ranks).sort_values(["rank", "index"])
    survivors = order[order["correct"] == 1]
    return order["index"].head(most).tolist(), survivors["index"].head(most).tolist()


@dataclass(frozen=True)
class _Probes:
    """The probes of one attack with a budget."""

    prober: Prober
    attack: Attack
    follow: FollowUp

    @property
    def _eps(self) -> float:
        eps: float = self.attack.eps  # type: ignore[attr-defined]
        return eps

    @property
    def gradients(self) -> int:
        """The most that the attack may take for one image."""
        return self.attack.max_cost().gradients

    def one_step(self, left: Images) -> Check:
        if not self.gradients:
            return Check("one_step", "not run", "the attack uses no gradients.")
        if self.gradients == 1:
            return Check("one_step", "not run", "the attack is one step itself.")

        def step(x: Tensor, labels: Tensor, streams: Streams) -> Tensor:
            gradient = self.prober.classifier.gradient(x, loss_function("ce", labels, targeted=False)).gradient
            return (x + self._eps * norms.steepest(gradient, self.attack.norm)).clamp(0, 1)

        fooled = int((self.prober.margins(left, "one_step", step) <= 0).sum())
        return checks.many_steps_beat_one(len(left), fooled, next=self.follow.stronger())

    def score_only(self, left: Images) -> Check:
        if not self.gradients:
            return Check("score_only", "not run", "the attack itself uses scores only.")
        if self.attack.norm not in ("linf", "l2"):
            return Check("score_only", "not run", f"there is no search for {self.attack.norm}.")
        arguments = {"eps": self._eps, "norm": self.attack.norm, "queries": QUERIES}
        (square,) = make(format_call(Call("square", arguments))).attacks
        found = self.prober.margins(left, "score_only", lambda *given: square(self.prober.classifier, *given))
        fooled = int((found <= 0).sum())
        # One step does not look for the smallest margin, and many look for the largest loss: on sound networks
        # the search gets a little further on some images.
        further = left.before - found > FURTHER * (left.before - left.after).clamp_min(0) + 1e-6
        beaten = int(further.sum()) if self.gradients > 1 else fooled
        return checks.gradients_beat_search(
            len(left), beaten, fooled, QUERIES, next=self.follow.without_gradients()
        )

    def huge_eps(self, sample: Images) -> Check:
        if not self.gradients:
            return Check("huge_eps", "not run", "the attack uses no gradients.")
        pgd = PGD(eps=0.5, steps=HUGE_STEPS)
        found = self.prober.margins(sample, "huge_eps", lambda *given: pgd(self.prober.classifier, *given))
        # Images of the class that grey is taken for may be safe from everything.
        grey = self.prober.classifier(torch.full_like(sample.x[:1], 0.5)).argmax(1)
        right = int(((found > 0) & (sample.labels != grey)).sum())
        return checks.unbounded_fools_all(len(sample), right, next=self.follow.unbounded())

    def noise(self, sample: Images, left: Images) -> Check:
        def fooled(images: Images) -> int:
            hit = torch.zeros_like(images.fooled)
            for draw in range(NOISE_DRAWS):

                def add(x: Tensor, labels: Tensor, streams: Streams, draw: int = draw) -> Tensor:
                    return (x + norms.random_start(streams, x, self._eps, self.attack.norm, draw)).clamp(0, 1)

                hit |= self.prober.margins(images, "noise", add) <= 0
            return int(hit.sum())

        by_attack, by_noise = int(sample.fooled.sum()), fooled(sample)
        return checks.better_than_noise(
            len(sample), by_noise, by_attack, len(left), fooled(left), next=self.follow.stronger()
        )

    def gradient_sizes(self, sample: Images) -> Tensor:
        """Sum of the absolute gradient of the margin, (M,)."""
        found = []
        for start in range(0, len(sample), self.prober.batch_size):
            part = slice(start, start + self.prober.batch_size)
            loss = loss_function("margin", sample.labels[part], targeted=False)
            found.append(norms.size(self.prober.classifier.gradient(sample.x[part], loss).gradient, "l1"))
        return torch.cat(found)
