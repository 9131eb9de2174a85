"""What the network is given at once: rows of pieces side by side, each with the row that follows as its target.

Axes: b batch, t time step, f field, n rows of a piece.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer

from ostinato.music.alignment import Alignment
from ostinato.music.codec import Codec
from ostinato.train.augmentation import with_key


class Batch(NamedTuple):
    """Teacher forcing: at each step the network sees `inputs` and is scored on `targets`, the row that follows."""

    inputs: Int[Array | np.ndarray, "b t _"]
    """The f fields of a row; in training of a network that is told keys one more, see `with_key`."""
    targets: Int[Array | np.ndarray, "b t f"]
    starts: Bool[Array | np.ndarray, "b t"]
    """True where the memory is reset before the step: at the first row of a piece, and where reading starts again."""
    weights: Float[Array | np.ndarray, "b t"]
    """0 where the target is the START row of the next piece, or padding; 1 elsewhere."""
    alignment: Alignment | None = None
    """What was heard some bars before each input, for a network with a copy gate; uint8 but for `rate`."""


class Rows(NamedTuple):
    """Some rows of a piece: as they are, and as the network hears them."""

    steps: Integer[np.ndarray, "n f"]
    heard: Integer[np.ndarray, "n f"]
    alignment: Alignment | None

    def cut(self, begin: int, end: int | None) -> "Rows":
        """Returns the rows from `begin` to before `end`."""
        return jax.tree.map(lambda column: column[begin:end], self)


def padded(
    excerpts: Sequence[Rows | None],
    sequence_length: int,
    codec: Codec,
    *,
    reset: bool,
    copy: bool,
    tell_keys: bool = False,
) -> Batch:
    """Returns the first sequence_length steps of each excerpt; what is missing is END rows of weight 0.

    `reset` says whether the memory is reset before the first step.
    """
    t = sequence_length
    weights = np.zeros((len(excerpts), t), np.float32)
    padding, rows = end_rows(codec, t + 1, copy=copy, tell_keys=tell_keys), []
    for row, excerpt in enumerate(excerpts):
        part = padding if excerpt is None or not len(excerpt.steps) else joined([excerpt.cut(0, t + 1), padding])
        rows.append(part.cut(0, t + 1))
        if excerpt is not None:
            weights[row, : max(0, min(len(excerpt.steps), t + 1) - 1)] = 1.0
    starts = np.zeros((len(excerpts), t), bool)
    starts[:, 0] = reset
    return batch_of(rows or [padding], starts, weights)


@functools.lru_cache(maxsize=8)  # it is asked for with every batch
def end_rows(codec: Codec, count: int, *, copy: bool, tell_keys: bool) -> Rows:
    """Returns so many END rows."""
    end = np.tile(np.array(codec.end, codec.dtype), (count, 1))
    return Rows(end, with_key(end, 0) if tell_keys else end, codec.align(end) if copy else None)


def joined(parts: Sequence[Rows]) -> Rows:
    """Returns the rows of all parts, one after the other."""
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *columns: np.concatenate(columns), *parts)


def batch_of(rows: Sequence[Rows], starts: Bool[np.ndarray, "b t"], weights: Float[np.ndarray, "b t"]) -> Batch:
    """Returns a batch of rows of t + 1 steps: each of the first t sees what it is, and predicts the next.

    At least one row is given, even where the batch has none.
    """
    steps, heard, alignment = jax.tree.map(lambda *columns: np.stack(columns)[: len(starts)], *rows)
    return Batch(
        inputs=heard[:, :-1].astype(np.int32),
        targets=steps[:, 1:].astype(np.int32),
        starts=starts,
        weights=weights,
        alignment=jax.tree.map(lambda column: column[:, :-1], alignment),
    )
