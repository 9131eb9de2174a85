"""Short pieces that are performances of one work, note by note.

Of a short piece in which one note in ten is wrong too few runs are whole for `performances`. It is looked for as
sequences are in biology (Altschul et al. 1990, BLAST): pieces that have rare runs in common are candidates, and two
candidates are performances of one work if few notes have to be changed, added and left out to make the one of the other
(Levenshtein). All of both pieces counts: tunes that share a phrase need too many. Accompaniments of a few chords say
nothing, since unrelated ones are as much alike. docs/performances.md has what was measured.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt32, UInt64
from rapidfuzz.distance import Levenshtein

from ostinato.beam_pipelines.duplicates.pairs import (
    PAIRS_AT_ONCE,
    Pairs,
    PairSet,
    begins,
    equal_neighbours,
    recurring,
    take_pairs,
)
from ostinato.beam_pipelines.duplicates.stored import Column
from ostinato.beam_pipelines.duplicates.voices import mix

MAX_LINE = 512
"""Notes; longer pieces have runs enough."""

_MIN_LINE = 32

MIN_VARIETY = 6.0
"""So many highest notes there are, by exp(entropy): of Nottingham's melodies 95 % have more, of its chords 4 %."""

MAX_CHANGED = 0.38
"""Of the notes of the longer piece. Two performances with 10 % of wrong notes each differ in 21 to 36 % of them."""

NUM_SEEDS = 64
MIN_SEEDS = 2
"""Runs that candidates have in common, of the least in each bin: at 10 % of wrong notes 95 % have them."""

_RUN = 6
"""Notes in a run."""

_MAX_SHARING = 8
"""A run that more groups have is common property and makes no candidates."""

_EMPTY = np.iinfo(np.uint32).max


def line_of(outer: UInt8[np.ndarray, " n"]) -> UInt8[np.ndarray, " k"]:
    """Returns the outer notes of a piece, or none if they are too many, too few or too much alike.

    Args:
        outer: the highest notes of a piece in order and then, with 128 added, lowest ones.
    """
    if not _MIN_LINE <= len(outer) <= MAX_LINE:
        return outer[:0]
    counts = np.bincount(outer)[:128]
    share = counts[counts > 0] / counts.sum()
    return outer if np.exp(-(share * np.log(share)).sum()) >= MIN_VARIETY else outer[:0]


def find_seeds(line: UInt8[np.ndarray, "n 512"], length: Int64[np.ndarray, " n"]) -> UInt32[np.ndarray, "n 64"]:
    """Returns the least value of the runs of each piece in each bin (MinHash; see `voices`)."""
    seeds = np.full((len(line), NUM_SEEDS), _EMPTY, np.uint32)
    num_runs = np.maximum(length - _RUN + 1, 0)
    piece = np.repeat(np.arange(len(line)), num_runs)
    first = np.arange(len(piece)) - np.repeat(np.cumsum(num_runs) - num_runs, num_runs)
    run = np.zeros(len(piece), np.uint64)
    for place in range(_RUN):
        run = run << np.uint64(8) | line[piece, first + place]
    run = mix(run)
    bins = (run >> np.uint64(58)).astype(np.int64)
    np.minimum.at(seeds.reshape(-1), piece * NUM_SEEDS + bins, (run >> np.uint64(20)).astype(np.uint32))
    return seeds


class Lines(NamedTuple):
    """The lines of all pieces, on disk; pieces are numbered from 0."""

    notes: Column
    """See `line_of`; filled up with zeros."""
    length: Column
    """How many notes those are."""
    seeds: Column
    """See `find_seeds`."""
    bins: Sequence[Column]
    """The columns of `seeds`."""


def link_aligned(lines: Lines, group: Int32[np.ndarray, " n"], whole: UInt64[np.ndarray, " n"]) -> Iterator[Pairs]:
    """Yields pairs of pieces that are performances of one work.

    Args:
        lines: of all pieces.
        group: equal for pieces that are of one group already, which are not compared.
        whole: a hash of each piece; of a group with a run the piece with the least hash stands for it.
    """
    length, compared = lines.length.read(), PairSet()
    for column in lines.bins:
        for pieces, values in column.in_ranges():
            candidates = []
            for one, other in _with_equal_seeds(pieces, values, group, whole):
                longer, shorter = np.maximum(length[one], length[other]), np.minimum(length[one], length[other])
                possible = longer - shorter <= MAX_CHANGED * longer
                candidates.append((np.minimum(one, other)[possible], np.maximum(one, other)[possible]))
            # Most have but this one in common and do not come again: what was compared stays short without them.
            for pairs in compared.add(_with_common_seeds(lines.seeds, candidates)):
                yield _align(lines, pairs)


def _with_equal_seeds(
    pieces: Int64[np.ndarray, " k"],
    values: UInt32[np.ndarray, " k"],
    group: Int32[np.ndarray, " n"],
    whole: UInt64[np.ndarray, " n"],
) -> Iterator[Pairs]:
    """Yields pairs of pieces of different groups with equal values in one bin, if they are not common property."""
    again = (values != _EMPTY) & recurring(values)
    pieces, values = pieces[again], values[again]
    order = np.lexsort((whole[pieces], group[pieces], values))
    pieces, values = pieces[order], values[order]
    one_of_group = begins(values) | begins(group[pieces])
    pieces, values = pieces[one_of_group], values[one_of_group]
    number = np.cumsum(begins(values)) - 1
    rare = np.bincount(number)[number] <= _MAX_SHARING
    pieces, values = pieces[rare], values[rare]
    for first, second in equal_neighbours(values, _MAX_SHARING - 1):
        yield pieces[first], pieces[second]


def _with_common_seeds(seeds: Column, candidates: Iterable[Pairs]) -> Iterator[Pairs]:
    """Yields those of some pairs that have MIN_SEEDS runs in common."""
    for one, other in candidates:
        for begin in range(0, len(one), PAIRS_AT_ONCE):
            pairs = one[begin : begin + PAIRS_AT_ONCE], other[begin : begin + PAIRS_AT_ONCE]
            pieces, places = take_pairs(pairs)
            values = seeds.take(pieces)
            common = (values[places[0]] == values[places[1]]) & (values[places[0]] != _EMPTY)
            enough = common.sum(axis=1) >= MIN_SEEDS
            yield pairs[0][enough], pairs[1][enough]


def _align(lines: Lines, pairs: Pairs) -> Pairs:
    """Returns those of some pairs that differ in few notes."""
    pieces, places = take_pairs(pairs)
    sizes = lines.length.take(pieces).tolist()
    notes = [line[:size].tobytes() for line, size in zip(lines.notes.take(pieces), sizes, strict=True)]
    near = [_are_near(notes[one], notes[other]) for one, other in zip(*map(np.ndarray.tolist, places), strict=True)]
    return pairs[0][near], pairs[1][near]


def _are_near(one: bytes, other: bytes) -> bool:
    """Returns whether few notes have to be changed, added or left out to make the one of the other."""
    most = int(MAX_CHANGED * max(len(one), len(other)))
    return Levenshtein.distance(one, other, score_cutoff=most) <= most
