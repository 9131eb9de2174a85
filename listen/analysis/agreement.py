"""How far listeners agree: Krippendorff's alpha (Computing Krippendorff's alpha-reliability, 2011).

1 is perfect agreement, 0 is what chance would give. Letters: r listeners, u units (clips), v values.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

Metric = Literal["nominal", "ordinal"]


def krippendorff_alpha(ratings_ru: Float[np.ndarray, "r u"], metric: Metric) -> float:
    """Returns alpha; NaN where no unit has two values or all values are the same.

    Args:
        ratings_ru: NaN where a listener did not rate a unit.
        metric: nominal: values are the same or not; ordinal: how many values lie between them counts.
    """
    values = np.unique(ratings_ru[~np.isnan(ratings_ru)])
    counts_uv = (ratings_ru[:, :, None] == values).sum(axis=0).astype(np.float64)
    counts_uv = counts_uv[counts_uv.sum(axis=1) >= 2]
    if not len(counts_uv):
        return float("nan")
    size = counts_uv.sum(axis=1)
    pairs = counts_uv[:, :, None] * (counts_uv[:, None, :] - np.eye(len(values)))
    coincidences = (pairs / (size - 1)[:, None, None]).sum(axis=0)
    total = coincidences.sum(axis=1)
    difference = _difference(total, metric)
    observed = (coincidences * difference).sum()
    expected = (np.outer(total, total) * difference).sum() / (total.sum() - 1)
    return float(1 - observed / expected) if expected else float("nan")


def _difference(total: Float[np.ndarray, " v"], metric: Metric) -> Float[np.ndarray, "v v"]:
    """Returns how different each two values are, squared."""
    if metric == "nominal":
        return 1.0 - np.eye(len(total))
    below = np.cumsum(total) - total / 2
    return np.square(np.subtract.outer(below, below))
