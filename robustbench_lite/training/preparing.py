"""What every training begins with: a recipe that fits the data, and a network that is about to learn from it."""

from __future__ import annotations

from typing import NamedTuple

from robustbench_lite.data.dataset import Dataset
from robustbench_lite.training.augmenting import check_augmentations
from robustbench_lite.training.objective import Objective
from robustbench_lite.training.options import TrainingOptions
from robustbench_lite.training.recipe import Recipe
from robustbench_lite.training.starting import Begun, Start, begin
from robustbench_lite.training.tensors import Tensors, statistics


def recipe_for(data: Dataset, options: TrainingOptions, recipe: Recipe | None = None) -> Recipe:
    """The recipe with the usual budget of the data where it says none, less the shifts that need colour.

    Args:
        data: the training split.
        options: whose augmentations must fit the images and the recipe.
        recipe: by default clean images.

    Raises:
        InputError: the recipe or the augmentations do not fit.
    """
    found = (recipe or Recipe()).with_eps(data.eps).fitting(data.image_shape[0])
    check_augmentations(options.augment, data.image_shape, attacked=found.adversarial is not None)
    return found


class Ready(NamedTuple):
    """A network before its training, and what it is to learn."""

    begun: Begun
    objective: Objective


def ready(
    architecture: str,
    start: Start | None,
    train_set: Dataset,
    data: Tensors,
    recipe: Recipe,
    options: TrainingOptions,
    device: str,
) -> Ready:
    """Build the network and the objective, inside ``seeded``.

    Args:
        architecture, start, device: as for ``train``.
        train_set, data: the training split, and its images.
        recipe: one that fits.
        options: how to train.

    Raises:
        InputError: weights that do not fit.
    """
    classes = len(train_set.class_names)
    begun = begin(architecture, start, num_classes=classes, input_shape=train_set.image_shape)
    mean, std = begun.normalisation or statistics(data.images)
    network = begun.network.to(device)
    return Ready(begun, Objective(network, mean, std, data, recipe, options, classes))
