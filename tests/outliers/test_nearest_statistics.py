"""The distance to the most similar normal image, by its global statistics."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree
from sklearn.metrics import roc_auc_score

from robustbench_lite.outliers.image_statistics import ImageStatistics, image_statistics
from robustbench_lite.outliers.nearest_statistics import MOST, NearestStatistics
from robustbench_lite.outliers.score import Normals, Parts


def textures(n: int, level: float, contrast: float, seed: int) -> torch.Tensor:
    noise = torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    return (level + contrast * (noise - 0.5)).clamp(0, 1)


def test_it_is_the_distance_that_a_tree_finds():
    normal, asked = textures(80, 0.5, 0.4, 0), textures(9, 0.45, 0.5, 1)
    scorer = NearestStatistics().fit(Normals(normal), Parts())
    known, own = (image_statistics(x).double().numpy() for x in (normal, asked))
    unit = known.std(0).clip(1e-3)
    expected = KDTree(known / unit).query(own / unit)[0] / np.sqrt(known.shape[1])
    np.testing.assert_allclose(scorer(asked).numpy(), expected, rtol=1e-3)


def test_between_two_kinds_of_normal_images_is_no_normal_image():
    """Dark and bright parts: grey ones lie inside an ellipsoid around both, and near neither."""
    normal = torch.cat([textures(100, 0.2, 0.2, 0), textures(100, 0.8, 0.2, 1)])
    new = torch.cat([textures(50, 0.2, 0.2, 2), textures(50, 0.8, 0.2, 3)])
    between = textures(100, 0.5, 0.2, 4)
    found = []
    for score in (NearestStatistics(), ImageStatistics()):
        scorer = score.fit(Normals(normal), Parts())
        found.append(roc_auc_score([0] * 100 + [1] * 100, torch.cat([scorer(new), scorer(between)])))
    assert found[0] > 0.99
    assert found[1] < 0.8


def test_a_known_image_is_near():
    normal = textures(30, 0.5, 0.4, 0)
    assert (NearestStatistics().fit(Normals(normal), Parts())(normal) < 2e-3).all()


def test_it_keeps_so_many():
    normal = textures(50, 0.5, 0.4, 0).repeat(-(-(MOST + 100) // 50), 1, 1, 1)
    assert len(NearestStatistics().fit(Normals(normal), Parts()).known) == MOST
