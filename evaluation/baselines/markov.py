"""Markov chains over rows with back-off: they say how probable music is, and write some.

Letters: n rows, f fields, v values of a field, k pairs of a question and a value.
"""

from collections.abc import Sequence
from typing import Literal

import jax
import numpy as np
from jaxtyping import Bool, Float, Integer

from ostinato.configs.errors import UserError
from ostinato.data import ngrams
from ostinato.data.ngram_files import Followers, NgramCounts
from ostinato.data.ngrams import ORDERS, Tape
from ostinato.music.codec import Codec

Smoothing = Literal["kneser-ney", "witten-bell"]

MAX_ROWS_PER_NOTE = 16
"""A generated piece with more rows than this has lost its way; it is cut."""

DEFAULT_NOTES = 1024
"""Notes after which a piece that does not end is cut."""


class NgramModel:
    """A Markov chain over rows, field by field; a shorter context helps where a longer one has been seen too rarely."""

    def __init__(
        self, name: str, counts: NgramCounts, codec: Codec, orders: tuple[int, ...], smoothing: Smoothing
    ) -> None:
        """Takes the counts of a training split.

        Args:
            name: for the tables.
            counts: of at least these orders.
            codec: whose rows were counted.
            orders: rows of context, longest first; below the last stands the uniform distribution.
            smoothing: "kneser-ney" or "witten-bell".
        """
        if counts.num_fields != len(codec.fields):
            raise UserError(
                f"the counts of n-grams are of {counts.num_fields} fields, the codec has {len(codec.fields)}"
            )
        self.name = name
        self.codec = codec
        self._counts = counts
        self._orders = orders
        self._smoothing = smoothing

    def probabilities(self, tape: Tape, field: int) -> Float[np.ndarray, "n v"]:
        """Returns what the chain expects of one field of every row, given the true fields before it."""
        size = self.codec.fields[field].size
        probability = np.full((len(tape.rows), size), 1.0 / size)
        homes = ngrams.context_hashes(tape, field, 1)
        orders = [order for order in reversed(self._orders) if order in ngrams.orders_of(field)]
        for order in orders:
            contexts = ngrams.context_hashes(tape, field, order)
            is_longest = order == orders[-1]
            seen = self._counts.followers(contexts, homes if order >= 1 else None, num_values=size)
            if self._smoothing == "witten-bell":
                _refine_witten_bell(probability, seen)
            else:
                counts = seen.counts if is_longest else seen.continuations
                discounts = self._counts.discounts(field, order, continuations=not is_longest)
                _refine_kneser_ney(probability, seen, counts, discounts)
        return probability

    def legal_probabilities(self, tape: Tape, field: int, allowed: Bool[np.ndarray, "n v"]) -> Float[np.ndarray, "n v"]:
        """Returns the same among the values that the grammar allows, so the legal rows add up to one."""
        masked = np.where(allowed, self.probabilities(tape, field), 0.0)
        return masked / masked.sum(1, keepdims=True)

    def generate(
        self, seed: int | Sequence[int], num_notes: int, primer: Integer[np.ndarray, "m f"] | None = None
    ) -> Integer[np.ndarray, "n f"]:
        """Returns a new piece; see `generate_all`."""
        return self.generate_all([seed], num_notes, primer)[0]

    def generate_all(
        self, seeds: Sequence[int | Sequence[int]], num_notes: int, primer: Integer[np.ndarray, "m f"] | None = None
    ) -> list[Integer[np.ndarray, "n f"]]:
        """Returns new pieces, legal under the codec's grammar, from START to END, written row by row side by side.

        Args:
            seeds: of each piece; the same one gives the same piece, whatever the others are.
            num_notes: in each piece, after the primer; a chord of the notes codec may go over it. 0 lets the chain end
                a piece, of at most DEFAULT_NOTES notes.
            primer: legal rows from START on, without END, that every piece begins with.
        """
        codec, wanted = self.codec, num_notes or DEFAULT_NOTES
        end_field, end_value = codec.eos
        rngs = [np.random.default_rng(seed) for seed in seeds]
        given = np.array([codec.start]) if primer is None else primer
        rows = [np.tile(row, (len(seeds), 1)) for row in given.astype(np.int64)]
        state = codec.grammar.start(np, len(seeds))
        for row in rows[1:]:
            state = codec.grammar.advance(np, state, row.astype(np.int32))
        most_rows = len(rows) - 1 + MAX_ROWS_PER_NOTE * wanted
        found, last_note = np.zeros(len(seeds), np.int64), np.full(len(seeds), len(rows) - 1)
        unfinished = np.arange(len(seeds))
        while len(unfinished) and len(rows) < most_rows:
            earlier = np.stack(rows[-ORDERS[-1] :], 1)[unfinished]
            row = np.zeros((len(unfinished), len(codec.fields)), np.int32)
            for field in range(len(codec.fields)):
                allowed = np.array(codec.grammar.allowed(np, state, row, field))
                if num_notes and field == end_field:
                    allowed[allowed.sum(1) > 1, end_value] = False
                tape = ngrams.last_rows(earlier, row, len(rows))
                probability = self.legal_probabilities(tape, field, allowed)
                row[:, field] = [
                    np.searchsorted(np.cumsum(one), rngs[number].random() * one.sum(), side="right")
                    for number, one in zip(unfinished, probability, strict=True)
                ]
            is_end = row[:, end_field] == end_value
            added = np.where(is_end, 0, np.asarray(codec.grammar.note_counts)[row[:, end_field]])
            found[unfinished] += added
            last_note[unfinished] = np.where(added > 0, len(rows), last_note[unfinished])
            rows.append(np.zeros_like(rows[0]))
            rows[-1][unfinished] = row
            state = codec.grammar.advance(np, state, row)
            still = ~is_end & (found[unfinished] < wanted)
            if not still.all():
                state = jax.tree.map(lambda column, chosen=still: column[chosen], state)
                unfinished = unfinished[still]
        # What follows the last note would announce one that never comes.
        return [
            np.concatenate([piece[: last + 1], [codec.end]]).astype(codec.dtype)
            for piece, last in zip(np.stack(rows, 1), last_note, strict=True)
        ]


def _refine_witten_bell(probability: Float[np.ndarray, "n v"], seen: Followers) -> None:
    """Mixes a longer context into the probabilities (Witten & Bell 1991, in the form of Chen & Goodman 1998).

    p(v | c) = (count(c, v) + kinds(c) p(v | shorter c)) / (total(c) + kinds(c)); where nothing was seen p stays.
    """
    total = np.bincount(seen.questions, seen.counts, len(probability))
    kinds = np.bincount(seen.questions, minlength=len(probability))
    whole = np.maximum(total + kinds, 1)
    probability *= np.where(total > 0, kinds / whole, 1.0)[:, None]
    probability[seen.questions, seen.values] += seen.counts / whole[seen.questions]


def _refine_kneser_ney(
    probability: Float[np.ndarray, "n v"],
    seen: Followers,
    counts: Float[np.ndarray, " k"],
    discounts: Float[np.ndarray, " 4"],
) -> None:
    """Mixes a longer context into the probabilities (modified Kneser-Ney, Chen & Goodman 1998, equation 23).

    p(v | c) = (count(c, v) - D(count(c, v))) / total(c) + p(v | shorter c) sum of D(count(c, w)) over w / total(c)
    """
    total = np.bincount(seen.questions, counts, len(probability))
    discount = discounts[np.minimum(counts, 3).astype(np.int64)]
    reserve = np.bincount(seen.questions, discount, len(probability))
    whole = np.maximum(total, 1)
    probability *= np.where(total > 0, reserve / whole, 1.0)[:, None]
    probability[seen.questions, seen.values] += (counts - discount) / whole[seen.questions]
