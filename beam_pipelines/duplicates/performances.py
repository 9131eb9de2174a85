"""Performances of one work, which share a split: in other time, with ornaments and wrong notes.

A piece's sketch is MinHash (see `voices`) over runs of five highest notes, then of five lowest ones: pitches without
their times, so that rubato is not seen, and runs so short that most are whole though a note in ten is wrong. With each
value goes where the run stands. Two pieces are performances of one work if enough values are equal and in the same
order in both. Another key is not seen here.

Measured with runs in one order for each line: of 104 pairs of performances of one piano work 96 to 98 % share a group
(before, half). docs/performances.md tells how many are found of scores played twice, and why the threshold is no lower.
Short pieces are looked for in another way too: `aligned`.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import UInt8, UInt32

from ostinato.beam_pipelines.duplicates.pairs import Pairs, PairSet, equal_neighbours, take_pairs
from ostinato.beam_pipelines.duplicates.stored import Column
from ostinato.beam_pipelines.duplicates.voices import mix

NUM_BINS = 256

MIN_IN_ORDER = 16
"""Runs that two performances have in common, in the same order in both."""

_RUN = 5
"""Notes in a run."""

BINS_TOGETHER = 4
"""Pieces with two equal values in one set of so many bins are compared: nearly all that have a tenth of them equal."""

_MAX_NEIGHBOURS = 32
"""Among more pieces with the same two values, each is compared with so many."""

_EMPTY = np.iinfo(np.uint32).max


def sketch_performance(pitch: UInt8[np.ndarray, " n"]) -> UInt32[np.ndarray, " 256"]:
    """Returns the least value of the runs in each bin, and in its lowest 8 bits where that run stands.

    Args:
        pitch: the highest notes of a piece and then others, in order, each of which is in one of the two.
    """
    sketch = np.full(NUM_BINS, _EMPTY, np.uint32)
    num_runs = len(pitch) - _RUN + 1
    if num_runs > 0:
        notes = pitch.astype(np.uint64)
        two = notes[:-1] << np.uint64(8) | notes[1:]
        run = (two[:-2] << np.uint64(16) | two[2:])[:num_runs] << np.uint64(8) | notes[_RUN - 1 :]
        run = mix(run)
        place = (np.arange(num_runs) * 256 // num_runs).view(np.uint64)
        value = run >> np.uint64(24) & np.uint64(0xFFFFFF00) | place
        np.minimum.at(sketch, (run >> np.uint64(56)).view(np.int64), value.astype(np.uint32))
    return sketch


def link_performances(sketches: Column, bins: Sequence[Column]) -> Iterator[Pairs]:
    """Yields pairs of pieces that are performances of one work.

    Args:
        sketches: of all pieces, which are numbered from 0.
        bins: their columns, BINS_TOGETHER at a time.
    """
    compared = PairSet()
    for column in bins:
        values = column.read()
        found = [pair for chosen in combinations(range(BINS_TOGETHER), 2) for pair in _share(values[:, chosen])]
        for pairs in compared.add(found):
            yield _compare(sketches, pairs)


def _share(both: UInt32[np.ndarray, "n 2"]) -> Iterator[Pairs]:
    """Yields the pairs of pieces that have two values in common; of more than _MAX_NEIGHBOURS not all."""
    full = np.flatnonzero((both != _EMPTY).all(axis=1))
    value = (both[full] >> np.uint32(8)).astype(np.uint64)
    key = value[:, 0] << np.uint64(24) | value[:, 1]
    order = np.argsort(key, kind="stable")
    key, pieces = key[order], full[order]
    for first, second in equal_neighbours(key, _MAX_NEIGHBOURS):
        yield pieces[first], pieces[second]


def _compare(sketches: Column, pairs: Pairs) -> Pairs:
    """Returns those of some pairs that have enough runs in common, in order."""
    pieces, (one, other) = take_pairs(pairs)
    values = sketches.take(pieces)
    common = (values[one] ^ values[other] < 256) & (values[one] != _EMPTY)
    near = [
        i
        for i in np.flatnonzero(common.sum(axis=1) >= MIN_IN_ORDER).tolist()
        if _are_in_order(values[one[i]][common[i]], values[other[i]][common[i]])
    ]
    return pairs[0][near], pairs[1][near]


def _are_in_order(one: UInt32[np.ndarray, " k"], other: UInt32[np.ndarray, " k"]) -> bool:
    """Returns whether MIN_IN_ORDER equal runs can be chosen so that they stand in the same order in both pieces."""
    places = np.sort((one & 255) << 8 | other & 255) & 255
    ends: list[int] = []  # the least place at which so many runs in order can end
    for place in places.tolist():
        at = bisect_right(ends, place)
        if at == MIN_IN_ORDER - 1:
            return True
        ends[at : at + 1] = [place]
    return False
