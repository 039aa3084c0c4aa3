"""Whether a training and a validation split can be learnt from, said before hours are spent on them."""

from __future__ import annotations

import logging

import torch

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.errors import InputError
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.tensors import Tensors, extremes

_log = logging.getLogger(__name__)


def check_splits(
    train_set: Dataset, val_set: Dataset, train: Tensors, val: Tensors, options: TrainingOptions
) -> None:
    """Refuse what cannot be learnt from or chosen by; warn of what will be learnt badly.

    Args:
        train_set, val_set: what was asked for.
        train, val: their images that could be read.
        options: how to train.

    Raises:
        InputError: names the first thing that does not do.
    """
    if train_set.class_names != val_set.class_names:
        then, now = (", ".join(data.class_names) for data in (train_set, val_set))
        raise InputError(
            f"the classes of training, {then}, are not those of validation, {now}.",
            "Give both the same classes in the same order.",
        )
    if train.images.shape[1:] != val.images.shape[1:]:
        sizes = (" x ".join(map(str, data.images.shape[1:])) for data in (train, val))
        raise InputError(
            f"training images of {next(sizes)} and validation images of {next(sizes)} differ.",
            "Bring them to one shape, for example with --input-size and --channels.",
        )
    for dataset, data in ((train_set, train), (val_set, val)):
        _check_labels(dataset, data)
        _check_values(dataset, data)
    _check_classes(train_set, val_set, train, val)
    if shared := set(train.ids) & set(val.ids):
        _log.warning(
            "warning: %d of the %d validation images are training images too, so that what is said of them "
            "says little of others.",
            sum(i in shared for i in val.ids),
            len(val.ids),
        )
    if options.batch_size > len(train.labels):
        _log.warning(
            "warning: a batch of %d is more than the %d training images: an epoch is a single step.",
            options.batch_size,
            len(train.labels),
        )


def _check_labels(dataset: Dataset, data: Tensors) -> None:
    classes = len(dataset.class_names)
    wrong = ((data.labels < 0) | (data.labels >= classes)).nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise InputError(
            f"{_file(dataset, data, first)} of the {dataset.split} split has the label {int(data.labels[first])}, "
            f"but there are {classes} classes.",
            f"Labels must be 0 to {classes - 1}.",
        )


def _check_values(dataset: Dataset, data: Tensors) -> None:
    lowest, highest = extremes(data.images)
    wrong = (~((lowest >= 0) & (highest <= 1))).nonzero()  # so that NaN is found as well
    if len(wrong):
        file = _file(dataset, data, int(wrong[0]))
        raise InputError(
            f"{file} of the {dataset.split} split holds values outside [0, 1], or NaN "
            f"({len(wrong)} of {len(data.ids)} images do).",
            "Scale the images, or leave them out.",
        )


def _check_classes(train_set: Dataset, val_set: Dataset, train: Tensors, val: Tensors) -> None:
    names = train_set.class_names
    learnt, judged = (set(torch.unique(data.labels).tolist()) for data in (train, val))
    if len(learnt) < 2:
        raise InputError(
            f"the training split of {train_set.spec} holds one class only.", "A classifier needs two or more."
        )
    if len(judged) < 2:
        raise InputError(
            f"the validation split of {val_set.spec} holds one class only, {names[judged.pop()]}.",
            "The best epoch is chosen by it: it needs images of every class.",
        )
    for missing, split, so in (
        (set(range(len(names))) - learnt, "training", "will never be named"),
        ((learnt - judged), "validation", "play no part in the choice of the epoch"),
    ):
        if missing:
            some = ", ".join(names[i] for i in sorted(missing)[:5]) + ", …" * (len(missing) > 5)
            _log.warning("warning: no %s image of %d classes, which %s: %s.", split, len(missing), so, some)


def _file(dataset: Dataset, data: Tensors, place: int) -> str:
    """Name of an image; damaged ones may have been left out before it."""
    return dataset.files[dataset.sample_ids.index(data.ids[place])]
