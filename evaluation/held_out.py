"""Which pieces of a dataset the summary speaks of."""

import numpy as np
from jaxtyping import Int

from ostinato.data.records import Dataset

HELD_OUT = ("test", "validation")


def held_out_split(dataset: Dataset) -> str | None:
    """Returns test, or validation where there is no test split, or None where there is neither."""
    return next((split for split in HELD_OUT if split in dataset.splits), None)


def choose_pieces(num_pieces: int, at_most: int) -> Int[np.ndarray, " p"]:
    """Returns the numbers of pieces, spread evenly if they are too many; 0 is all."""
    if not at_most or num_pieces <= at_most:
        return np.arange(num_pieces)
    return np.arange(at_most) * num_pieces // at_most
