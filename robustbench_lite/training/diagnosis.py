"""What is to be said of a training, in words: judged from its history alone.

The numbers below are no laws: they were set so that trainings that are known to be sound say nothing, and broken
ones do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from robustbench_lite.intervals import wilson

History = dict[str, Any]  # of a checkpoint
Kind = Literal[
    "diverges", "does not start", "does not beat", "underfits", "overfits", "undecided", "price", "fine"
]
WARNINGS: tuple[Kind, ...] = ("diverges", "does not start", "does not beat", "underfits", "overfits")

LOW = 0.9  # accuracy below which a network may underfit
FALLING = 0.03  # share by which the loss falls in the last fifth of the epochs, if it still does
RISE = 0.1  # share by which the validation loss must rise,
RISE_NATS = 0.02  # and nats, before it is called overfitting
LAST = 3  # epochs that must all agree


class Verdict(NamedTuple):
    """One thing to be said; ``remedy`` is empty where nothing need be done."""

    kind: Kind
    text: str
    remedy: str = ""


def verdicts(history: History) -> list[dict[str, str]]:
    """All that is to be said of a training, worst first; ``fine`` where no warning is among it.

    Args:
        history: of a checkpoint; all but its ``verdicts``.

    Returns:
        ``kind``, ``text`` and ``remedy`` of each.
    """
    found = list(_does_not_start(history)) or [
        *_diverges(history),
        *_underfits(history),
        *_overfits(history),
        *_against_baselines(history),
    ]
    if not any(verdict.kind in WARNINGS for verdict in found):
        found.insert(
            0,
            Verdict(
                "fine", f"Nothing in its course speaks against it: of the validation images {_reached(history)}."
            ),
        )
    return [verdict._asdict() for verdict in found]


def guessing(history: History) -> float:
    """Cross-entropy in nats of the best answer that does not look at the image: the entropy of the labels.

    With ``balanced`` classes it is ln K; ``label_smoothing`` mixes that in.
    """
    counts: list[int] = history["train_labels"]
    balanced, spread = history["options"]["balanced"], float(history["options"]["label_smoothing"])
    there, total = sum(n > 0 for n in counts), sum(counts)
    shares = [(n > 0) / there if balanced else n / total for n in counts]
    smooth = [(1 - spread) * share + spread / len(counts) for share in shares]
    return -sum(share * math.log(share) for share in smooth if share)


def _losses(history: History, name: str) -> list[float]:
    return [float(epoch[name]) for epoch in history["epochs"]]


def _does_not_start(history: History) -> Iterator[Verdict]:
    train, val, guess = _losses(history, "train_loss"), _losses(history, "val_loss"), guessing(history)
    if min(*train, *val) < 0.99 * guess:
        return
    text = (
        f"It does not start: no loss falls below the {guess:.3g} nats that guessing by the frequencies of the "
        f"classes gives (lowest {min(train):.3g} in training, {min(val):.3g} in validation)"
    )
    lr = history["options"]["lr"]
    smaller, larger = f"a smaller --lr than {lr:g}", f"a larger --lr than {lr:g}"
    if max(*train, *val) > 2 * guess or train[-1] > 1.05 * train[0]:
        yield Verdict(
            "does not start", f"{text}; the learning rate is too large.", f"Give {smaller}, or --find-lr."
        )
    elif _robust(history):
        yield Verdict(
            "does not start",
            f"{text}; the attack is too strong for a network that has learnt nothing yet.",
            f"Give a larger --warmup, a smaller --eps, or {smaller}.",
        )
    elif len(train) > 1 and max(train) - min(train) < 0.02 * guess:
        yield Verdict(
            "does not start",
            f"{text}, and hardly moves; the learning rate is too small.",
            f"Give {larger}, or --find-lr.",
        )
    elif train[-1] < 0.98 * train[0] and train[-1] > 1.02 * guess:
        yield Verdict("does not start", f"{text}, but it falls.", f"Give more --epochs, or {larger}.")
    else:
        yield Verdict(
            "does not start",
            f"{text}; the learning rate does not suit.",
            f"Try --find-lr, or {smaller}, or a larger one.",
        )


def _diverges(history: History) -> Iterator[Verdict]:
    if history["diverged"]:
        yield Verdict(
            "diverges",
            f"It diverges after epoch {len(history['epochs'])}. Epoch {history['best_epoch']} was kept.",
            f"Give a smaller --lr than {history['options']['lr']:g}, or --find-lr.",
        )


def _underfits(history: History) -> Iterator[Verdict]:
    """Neither the images that it learnt from, nor others in their plain form, are known well."""
    epochs, options = history["epochs"], history["options"]
    train = max(epoch["train_accuracy"] for epoch in epochs)
    val = max(epoch["val_accuracy"] for epoch in epochs)
    if max(train, val) >= LOW or history["interrupted"]:
        return
    text = (
        f"It underfits: in its best epochs {train:.1%} of the training images are right as it was shown them, and "
        f"{val:.1%} of the validation images"
    )
    losses = [_losses(history, name) for name in ("train_loss", "val_loss")]
    to_the_end = len(epochs) == options["epochs"]
    if to_the_end and (len(epochs) == 1 or any(map(_still_falling, losses))):
        yield Verdict("underfits", f"{text}, and the loss was still falling.", "Give more --epochs.")
    elif not _overfits_since(history):
        yield Verdict(
            "underfits",
            f"{text}, and the loss falls no more.",
            "Give a larger --model, or less regularisation; or the images do not tell the classes.",
        )


def _still_falling(losses: Sequence[float]) -> bool:
    before = losses[-1 - max(1, len(losses) // 5)]
    return losses[-1] < (1 - FALLING) * before


def _overfits(history: History) -> Iterator[Verdict]:
    since = _overfits_since(history)
    if since is None:
        return
    epochs = history["epochs"]
    name, unit = ("robust_accuracy", "robust accuracy") if _robust(history) else ("val_loss", "validation loss")
    verb = "falls" if _robust(history) else "rises"
    then, now, decay = epochs[since - 1], epochs[-1], history["options"]["weight_decay"]
    yield Verdict(
        "overfits",
        f"It overfits since epoch {since}: the {unit} {verb} from {then[name]:.3g} to {now[name]:.3g} while the "
        f"training loss falls from {then['train_loss']:.3g} to {now['train_loss']:.3g}. "
        f"Epoch {history['best_epoch']} was kept.",
        f"Give --augment, more --weight-decay than {decay:g}, more images, or fewer --epochs.",
    )


def _overfits_since(history: History) -> int | None:
    """The epoch after which it only got worse on validation images while it got better on its own."""
    epochs, train = history["epochs"], _losses(history, "train_loss")
    if _robust(history):  # the validation loss is of clean images, and rises with eps
        robust = _losses(history, "robust_accuracy")
        best = robust.index(max(robust))
        n = history["validation_attacked"]["n"]
        bound = wilson(round(robust[best] * n), n).low
        worse = [value < bound for value in robust[-LAST:]]
    else:
        losses = _losses(history, "val_loss")
        best = losses.index(min(losses))
        worse = [value > (1 + RISE) * losses[best] + RISE_NATS for value in losses[-LAST:]]
    long_ago = len(epochs) - 1 - best >= LAST
    return best + 1 if long_ago and all(worse) and train[-1] < (1 - RISE) * train[best] else None


def _against_baselines(history: History) -> Iterator[Verdict]:
    network, robust = history["validation"], _robust(history)
    for one in history["baselines"]:
        name, better = one["name"], one["gain_low"] > 0
        difference = (
            f"{network['accuracy']:.1%} against {one['accuracy']:.1%} (difference {100 * one['gain_low']:+.1f} to "
            f"{100 * one['gain_high']:+.1f} points, {one['n']} images)"
        )
        if name == "majority class":
            if not better:
                yield Verdict(
                    "does not beat",
                    f"It does not beat the {name}: {difference}.",
                    "Check the labels; give more images, more --epochs, or another --lr.",
                )
            elif robust:
                yield from _attacked_against_constant(history, one["accuracy"])
        elif robust and one["gain_high"] < 0:
            yield Verdict(
                "price",
                f"On images that nobody attacked {name} is better: {difference}. Robustness has its price.",
                "Give a smaller --eps to pay less.",
            )
        elif one["gain_high"] < 0:
            yield Verdict(
                "does not beat",
                f"It does not beat {name}: {difference}.",
                "Give more --epochs or another --model; or take the simple method.",
            )
        elif not better:
            yield Verdict(
                "undecided",
                f"The validation images do not tell whether it beats {name}: {difference}.",
                "More of them would.",
            )


def _attacked_against_constant(history: History, majority: float) -> Iterator[Verdict]:
    """No attack changes an answer that is always the same."""
    found = history["validation_attacked"]
    if found["ci_low"] <= majority:
        yield Verdict(
            "does not beat",
            f"Under attack it does not beat the majority class, which no attack fools: {found['accuracy']:.1%} "
            f"{_interval(found)} against {majority:.1%}.",
            "Give more --epochs, a larger --warmup, or a smaller --eps.",
        )


def _robust(history: History) -> bool:
    return history["validation_attacked"] is not None


def _reached(history: History) -> str:
    of = {"are right": "validation", "attacked": "validation_attacked", "shifted": "validation_shifted"}
    shares = {words: history[name] for words, name in of.items() if history[name] is not None}
    return ", ".join(f"{share['accuracy']:.1%} {words} {_interval(share)}" for words, share in shares.items())


def _interval(share: dict[str, Any]) -> str:
    return f"(95% interval {share['ci_low']:.1%} to {share['ci_high']:.1%}, {share['n']} images)"
