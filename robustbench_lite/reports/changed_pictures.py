"""Images that broke or were mended, as pictures: as they are, and as either network saw them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from robustbench_lite.changed_images import Changed, ChangedImage
from robustbench_lite.reports.pictures import Picture, Pixels, encoded, read_picture, size_for
from robustbench_lite.reports.words import class_name, percent
from robustbench_lite.runs import Run

IN_ALL = 60  # images with pictures on a page
_SIZE = size_for(IN_ALL)


class Answer(NamedTuple):
    """What one network made of an image."""

    letter: str
    name: str  # of the class
    right: bool
    confidence: str


class ShownChange(NamedTuple):
    """One image that changed; without pictures where neither run has one."""

    kind: str  # broken, mended
    file: str
    label: str
    answers: tuple[Answer, Answer]
    pictures: list[Picture]


class ChangedSection(NamedTuple):
    """The images of one condition: some with pictures, some as a list, and how many there are."""

    condition: str
    broken: int
    mended: int
    shown: list[ShownChange]
    listed: list[ShownChange]


class Album:
    """The pictures of two runs.

    Args:
        run: the one that is judged.
        baseline: what it is compared with.
        letters: of the baseline and of the run.
        room: how many images with pictures the page still takes.
    """

    def __init__(self, run: Run, baseline: Run, letters: tuple[str, str], room: int) -> None:
        self._sides = (baseline, run)
        self._letters = letters
        self.room = room
        # What the network has no part in, and was drawn alike, both have seen.
        alike = run.record.seed == baseline.record.seed and run.record.code_sha256 == baseline.record.code_sha256
        self._alike = {c.spec for c in run.record.conditions if alike and c.kind == "shift"}
        self._changed = [{(e.condition, e.sample_id): e.changed for e in s.record.examples} for s in self._sides]
        self._clean = [{e.sample_id: e.clean for e in s.record.examples} for s in self._sides]
        self._saved = [{c.spec: c.saved for c in s.record.conditions if c.saved} for s in self._sides]

    def section(self, condition: str, found: Changed, limit: int) -> ChangedSection:
        """At most ``limit`` broken and as many mended images: those that there are pictures of, then others."""
        shown: list[ShownChange] = []
        listed: list[ShownChange] = []
        for kind, images in (("broken", found.broken), ("mended", found.mended)):
            left = limit
            for image in images:
                if left and self.room and (taken := self._pictures(condition, image)):
                    shown.append(self._show(kind, image, taken))
                    left, self.room = left - 1, self.room - 1
            listed += [self._show(kind, image, []) for image in images[:limit]]
        return ChangedSection(condition, len(found.broken), len(found.mended), shown, listed)

    def _show(self, kind: str, image: ChangedImage, taken: list[Picture]) -> ShownChange:
        record = self._sides[1].record
        predictions = ((image.before, image.confidence_before), (image.after, image.confidence_after))
        before, after = (
            Answer(letter, class_name(record, prediction), right, percent(confidence, 0))
            for letter, right, (prediction, confidence) in zip(
                self._letters, (kind == "broken", kind == "mended"), predictions, strict=True
            )
        )
        return ShownChange(kind, image.file, class_name(record, image.label), (before, after), taken)

    def _pictures(self, condition: str, image: ChangedImage) -> list[Picture]:
        seen = [self._seen(side, condition, image) for side in (0, 1)]
        clean = next((p for side in (0, 1) if (p := self._unchanged(side, image)) is not None), None)
        found = [] if clean is None else [_small(clean, "as it is")]
        if condition == "clean":
            return found
        there = [pixels for pixels in seen if pixels is not None]
        if there and (condition in self._alike or (len(there) == 2 and np.array_equal(there[0], there[1]))):
            return [*found, _small(there[0], "changed, for both")]
        changed = [
            _small(pixels, f"as {letter} saw it")
            for letter, pixels in zip(self._letters, seen, strict=True)
            if pixels is not None
        ]
        return [*found, *changed] if changed else []

    def _seen(self, side: int, condition: str, image: ChangedImage) -> Pixels | None:
        run = self._sides[side]
        name = self._changed[side].get((condition, image.sample_id)) or self._saved_as(side, condition, image)
        return None if name is None else read_picture(run.path, name)

    def _unchanged(self, side: int, image: ChangedImage) -> Pixels | None:
        run = self._sides[side]
        name = self._clean[side].get(image.sample_id) or self._saved_as(side, "clean", image)
        return None if name is None else read_picture(run.path, name)

    def _saved_as(self, side: int, condition: str, image: ChangedImage) -> str | None:
        """The file that --save-images has written."""
        saved = self._saved[side].get(condition)
        if saved is None:
            return None
        return str(PurePosixPath(saved).with_suffix("") / f"{image.place:06d}-{image.sample_id}.png")


def _small(pixels: Pixels, words: str) -> Picture:
    return encoded(pixels, words, _SIZE.side, _SIZE.quality)
