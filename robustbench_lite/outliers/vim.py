"""What of the features the normal images do not use, against what the classifier sees of its classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from robustbench_lite.classifiers.classifier import Classifier
from robustbench_lite.classifiers.features import last_layer
from robustbench_lite.errors import InputError
from robustbench_lite.outliers.classifying import check_width, classifier_of, features_of, of_all, principal_axes
from robustbench_lite.outliers.score import Normals, Parts, Score, Shape, TensorState


@dataclass(frozen=True, eq=False)
class VirtualLogit(TensorState):
    """A logit for what lies outside the subspace of the normal images.

    Args:
        classifier: whose features it looks at.
        origin: (D,) features that the last layer gives no logits to, as nearly as can be.
        unused: (D, D − d) the axes outside the subspace, in columns, times the factor that brings a length there
            to the scale of the logits.
        weight, bias: (K, D) and (K,) of the last layer.
    """

    classifier: Classifier = field(repr=False)
    origin: Tensor
    unused: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """The virtual logit less the soft maximum of the others, (N,)."""
        features = features_of(self.classifier, images)
        logits = linear(features, self.weight.to(features), self.bias.to(features))
        outside = (features - self.origin.to(features)) @ self.unused.to(features)
        virtual: Tensor = outside.norm(dim=1)
        return virtual - logits.logsumexp(1)


@dataclass(frozen=True)
class ViM(Score):
    """Virtual-logit matching: the length of the features outside their main subspace, less the soft maximum logit.

    Wang et al., *ViM: out-of-distribution with virtual-logit matching*, CVPR 2022.

    Args:
        components: dimensions of the subspace; by default half of those that the normal images span.
    """

    components: int | None = None
    needs: ClassVar[Literal["", "classifier", "generator"]] = "classifier"

    def __post_init__(self) -> None:
        if self.components is not None and self.components < 1:
            raise InputError(f"vim: components={self.components} is out of range.", "It must be at least 1.")

    def fit(self, normals: Normals, parts: Parts) -> VirtualLogit:
        """Fit to the features of normal images.

        Raises:
            InputError: the images leave nothing outside the subspace, their logits are negative, or the features
                are too many.
        """
        classifier = classifier_of(parts)
        features = of_all(partial(features_of, classifier), normals.images)
        check_width("vim", features)
        layer = last_layer(classifier, normals.images)
        weight = layer.weight.detach().double().cpu()
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().cpu()
        origin = -torch.linalg.pinv(weight) @ bias
        centred = features - origin
        variances, axes = principal_axes(centred.T @ centred / len(centred), centred)
        spanned = int((variances > 1e-10 * variances[-1]).sum())
        kept = spanned // 2 if self.components is None else self.components
        if not 0 < kept < spanned:
            raise InputError(
                f"vim: {len(normals)} images span {spanned} dimensions of the features; outside "
                f"{kept} of them nothing is left to tell an outlier by.",
                "Give more images." if self.components is None else f"Give more, or less than {spanned}.",
            )
        unused = axes[:, : len(variances) - kept]
        largest = (features @ weight.T + bias).amax(1).mean()
        if not largest > 0:
            raise InputError(
                f"vim: the largest logit of a normal image is {largest:.2g} on average, so none can be matched.",
                "Take mahalanobis or knn.",
            )
        factor = largest / (centred @ unused).norm(dim=1).mean()
        found = (origin, factor * unused, weight, bias)
        return VirtualLogit(classifier, *(tensor.float().contiguous() for tensor in found))

    def restore(self, state: dict[str, Tensor], shape: Shape, parts: Parts) -> VirtualLogit:
        """The scorer whose state this is."""
        return VirtualLogit(classifier_of(parts), **state)
