"""Which pieces have voices much like each other, from the sketches of all voices (see `voices`)."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt16, UInt32

from ostinato.beam_pipelines.duplicates.pairs import (
    Pairs,
    PairSet,
    begins,
    equal_neighbours,
    link_equal,
    recurring,
    take_pairs,
)
from ostinato.beam_pipelines.duplicates.prints import Prints, first_of, owner_of
from ostinato.beam_pipelines.duplicates.voices import NUM_BANDS, rhythms_of

MIN_COMMON_BANDS = 4
"""Voices with this many bands in common are the same music. Of voices that share half of their n-grams this finds 60 %,
of those that share a fifth 0.3 %. No two voices from different ones of the seven real corpora share more than 17 %; by
how much they share, there would be 200 false links among a million pieces (with 3 bands 10,000)."""

MIN_EQUAL_TIMES = 0.7
"""Of the times in the bands that two voices have in common so many must be equal, or else only the pitches are the
same: a scale in another rhythm."""

_MAX_NEIGHBOURS = 8
"""Among more voices with the same two bands, each is compared with this many."""


class Near(NamedTuple):
    """Pairs of pieces with voices much like each other."""

    one: Int64[np.ndarray, " k"]
    other: Int64[np.ndarray, " k"]
    in_time: Bool[np.ndarray, " k"]
    """Whether the rhythm is alike too."""


def link_near(prints: Prints) -> Near:
    """Returns pairs of pieces with voices that have at least MIN_COMMON_BANDS bands in common."""
    first = first_of(prints.num_voices)
    found = [Near(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_))]
    distinct = np.zeros(len(prints.voice), np.bool_)
    for voices, value in prints.voice_hash.in_ranges():
        one, other = link_equal(value, owner_of(first, voices))
        found.append(Near(one, other, np.ones(len(one), np.bool_)))
        order = np.argsort(value, kind="stable")
        distinct[voices[order[begins(value[order])]]] = True
    # From here on equal voices are one.
    voices, recurs = _choose(prints, distinct)
    compared = PairSet()
    # Of MIN_COMMON_BANDS bands two leave the same remainder here, so that comparing within remainders finds all pairs.
    for one, other in combinations(range(NUM_BANDS), 2):
        if (other - one) % (MIN_COMMON_BANDS - 1) == 0:
            both = np.uint16(1 << one | 1 << other)
            candidates = list(_share(prints, voices[recurs & both == both], (one, other)))
            found += [_compare(prints, first, pairs) for pairs in compared.add(candidates)]
    return Near(*map(np.concatenate, zip(*found, strict=True)))


def _choose(
    prints: Prints, distinct: Bool[np.ndarray, " v"]
) -> tuple[Int64[np.ndarray, " k"], UInt16[np.ndarray, " k"]]:
    """Returns the voices with enough bands that others have too, in the order of their hashes, and a bit for each band.

    The owners' numbers have no part in that order, and so none in what is found.
    """
    recurs = np.zeros(len(distinct), np.uint16)
    for band, column in enumerate(prints.bands):
        for voices, value in column.in_ranges():
            among = distinct[voices]
            voices = voices[among]
            recurs[voices[recurring(value[among])]] |= np.uint16(1 << band)
    chosen = np.flatnonzero(np.bitwise_count(recurs) >= MIN_COMMON_BANDS)
    chosen = chosen[np.argsort(prints.voice_hash.take(chosen))]
    return chosen, recurs[chosen]


def _share(prints: Prints, voices: Int64[np.ndarray, " k"], chosen: tuple[int, int]) -> Iterator[Pairs]:
    """Yields the pairs of voices that have two bands in common; of more than _MAX_NEIGHBOURS not all."""
    one, other = (prints.bands[band].read()[voices] for band in chosen)
    key = one.astype(np.uint64) << np.uint64(32) | other
    order = np.argsort(key, kind="stable")
    key, voices = key[order], voices[order]
    for first, second in equal_neighbours(key, _MAX_NEIGHBOURS):
        yield np.minimum(voices[first], voices[second]), np.maximum(voices[first], voices[second])


def _compare(prints: Prints, first: Int64[np.ndarray, " n"], pairs: Pairs) -> Near:
    """Returns the near pairs of pieces among some pairs of voices."""
    voices, (one, other) = take_pairs(pairs)
    sketches, owner = prints.voice.take(voices), owner_of(first, voices)
    common = sketches[one, :NUM_BANDS] == sketches[other, :NUM_BANDS]
    near = common.sum(axis=1) >= MIN_COMMON_BANDS
    one, other, common = one[near], other[near], common[near]
    in_time = _share_times(sketches[one], sketches[other], common) >= MIN_EQUAL_TIMES
    return Near(owner[one], owner[other], in_time)


def _share_times(
    one: UInt32[np.ndarray, "k 24"], other: UInt32[np.ndarray, "k 24"], common: Bool[np.ndarray, "k 16"]
) -> Float64[np.ndarray, " k"]:
    """Returns which share of the times in the common bands is equal."""
    differ = rhythms_of(one) ^ rhythms_of(other)
    differ = (differ | differ >> np.uint16(1)) & np.uint16(0x5555)  # a time has two bits
    num_times = 8 * common.sum(axis=1)
    return 1 - np.where(common, np.bitwise_count(differ), 0).sum(axis=1) / num_times
