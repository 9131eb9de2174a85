"""How unlike the pieces of a set are to each other, beside real pieces: a model may write well and always the same.

Letters: n pieces, d features, r resamples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from ostinato.evaluation.bootstrap import NUM_RESAMPLES, SEED, interval
from ostinato.music.piece import Piece
from ostinato.sample.diversity import distance_table


def compare_diversity(
    table_nd: Float[np.ndarray, "n d"], pieces: Sequence[Piece], num_generated: int
) -> dict[str, dict[str, Any]]:
    """Returns the mean distance of two generated pieces and of two real ones, each with its interval, ready for JSON.

    `features`: in the space of the Fréchet distance, counted so that 1 is about what two real pieces are apart.
    `notes`: how unlike the notes are in rhythm and melody, as `ostinato sample --diverse` counts it, from 0 to 1.

    Args:
        table_nd: scalars in deviations of the real pieces; of generated pieces first.
        pieces: the same pieces.
        num_generated: how many come first.
    """
    num_features = max(table_nd.shape[1], 1)
    spaces = {"features": cdist(table_nd, table_nd) / (2 * num_features) ** 0.5, "notes": distance_table(pieces)}
    return {
        name: {
            who: mean_of_pairs(distance_nn[half, half])
            for who, half in (("generated", slice(num_generated)), ("real", slice(num_generated, None)))
        }
        for name, distance_nn in spaces.items()
    }


def mean_of_pairs(distance_nn: Float[np.ndarray, "n n"]) -> dict[str, Any]:
    """Returns the mean distance of two different pieces, and where it lies in resamples of the pieces.

    Of a piece that was drawn twice the distance from itself does not count.
    """
    num_pieces = len(distance_nn)
    rng = np.random.default_rng(SEED)
    drawn_rn = rng.multinomial(num_pieces, np.full(num_pieces, 1 / num_pieces), size=NUM_RESAMPLES)
    sums = np.einsum("rn,nm,rm->r", drawn_rn, distance_nn, drawn_rn, optimize=True)
    counts = num_pieces**2 - (drawn_rn**2).sum(1)
    mean = distance_nn.sum() / (num_pieces * (num_pieces - 1))
    return {"mean": float(mean), "interval": list(interval(sums[counts > 0] / counts[counts > 0]))}
