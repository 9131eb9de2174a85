"""How unlike each other pieces are, and which takes make a set of unlike pieces. n pieces, k shares."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

from ostinato.music.piece import Piece
from ostinato.sample.generate import Generated
from ostinato.train.judge.excerpts import FIELDS, excerpt, hear

COMPARED = ("shift", "place in the bar", "duration", "pitch", "interval", "drum")
"""What is compared of the notes as a judge hears them: rhythm and melody, and neither key nor loudness."""


def describe_notes(piece: Piece) -> Float[np.ndarray, " k"]:
    """Returns how large a share of the notes has each value of each field of COMPARED."""
    heard = hear(piece)
    if not heard.num_notes:
        return np.zeros(sum(field.size for field in FIELDS if field.name in COMPARED))
    columns = excerpt(heard, 0, heard.num_notes).T
    counts = [
        np.bincount(column, minlength=field.size)
        for field, column in zip(FIELDS, columns, strict=True)
        if field.name in COMPARED
    ]
    return np.concatenate(counts) / heard.num_notes


def distances(one: Float[np.ndarray, " k"], others: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Returns how unlike pieces are that `describe_notes` described: 0 the same shares, 1 no value in common.

    The mean over the fields of the Jensen-Shannon divergence in bits (Lin 1991).
    """
    middle = (one[None] + others) / 2
    nats = (xlogy(one, one).sum() + xlogy(others, others).sum(1)) / 2 - xlogy(middle, middle).sum(1)
    return np.maximum(nats / np.log(2) / len(COMPARED), 0.0)


def distance_table(pieces: Sequence[Piece]) -> Float[np.ndarray, "n n"]:
    """Returns the distance of each piece from each other."""
    described = np.stack([describe_notes(piece) for piece in pieces])
    return np.stack([distances(one, described) for one in described])


def choose_unlike(
    candidates: Sequence[Sequence[Generated]],
    score: Callable[[Generated], float],
    piece_of: Callable[[Generated], Piece],
) -> list[Generated]:
    """Returns one candidate of each piece: of the better half that which is least like any piece chosen before.

    Greedy max-min (Gonzalez 1985): of each piece the candidate whose nearest earlier piece is the farthest. So a piece
    depends on those before it, and not on how many come after it. The first one is the best.

    Args:
        candidates: of each piece.
        score: more is better; of at most three candidates two are left, of one it.
        piece_of: gives the music that is compared.
    """
    chosen: list[Generated] = []
    described: list[Float[np.ndarray, " k"]] = []
    for few in candidates:
        better = sorted(few, key=score, reverse=True)[: max(len(few) // 2, 2)]
        heard = [describe_notes(piece_of(one)) for one in better]
        best = 0
        if described:
            others = np.stack(described)
            best = int(np.argmax([distances(one, others).min() for one in heard]))
        chosen.append(better[best])
        described.append(heard[best])
    return chosen


def describe_set(pieces: Sequence[Piece]) -> dict[str, float] | None:
    """Returns the mean distance of two pieces and that of the two most alike; None for fewer than two pieces."""
    if len(pieces) < 2:
        return None
    table = distance_table(pieces)
    pairs = [float(table[pair]) for pair in itertools.combinations(range(len(pieces)), 2)]
    return {"mean": round(float(np.mean(pairs)), 4), "least": round(min(pairs), 4)}
