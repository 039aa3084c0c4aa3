"""The handwritten digits that come with scikit-learn: always there, without a download."""

from __future__ import annotations

import numpy as np

from robustbench_lite.data.source import RawPixels, Source


def digits() -> Source:
    """1,797 real handwritten digits, 8×8 grey, inside scikit-learn.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998, doi:10.24432/C50P49 (its test part). Values are 0 to 16.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.asarray(bunch.images).astype(np.uint8)
    labels = np.asarray(bunch.target).astype(np.int64)

    def read(i: int) -> RawPixels:
        image: RawPixels = images[i].astype(np.float32) / np.float32(16)
        return image

    return Source(
        labels=labels,
        class_names=tuple("0123456789"),
        files=tuple(str(i) for i in range(len(labels))),
        read=read,
        # There is no usual budget. 0.5 is MNIST's 2.0 times the root of the ratio of pixels, rounded; 0.1 is
        # less than MNIST's 0.3, because these strokes are grey at the edges.
        eps={"linf": 0.1, "l2": 0.5},
    )
