"""May these numbers be trusted? Pure functions of what was seen; each returns a ``Check`` in a sentence.

What looks robust because the attack was hindered is not robust: Athalye, Carlini & Wagner, *Obfuscated gradients
give a false sense of security*, ICML 2018; Carlini et al., *On evaluating adversarial robustness*, 2019; Pintor et
al., *Indicators of attack failure*, NeurIPS 2022. Thresholds without a source were chosen by what sound networks
show (docs/trust.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_lite.types import Model

Status = Literal["passed", "triggered", "not run"]

ATHALYE = "Athalye et al., ICML 2018"
CARLINI = "Carlini et al., 2019"
PINTOR = "Pintor et al., NeurIPS 2022"

ZERO_SHARE = 0.05  # of all gradients
STUCK_SHARE = 0.05  # of the surviving images
BEATEN_SHARE = 0.02  # of the surviving images; sound networks show 0 to 0.016
# Sizes of the gradient beside the margin: below the first, moving every pixel over its whole range would, by the
# gradient, change a thousandth of the margin; above the second, a millionth of the range would be enough.
VANISHING, EXPLODING = 1e-3, 1e6


class Check(NamedTuple):
    """What one check came to.

    ``seen`` is the sentence with the numbers, or the reason why it did not run. If it triggered, ``advice`` says
    what follows and whose advice that is, and ``next`` what to run: a condition's spec, or ``doctor``.
    """

    name: str
    status: Status
    seen: str
    advice: str = ""
    next: str = ""


class Alarm(NamedTuple):
    """How loudly the signs of a masked gradient speak, and which they are."""

    level: Literal["none", "soft", "hard"]
    reasons: tuple[str, ...]


def masking_alarm(
    survivors: int,
    *,
    beaten: int = 0,
    fooled: int = 0,
    stuck: int = 0,
    gradients: int = 0,
    zero: int = 0,
    bad: int = 0,
    repeatable: bool = True,
) -> Alarm:
    """Whether an attack with gradients was hindered rather than withstood.

    One image alone raises nothing: on sound networks it happens. ``soft``: the score-only search got somewhat
    further. ``hard``: anything else, or that on more than 30 % of the survivors, or more than two of them fooled.

    Args:
        survivors: images that the attack left right and that were looked at.
        beaten: those of them whose margin a score-only search pushed lower, the fooled ones included.
        fooled: those that the search fooled.
        stuck: those whose margin is no worse after the attack than before.
        gradients, zero, bad: gradients taken, exactly zero, and not finite.
        repeatable: whether the same image gets the same answer twice.
    """
    hard: list[str] = []
    if bad:
        hard.append(f"{bad} of {gradients} gradients were not finite")
    if zero > ZERO_SHARE * gradients:
        hard.append(f"{zero} of {gradients} gradients were exactly zero")
    if stuck >= 2 and stuck > STUCK_SHARE * survivors:
        hard.append(f"on {stuck} of {survivors} images the attack made no progress")
    if not repeatable:
        hard.append("the same image gets other answers the second time")
    soft = fooled >= 2 or (beaten >= 2 and beaten > BEATEN_SHARE * survivors)
    searched = f"a search without gradients got further on {beaten} of {survivors} images, and fooled {fooled}"
    if soft and (beaten > 0.3 * survivors or fooled > 2):
        hard.append(searched)
    if hard:
        return Alarm("hard", tuple(hard))
    return Alarm("soft", (searched,)) if soft else Alarm("none", ())


def blind(bad: int, zero: int, gradients: int) -> bool:
    """Whether gradients were not there to follow: one not finite, or more than 5 % exactly zero."""
    return bad > 0 or zero > ZERO_SHARE * gradients


def repeatable(model: Model, images: Tensor) -> Check:
    """Whether the same images give the same logits the second time."""
    import torch

    first, second = model(images), model(images)
    if torch.allclose(first, second, atol=1e-5, rtol=1e-4):
        return Check("repeatable", "passed", f"{len(images)} images got the same answers twice.")
    return Check(
        "repeatable",
        "triggered",
        "the network answers the same images differently each time: single numbers mean little.",
        f"Make it deterministic, or attack the mean of many answers ({ATHALYE}).",
        "doctor",
    )


def logit_outputs(logits: Tensor, *, gradient: bool = True) -> Check:
    """Whether the network returns logits, not probabilities or log-probabilities.

    Gradients through a softmax vanish where the network is sure, so attacks fail and it looks robust. For scores
    without a gradient, log-probabilities are as good as logits.
    """
    import torch

    total = logits.sum(1)
    if ((logits >= 0) & (logits <= 1)).all() and torch.allclose(total, torch.ones_like(total), atol=1e-3):
        kind = "probabilities (a softmax at the end)"
    elif (logits <= 0).all() and torch.allclose(logits.logsumexp(1), torch.zeros_like(total), atol=1e-3):
        kind = "log-probabilities (a log-softmax at the end)"
    else:
        return Check("logits", "passed", "the outputs are no probabilities.")
    if not gradient and kind.startswith("log"):
        return Check("logits", "passed", "the outputs are log-probabilities.")
    if not gradient:
        seen = "the function returns probabilities, not logits: the confidences are the softmax of them."
        return Check("logits", "triggered", seen, "Return their logarithm.", "doctor")
    return Check(
        "logits",
        "triggered",
        f"the network returns {kind}, not logits: attacks may fail for that alone.",
        f"Remove the last layer ({CARLINI}).",
        "doctor",
    )


def better_than_majority(right: int, counts: list[int], class_names: tuple[str, ...]) -> Check:
    """Whether the clean accuracy is clearly above that of always naming the most frequent class.

    Clearly: in a one-sided binomial test at 5 %. Data of one class tell nothing.
    """
    from scipy.stats import binomtest

    n, most = sum(counts), max(counts)
    seen = f"{right / n:.1%}, always saying {class_names[counts.index(most)]!r}: {most / n:.1%}"
    if n == most or right == n or binomtest(right, n, most / n, alternative="greater").pvalue <= 0.05:
        return Check("majority", "passed", f"clean accuracy is {seen}.")
    return Check(
        "majority",
        "triggered",
        f"clean accuracy is not clearly above always saying the most frequent class ({seen}).",
        "Check --mean/--std, the class order and the weights.",
        "doctor",
    )


def sound_gradients(bad: int, zero: int, gradients: int, sizes: Tensor, margins: Tensor, *, next: str) -> Check:
    """Whether gradients were there to follow.

    Args:
        bad, zero, gradients: how many were not finite, exactly zero, and taken at all.
        sizes: (M,) sum of the absolute gradient of the margin at unchanged images; M may be 0.
        margins: (M,) the margins there.
        next: what to run if not.
    """
    faint = int((sizes < VANISHING * margins).sum())
    steep = int((sizes > EXPLODING * margins).sum())
    if bad:
        seen = f"{bad} of {gradients} gradients were not finite: the attack was steered by nothing there."
    elif zero > ZERO_SHARE * gradients:
        seen = f"{zero} of {gradients} gradients were exactly zero: the attack was blind there."
    elif faint >= 2:
        seen = f"on {faint} of {len(sizes)} images the gradient vanishes beside the margin."
    elif steep >= 2:
        seen = f"on {steep} of {len(sizes)} images the gradient explodes beside the margin."
    else:
        return Check("gradients", "passed", f"{zero} of {gradients} gradients were zero, none not finite.")
    advice = f"Look for rounding, saturation, roots or logarithms of 0; attack without gradients ({ATHALYE})."
    return Check("gradients", "triggered", seen, advice, next)


def many_steps_beat_one(survivors: int, fooled: int, *, next: str) -> Check:
    """Whether one step along the gradient fools images that the attack, with many steps, did not."""
    seen = f"one step of the gradient sign method fools {fooled} of {survivors} images that the attack did not."
    if fooled < 2:
        return Check("one_step", "passed", seen)
    advice = (
        f"Many steps must find at least as much as one: another step size, more steps and restarts ({ATHALYE})."
    )
    return Check("one_step", "triggered", seen, advice, next)


def gradients_beat_search(survivors: int, beaten: int, fooled: int, queries: int, *, next: str) -> Check:
    """Whether a short search without gradients got further than the attack with them."""
    seen = (
        f"a random search of {queries} queries fools {fooled} of {survivors} images that the attack did not, "
        f"and gets further on {beaten}."
    )
    if masking_alarm(survivors, beaten=beaten, fooled=fooled).level == "none":
        return Check("score_only", "passed", seen)
    advice = f"Gradients are hidden, or the attack is weak: attack without gradients ({ATHALYE}; {CARLINI})."
    return Check("score_only", "triggered", seen, advice, next)


def unbounded_fools_all(n: int, right: int, *, next: str) -> Check:
    """Whether an unbounded budget fools all: with linf 0.5 every image can be made plain grey.

    Args:
        n: attacked images that were looked at.
        right: how many are right still, those left out that grey itself is taken for.
        next: what to run if not.
    """
    seen = (
        f"with linf 0.5, {right} of {n} images stay right, though plain grey is near and taken for another class."
    )
    if right < 2:
        return Check("huge_eps", "passed", seen)
    advice = f"No network withstands that: it is the attack that fails ({ATHALYE}; {CARLINI})."
    return Check("huge_eps", "triggered", seen, advice, next)


def better_than_noise(
    n: int, by_noise: int, by_attack: int, survivors: int, noisy_survivors: int, *, next: str
) -> Check:
    """Whether the attack finds more than random noise in the same ball does.

    Args:
        n: attacked images that were looked at.
        by_noise, by_attack: how many of them were fooled.
        survivors: images looked at that the attack left right.
        noisy_survivors: how many of those noise fooled.
        next: what to run if not.
    """
    seen = (
        f"random noise fools {by_noise} of {n} images, the attack {by_attack}; "
        f"of {survivors} that the attack did not fool, noise fools {noisy_survivors}."
    )
    as_often = by_noise >= 2 and by_attack <= by_noise and by_attack < n
    if not as_often and noisy_survivors < 2:
        return Check("noise", "passed", seen)
    advice = f"An attack must beat blind noise ({CARLINI}): more steps, restarts, another loss."
    return Check("noise", "triggered", seen, advice, next)


def below_clean(gained: int, lost: int, n: int, *, next: str = "doctor") -> Check:
    """Whether accuracy under attack is not above clean accuracy (sign test at 5 %).

    An attack alone cannot raise it, for what is wrong before counts as wrong; a chain with a shift can.

    Args:
        gained: images that are right under the attack and wrong as they are.
        lost: the reverse.
        n: images.
        next: what to run if not.
    """
    from scipy.stats import binomtest

    seen = f"of {n} images, {lost} are right only as they are, and {gained} only under attack."
    if gained <= lost or binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue > 0.05:
        return Check("above_clean", "passed", seen)
    advice = f"The network does not fit the unchanged images: check its preprocessing ({CARLINI})."
    return Check("above_clean", "triggered", seen, advice, next)


def made_progress(survivors: int, stuck: int, *, next: str) -> Check:
    """Whether the attack lowered the margin of the images that it did not fool."""
    seen = f"on {stuck} of {survivors} images that the attack did not fool, the margin is no lower than before."
    if masking_alarm(survivors, stuck=stuck).level == "none":
        return Check("progress", "passed", seen)
    advice = f"The loss did not rise: another loss, another step size, or no gradients at all ({PINTOR})."
    return Check("progress", "triggered", seen, advice, next)
