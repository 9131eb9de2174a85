"""Predictors that count: uniform, unigram, and a look-up table of the longest context that training has seen.

A row is predicted field by field, as the network does it. A context is the rows before and the fields already known.
Letters: n rows of all pieces one after the other, f fields.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt64

from ostinato.evaluation.scores import Score
from ostinato.music.codec import Codec

UNIGRAM = (0,)
LOOK_UP = (8, 4, 2, 1, 0)
"""Rows of context, longest first. Where windows of one piece are on both sides of a split, eight rows tell the next."""

_NO_CONTEXT = np.uint64(0x9E3779B97F4A7C15)


class _Table(NamedTuple):
    """Counts of one field after contexts of one length."""

    contexts: UInt64[np.ndarray, " c"]
    """Hashes, sorted."""
    totals: Int[np.ndarray, " c"]
    kinds: Int[np.ndarray, " c"]
    """Different values that followed."""
    favourites: Int[np.ndarray, " c"]
    """The value that followed most often, the smallest of equals."""
    pairs: UInt64[np.ndarray, " k"]
    """Hashes of context and value, sorted."""
    counts: Int[np.ndarray, " k"]


class CountingModel:
    """Interpolated counts over contexts of several lengths (Witten & Bell 1991, in the form of Chen & Goodman 1998).

    p(v | c) = (count(c, v) + kinds(c) * p(v | shorter c)) / (total(c) + kinds(c)); below the shortest context stand the
    field's own unigram and the uniform distribution. The likeliest value is the favourite of the longest known context.
    """

    def __init__(
        self, name: str, pieces: Sequence[Integer[np.ndarray, "n f"]], codec: Codec, orders: tuple[int, ...]
    ) -> None:
        """Counts the pieces, which begin with their START rows."""
        self.name = name
        self._codec = codec
        self._orders = orders
        rows, position = _tape(pieces)
        real = position > 0
        self._tables = [
            [_count(context[real], rows[real, field]) for context in self._contexts(rows, position, field)]
            for field in range(rows.shape[1])
        ]

    def score(self, pieces: Sequence[Integer[np.ndarray, "n f"]]) -> Score:
        """Returns how well the counts predict every row of the pieces but START."""
        rows, position = _tape(pieces)
        real = position > 0
        nats, correct = [], []
        for field, tables in enumerate(self._tables):
            value = rows[real, field]
            probability = np.full(len(value), 1.0 / self._codec.fields[field].size)
            guess = np.zeros(len(value), np.int64)
            contexts = self._contexts(rows, position, field)
            for table, context in zip(reversed(tables), reversed(contexts), strict=True):
                probability, guess = _refine(table, context[real], value, probability, guess)
            nats.append(-np.log(probability).sum())
            correct.append(guess == value)
        right: Bool[np.ndarray, "f n"] = np.stack(correct)
        num_notes = sum(int(self._codec.count_notes(piece).sum()) for piece in pieces)
        return Score(
            self.name, np.array(nats), right.sum(1).astype(float), right.all(0).sum(), float(real.sum()), num_notes
        )

    def _contexts(self, rows: np.ndarray, position: np.ndarray, field: int) -> list[UInt64[np.ndarray, " n"]]:
        """Returns the hash of each context of each row, the longest first, at last the empty one."""
        known = np.full(len(rows), _NO_CONTEXT)
        for column in range(field):
            known = _mix(known, rows[:, column].astype(np.uint64))
        whole = np.full(len(rows), _NO_CONTEXT)
        for column in range(rows.shape[1]):
            whole = _mix(whole, rows[:, column].astype(np.uint64))
        contexts = []
        for order in self._orders:
            context = known
            for back in range(1, order + 1):
                # Before the beginning of a piece there is nothing, and that is a context too.
                before = np.where(position >= back, np.roll(whole, back), np.uint64(0))
                context = _mix(context, before)
            contexts.append(_mix(context, np.full(len(rows), order, np.uint64)))
        return [*contexts, np.zeros(len(rows), np.uint64)]


def uniform(pieces: Sequence[Integer[np.ndarray, "n f"]], codec: Codec) -> Score:
    """Returns the score of knowing nothing but the number of values of each field."""
    sizes = np.array([field.size for field in codec.fields])
    num_rows = sum(len(piece) - 1 for piece in pieces)
    num_notes = sum(int(codec.count_notes(piece).sum()) for piece in pieces)
    return Score(
        "uniform", num_rows * np.log(sizes), num_rows / sizes, num_rows / float(np.prod(sizes)), num_rows, num_notes
    )


def _tape(pieces: Sequence[np.ndarray]) -> tuple[Integer[np.ndarray, "n f"], Int[np.ndarray, " n"]]:
    """Returns all rows one after the other, and the place of each in its piece."""
    rows = np.concatenate(pieces).astype(np.int64)
    position = np.concatenate([np.arange(len(piece)) for piece in pieces])
    return rows, position


def _mix(hashes: UInt64[np.ndarray, " n"], values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Returns the hashes with one more value each (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = (hashes ^ (values + np.uint64(1))) * np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _count(context: UInt64[np.ndarray, " n"], value: Int[np.ndarray, " n"]) -> _Table:
    pairs, first, counts = np.unique(_mix(context, value.astype(np.uint64)), return_index=True, return_counts=True)
    pair_context, pair_value = context[first], value[first]
    order = np.lexsort((pair_value, -counts, pair_context))
    contexts, begin, kinds = np.unique(pair_context[order], return_index=True, return_counts=True)
    totals = np.add.reduceat(counts[order], begin)
    return _Table(contexts, totals, kinds, pair_value[order][begin], pairs, counts)


def _refine(
    table: _Table, context: np.ndarray, value: np.ndarray, probability: np.ndarray, guess: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns probability and guess after looking at a longer context; unchanged where training has not seen it."""
    i, known = _find(table.contexts, context)
    k, seen = _find(table.pairs, _mix(context, value.astype(np.uint64)))
    count = np.where(seen, table.counts[k], 0)
    refined = (count + table.kinds[i] * probability) / (table.totals[i] + table.kinds[i])
    return np.where(known, refined, probability), np.where(known, table.favourites[i], guess)


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns a valid index for each wanted key, and whether the key is there."""
    i = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return i, keys[i] == wanted
