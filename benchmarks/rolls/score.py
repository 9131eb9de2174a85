"""What is compared: nats per frame, and the models without a network that show whether the counting is right.

The protocol, of Bai et al. (2018) and of the papers whose numbers stand in `table.py`:

- a model reads frames 1..t of a piece, whole and from a zero state, and is scored on frame t + 1: frames 2..T count;
- the nats of a frame are the sum over its 88 keys; silent frames count like any other;
- the mean is over all frames of all pieces of a split (micro average), never over padding and never over pieces' means.

Axes: t frame, k key.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ostinato.benchmarks.rolls.read import NUM_KEYS, Roll


class Score(NamedTuple):
    """A sum and the number of frames in it."""

    nats: float
    frames: int

    @property
    def nats_per_frame(self) -> float:
        """The mean over frames."""
        return self.nats / self.frames


def uniform(frames: Roll) -> Float[np.ndarray, " t"]:
    """Returns the nats of each frame where every key is on or off with the same probability: 88 ln 2 = 61.00."""
    return np.full(len(frames), NUM_KEYS * np.log(2.0))


def fit_independent_keys(pieces: Sequence[Roll]) -> Callable[[Roll], Float[np.ndarray, " t"]]:
    """Returns the IID note model: each key is on as often as in all frames of `pieces`, whatever else sounds.

    One frame with the key on and one with it off are added to the count, so that no note is impossible.
    """
    frames = np.concatenate(pieces).astype(np.float64)
    on_k = (frames.sum(axis=0) + 1) / (len(frames) + 2)

    def nats(frames: Roll) -> Float[np.ndarray, " t"]:
        return -(frames @ np.log(on_k) + (1 - frames.astype(np.float64)) @ np.log1p(-on_k))

    return nats


def score_frames(
    nats_of: Callable[[Roll], Float[np.ndarray, " t"]], pieces: Sequence[Roll], *, first: int = 2
) -> Score:
    """Returns what a model without memory scores on frames `first`..T (counted from 1) of every piece."""
    return Score(
        float(sum(nats_of(piece[first - 1 :]).sum() for piece in pieces)),
        sum(max(len(piece) - first + 1, 0) for piece in pieces),
    )
