"""Confidence intervals by resampling pieces: notes of one piece depend on each other, pieces hardly do.

Letters: p pieces, c columns of sums, r resamples.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

NUM_RESAMPLES = 1000
LEVEL = 0.95
SEED = 0

_CELLS = 2**22
"""Weights that are in memory at the same time."""


class Interval(NamedTuple):
    """Where LEVEL of the resamples lie, as many above as below (the percentile method, Efron & Tibshirani 1993)."""

    low: float
    high: float


def resampled_sums(
    sums_pc: Float[np.ndarray, "p c"], *, num_resamples: int = NUM_RESAMPLES, seed: int = SEED
) -> Float[np.ndarray, "r c"]:
    """Returns the sum of each column over p pieces that are drawn with replacement, many times.

    The draws depend on the number of pieces and the seed alone, so sums of several predictors over the same pieces are
    paired: the intervals of their differences are right, whether they are computed together or one by one.
    """
    num_pieces = len(sums_pc)
    rng = np.random.default_rng(seed)
    rows_at_once = max(1, _CELLS // max(num_pieces, 1))
    parts = []
    for begin in range(0, num_resamples, rows_at_once):
        count = min(rows_at_once, num_resamples - begin)
        drawn = rng.integers(num_pieces, size=(count, num_pieces)) + num_pieces * np.arange(count)[:, None]
        times_drawn = np.bincount(drawn.ravel(), minlength=count * num_pieces).reshape(count, num_pieces)
        parts.append(times_drawn @ sums_pc)
    return np.concatenate(parts)


def interval(values_r: Float[np.ndarray, " r"]) -> Interval:
    """Returns the interval that the values of a figure in all resamples make."""
    low, high = np.quantile(values_r, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
