"""Which pieces repeat which, and which belong together, from the fingerprints of all of them.

A piece **repeats** another if it has the same notes in the same rhythm, if a voice of it is much like one of the other
(another ending, arrangement or key of the same music), or if all of it is one track of the other (a melody alone).

Pieces are of one **group** if they repeat one another, share a track, have voices with the same pitches in another
rhythm or are performances of one work (see `performances`), directly or through others. Two songs over the same
accompaniment are of one group, though neither repeats the other.

Measured on 6,331 real pieces: no link between two corpora, and those within one that were looked at are true (17 or
more equal intervals in a row). All of Nottingham's 1,034 tunes have their three files in one group; the largest group
has 162 of these files: tunes that share phrases, one with the next. Changed
copies are found: tracks merged or split 100 %, beginning replaced (15 %) 99 %, grace notes on 5 % 99 %, chords played
unevenly 98 %, ending replaced (30 %) 94 %, 5 % of the notes missing 93 %, another accompaniment in other tracks 89 %
(in one group 99 %), another accompaniment in the melody's own track 18 %.
Of 1,150 drum performances in another tempo all are found (written twice, three or four times as slow; before the place
in the bar was compared in two ways, 93 %).
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int16, Int64, Integer, UInt32, UInt64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ostinato.beam_pipelines.duplicates.fingerprint import TELLING, TIMES_SPAN, Stacked
from ostinato.beam_pipelines.duplicates.performances import Pairs, equal_neighbours, link_performances
from ostinato.beam_pipelines.duplicates.voices import NUM_BANDS, rhythms_of

MIN_COMMON_BANDS = 4
"""Voices with this many bands in common are the same music. Of voices that share half of their n-grams this finds 60 %,
of those that share a fifth 0.3 %. No two voices from different ones of the seven real corpora share more than 17 %; by
how much they share, there would be 200 false links among a million pieces (with 3 bands 10,000)."""

MIN_EQUAL_TIMES = 0.7
"""Of the times in the bands that two voices have in common so many must be equal, or else only the pitches are the
same: a scale in another rhythm."""

MAX_TIME_APART = 1 / 16
"""Quarter notes; notes that are less apart are at the same time. A sixteenth and a triplet are 1/12 apart."""

_MAX_NEIGHBOURS = 8
"""Among more voices with the same two bands, each is compared with this many."""

_MAX_SHARING = 100
"""A track that more pieces have, of which none repeats another, is common property and connects nothing."""

_MANY_VOICES = 2**20
"""From so many on it is quicker to count values in a table of 128 MB than to sort them."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


class Columns(NamedTuple):
    """All pieces, numbered from 0."""

    rank: Int64[np.ndarray, " n"]
    """Of pieces that repeat one another the one with the highest rank is kept; no two are equal."""
    num_notes: Int64[np.ndarray, " n"]
    prints: Sequence[Stacked]
    """The fingerprints of the first pieces, of the next, and so on."""
    fixed: Int64[np.ndarray, " n"]
    """Pieces with the same number are one group, and those with different ones are not; -1 says nothing."""


class Relations(NamedTuple):
    """What is known of each piece."""

    same: Int64[np.ndarray, " n"]
    """A number that it shares with the pieces that have the same notes in the same rhythm."""
    group: Int64[np.ndarray, " n"]
    """From 0, in no particular order."""
    best: Int64[np.ndarray, " n"]
    """The piece to keep of those that this one repeats; possibly itself."""


class _Near(NamedTuple):
    """Pairs of pieces with voices much like each other."""

    one: Int64[np.ndarray, " k"]
    other: Int64[np.ndarray, " k"]
    in_time: Bool[np.ndarray, " k"]
    """Whether the rhythm is alike too."""


def relate(columns: Columns) -> Relations:
    """Returns the relations between all pieces; they do not depend on how the pieces are numbered."""
    whole, times, span, leads, parts, num_parts, num_voices = (
        np.concatenate([getattr(block, name) for block in columns.prints])
        for name in ("whole", "times", "span", "leads", "parts", "num_parts", "num_voices")
    )
    pieces = np.arange(len(whole))
    first_part = np.cumsum(num_parts) - num_parts
    part_owner = np.repeat(pieces, num_parts)
    shapes, timed = parts.T
    telling = (shapes & np.uint64(TELLING)).astype(np.bool_)
    beginning, tells = timed[first_part], np.flatnonzero(telling[first_part])
    found = list(_link_near([block.voices for block in columns.prints], np.repeat(pieces, num_voices)))
    near = _Near(*map(np.concatenate, zip(*found, strict=True)))
    same = _connect(len(pieces), *_link_same(whole, times, span, leads))
    alike = _connect(
        len(pieces),
        (pieces, best_of(same, columns.rank)),
        _link_equal(beginning[tells], tells),
        (near.one[near.in_time], near.other[near.in_time]),
    )
    chosen = best_of(alike, columns.rank)

    is_track = np.ones(len(timed), np.bool_)
    is_track[first_part] = False
    container = _find_containers(beginning, timed[is_track], part_owner[is_track], columns)
    # Notes increase from each chosen piece to its container's chosen piece, so that this comes to an end.
    best = np.where(chosen == pieces, chosen[container], pieces)
    while (further := best[best]).tobytes() != best.tobytes():
        best = further

    versions = _connect(len(pieces), (pieces, chosen), (near.one, near.other))
    links = (
        (pieces, chosen),
        (pieces, container),
        (near.one, near.other),
        *link_performances([block.performance for block in columns.prints]),
        _link_shared(shapes[telling], part_owner[telling], versions),
    )
    labelled = np.flatnonzero(columns.fixed >= 0)
    group = _connect(
        len(pieces),
        *(_within_fixed(link, columns.fixed) for link in links),
        _link_equal(columns.fixed[labelled], labelled),
    )
    return Relations(same, group, best[chosen])


def _within_fixed(pairs: Pairs, fixed: Int64[np.ndarray, " n"]) -> Pairs:
    """Returns the pairs but for those of pieces that are fixed in different groups."""
    one, other = pairs
    allowed = (fixed[one] == fixed[other]) | (fixed[one] < 0) | (fixed[other] < 0)
    return one[allowed], other[allowed]


def best_of(label: Integer[np.ndarray, " n"], rank: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Returns for each piece the one with the highest rank of those with the same label."""
    order = np.lexsort((-rank, label))
    begins = _begins(label[order])
    best = np.empty(len(order), np.int64)
    best[order] = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    return best


def _begins(values: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Returns where a sorted column has another value than before."""
    begins = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return begins


def _connect(num_pieces: int, *links: Pairs) -> Int64[np.ndarray, " n"]:
    """Returns a number for each piece that is the same for pieces that are linked, directly or through others."""
    one, other = (np.concatenate(ends) for ends in zip(*links, strict=True))
    graph = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(num_pieces, num_pieces))
    _, label = connected_components(graph, directed=False)
    return label.astype(np.int64)


def _link_equal(values: UInt64[np.ndarray, " k"], owner: Int64[np.ndarray, " k"]) -> Pairs:
    """Returns as many pairs of owners as it takes to connect all those of equal values."""
    order = np.argsort(values, kind="stable")
    again = ~_begins(values[order])[1:]
    return owner[order[:-1][again]], owner[order[1:][again]]


def _link_same(
    whole: UInt64[np.ndarray, " n"],
    times: Int16[np.ndarray, "n 64"],
    span: Float64[np.ndarray, " n"],
    leads: Float64[np.ndarray, "n 2"],
) -> Iterator[Pairs]:
    """Yields pairs of pieces with the same notes in the same rhythm."""
    yield np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.lexsort((*times[:, 1:8].T, whole))
    whole = whole[order]
    for first, second in equal_neighbours(whole, _MAX_NEIGHBOURS):
        one, other = order[first], order[second]
        apart = np.abs(times[one].astype(np.int64) - times[other]).max(axis=1, initial=0) / TIMES_SPAN
        begin_apart = np.abs(leads[one] / span[one, None] - leads[other] / span[other, None]).min(axis=1)
        allowed = np.maximum(MAX_TIME_APART / np.minimum(span[one], span[other]), 2 / TIMES_SPAN)
        same = np.maximum(apart, begin_apart) <= allowed
        yield one[same], other[same]


def _link_shared(
    parts: UInt64[np.ndarray, " k"], owner: Int64[np.ndarray, " k"], alike: Int64[np.ndarray, " n"]
) -> Pairs:
    """Returns pairs of pieces that share a part which is not common property."""
    order = np.argsort(parts, kind="stable")
    again = ~_begins(parts[order])
    again[:-1] |= again[1:]
    order = order[again]
    order = order[np.lexsort((alike[owner[order]], parts[order]))]
    value, label = parts[order], alike[owner[order]]
    first = _begins(value) | _begins(label)
    order, value = order[first], value[first]
    begins = _begins(value)
    number = np.cumsum(begins) - 1
    rare = np.bincount(number)[number] <= _MAX_SHARING
    linked = ~begins & rare
    return owner[order[np.flatnonzero(linked) - 1]], owner[order[linked]]


def _find_containers(
    beginning: UInt64[np.ndarray, " n"],
    tracks: UInt64[np.ndarray, " k"],
    owner: Int64[np.ndarray, " k"],
    columns: Columns,
) -> Int64[np.ndarray, " n"]:
    """Returns for each piece the best one with more notes that has it for one of its tracks, or itself."""
    pieces = np.arange(len(beginning))
    wanted = np.isin(tracks, beginning)
    tracks, owner = tracks[wanted], owner[wanted]
    order = np.lexsort((-columns.rank[owner], tracks))
    order = order[_begins(tracks[order])]
    tracks, owner = tracks[order], owner[order]
    if not len(tracks):
        return pieces
    place = np.minimum(np.searchsorted(tracks, beginning), len(tracks) - 1)
    contained = (tracks[place] == beginning) & (columns.num_notes[owner[place]] > columns.num_notes)
    return np.where(contained, owner[place], pieces)


def _link_near(blocks: Sequence[UInt32[np.ndarray, "_ 24"]], owner: Int64[np.ndarray, " v"]) -> Iterator[_Near]:
    """Yields pairs of pieces with voices that have at least MIN_COMMON_BANDS bands in common."""
    row = np.concatenate([_hash_rows(block) for block in blocks])
    one, other = _link_equal(row, owner)
    yield _Near(one, other, np.ones(len(one), np.bool_))

    # From here on equal voices are one.
    order = np.argsort(row, kind="stable")
    voices = np.zeros(len(row), np.bool_)
    voices[order[_begins(row[order])]] = True
    recurs = np.zeros(len(row), np.uint16)
    for band in range(NUM_BANDS):
        recurs |= _recurs(np.concatenate([block[:, band] for block in blocks]), voices).astype(np.uint16) << band
    voices &= np.bitwise_count(recurs) >= MIN_COMMON_BANDS
    # In the order of their hashes: the owners' numbers have no part in what is found.
    order = np.argsort(row[voices])
    owner, recurs = owner[voices][order], recurs[voices][order]
    chosen = np.split(voices, np.cumsum([len(block) for block in blocks])[:-1])
    sketches = np.concatenate([block[keep] for block, keep in zip(blocks, chosen, strict=True)])[order]
    # Of MIN_COMMON_BANDS bands two leave the same remainder here, so that comparing within remainders finds all pairs.
    for one, other in combinations(range(NUM_BANDS), 2):
        if (other - one) % (MIN_COMMON_BANDS - 1) == 0:
            both = np.uint16(1 << one | 1 << other)
            yield from _link_neighbours(sketches, owner, np.flatnonzero(recurs & both == both), (one, other))


def _hash_rows(rows: UInt32[np.ndarray, "v 24"]) -> UInt64[np.ndarray, " v"]:
    mixed = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        mixed = (mixed ^ column) * _MIX
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _recurs(column: UInt32[np.ndarray, " v"], voices: Bool[np.ndarray, " v"]) -> Bool[np.ndarray, " v"]:
    """Returns which values occur more than once among the voices (and, so that it is quick, a few others)."""
    coarse = column >> np.uint32(8)
    if len(coarse) >= _MANY_VOICES:
        return np.bincount(coarse[voices], minlength=1 << 24)[coarse] > 1
    among = np.sort(coarse[voices])
    again = np.append(among[1:][among[1:] == among[:-1]], np.uint32(0xFFFFFFFF))
    return again[again.searchsorted(coarse)] == coarse


def _link_neighbours(
    sketches: UInt32[np.ndarray, "v 24"], owner: Int64[np.ndarray, " v"], voices: np.ndarray, chosen: tuple[int, int]
) -> Iterator[_Near]:
    """Yields the near pairs among voices that have the two chosen bands in common."""
    key = sketches[voices, chosen[0]].astype(np.uint64) << np.uint64(32) | sketches[voices, chosen[1]]
    order = np.argsort(key, kind="stable")
    key, voices = key[order], voices[order]
    for first, second in equal_neighbours(key, _MAX_NEIGHBOURS):
        one, other = voices[first], voices[second]
        common = sketches[one, :NUM_BANDS] == sketches[other, :NUM_BANDS]
        count = common.sum(axis=1)
        near = count >= MIN_COMMON_BANDS
        one, other, common, count = one[near], other[near], common[near], count[near]
        yield _Near(owner[one], owner[other], _share_times(sketches[one], sketches[other], common) >= MIN_EQUAL_TIMES)


def _share_times(
    one: UInt32[np.ndarray, "k 24"], other: UInt32[np.ndarray, "k 24"], common: Bool[np.ndarray, "k 16"]
) -> Float64[np.ndarray, " k"]:
    """Returns which share of the times in the common bands is equal."""
    differ = rhythms_of(one) ^ rhythms_of(other)
    differ = (differ | differ >> np.uint16(1)) & np.uint16(0x5555)  # a time has two bits
    num_times = 8 * common.sum(axis=1)
    return 1 - np.where(common, np.bitwise_count(differ), 0).sum(axis=1) / num_times
