"""Which pieces repeat which, and which belong together, from the fingerprints of all of them.

A piece **repeats** another if it has the same notes, if a voice of it is much like one of the other (another ending,
arrangement, key or performance of the same music), or if all of it is one track of the other (a melody alone).

Pieces are of one **group** if they repeat one another or share a track, directly or through others. Two songs over the
same accompaniment are of one group, though neither repeats the other.

Measured on 6,331 real pieces: no link between two corpora, and those within one that were looked at are true (17 or
more equal intervals in a row). All of Nottingham's 1,034 tunes have their three files in one group; the largest group,
of nine files, is a medley with its tunes. Of 156 pairs of performances of one piano piece 79 are in one group. Changed
copies are found: tracks merged or split 100 %, beginning replaced (15 %) 99 %, grace notes on 5 % 99 %, chords played
unevenly 98 %, ending replaced (30 %) 94 %, 5 % of the notes missing 93 %, another accompaniment in other tracks 89 %
(in one group 99 %), another accompaniment in the melody's own track 18 %.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int64, Integer, UInt32, UInt64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ostinato.beam_pipelines.duplicates.fingerprint import NUM_BANDS, TELLING

MIN_COMMON_BANDS = 4
"""Voices with this many bands in common are the same music. Of voices that share half of their n-grams this finds 60 %,
of those that share a fifth 0.3 %. No two voices from different ones of the seven real corpora share more than 17 %; by
how much they share, there would be 200 false links among a million pieces (with 3 bands 10,000)."""

_MAX_NEIGHBOURS = 8
"""Among more voices with the same two bands, each is compared with this many."""

_MAX_SHARING = 100
"""A track that more pieces have, of which none repeats another, is common property and connects nothing."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


class Columns(NamedTuple):
    """All pieces, numbered from 0; see `fingerprint.Fingerprints` for the last five."""

    rank: Int64[np.ndarray, " n"]
    """Of pieces that repeat one another the one with the highest rank is kept; no two are equal."""
    num_notes: Int64[np.ndarray, " n"]
    whole: UInt64[np.ndarray, " n"]
    parts: UInt64[np.ndarray, " p"]
    """Those of piece 0, then those of piece 1, and so on."""
    num_parts: Int[np.ndarray, " n"]
    bands: Sequence[UInt32[np.ndarray, "_ 16"]]
    """In the same order, cut anywhere: they are most of all that is known, and are not put into one array."""
    num_voices: Int[np.ndarray, " n"]


class Relations(NamedTuple):
    """What is known of each piece."""

    group: Int64[np.ndarray, " n"]
    """From 0, in no particular order."""
    best: Int64[np.ndarray, " n"]
    """The piece to keep of those that this one repeats; possibly itself."""


Pairs = tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]


def relate(columns: Columns) -> Relations:
    """Returns the relations between all pieces; they do not depend on how the pieces are numbered."""
    pieces = np.arange(len(columns.whole))
    first_part = np.cumsum(columns.num_parts) - columns.num_parts
    beginning = columns.parts[first_part]
    part_owner = np.repeat(pieces, columns.num_parts)
    telling = np.flatnonzero(beginning & np.uint64(TELLING))
    alike = _connect(
        len(pieces),
        _link_equal(columns.whole, pieces),
        _link_equal(beginning[telling], telling),
        *_link_near(columns.bands, np.repeat(pieces, columns.num_voices)),
    )
    chosen = best_of(alike, columns.rank)

    is_track = np.ones(len(columns.parts), np.bool_)
    is_track[first_part] = False
    container = _find_containers(beginning, columns.parts[is_track], part_owner[is_track], columns)
    # Notes increase from each chosen piece to its container's chosen piece, so that this comes to an end.
    best = np.where(chosen == pieces, chosen[container], pieces)
    while (further := best[best]).tobytes() != best.tobytes():
        best = further

    shared = (columns.parts & np.uint64(TELLING)).astype(np.bool_)
    group = _connect(
        len(pieces),
        (pieces, chosen),
        (pieces, container),
        _link_shared(columns.parts[shared], part_owner[shared], alike),
    )
    return Relations(group, best[chosen])


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


def _link_near(blocks: Sequence[UInt32[np.ndarray, "_ 16"]], owner: Int64[np.ndarray, " v"]) -> Iterator[Pairs]:
    """Yields pairs of pieces with voices that have at least MIN_COMMON_BANDS bands in common."""
    row = np.concatenate([_hash_rows(block) for block in blocks])
    yield _link_equal(row, owner)

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
    bands = np.concatenate([block[keep] for block, keep in zip(blocks, chosen, strict=True)])[order]
    # Of MIN_COMMON_BANDS bands two leave the same remainder here, so that comparing within remainders finds all pairs.
    for one, other in combinations(range(NUM_BANDS), 2):
        if (other - one) % (MIN_COMMON_BANDS - 1) == 0:
            both = np.uint16(1 << one | 1 << other)
            yield from _link_neighbours(bands, owner, np.flatnonzero(recurs & both == both), (one, other))


def _hash_rows(rows: UInt32[np.ndarray, "v 16"]) -> UInt64[np.ndarray, " v"]:
    mixed = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        mixed = (mixed ^ column) * _MIX
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _recurs(column: UInt32[np.ndarray, " v"], voices: Bool[np.ndarray, " v"]) -> Bool[np.ndarray, " v"]:
    """Returns which values occur more than once among the voices (and, so that it is quick, a few others)."""
    coarse = column >> np.uint32(8)
    return np.bincount(coarse[voices], minlength=1 << 24)[coarse] > 1


def _link_neighbours(
    bands: UInt32[np.ndarray, "v 16"], owner: Int64[np.ndarray, " v"], voices: np.ndarray, chosen: tuple[int, int]
) -> Iterator[Pairs]:
    """Yields the near pairs among voices that have the two chosen bands in common."""
    key = bands[voices, chosen[0]].astype(np.uint64) << np.uint64(32) | bands[voices, chosen[1]]
    order = np.argsort(key, kind="stable")
    key, voices = key[order], voices[order]
    for distance in range(1, min(_MAX_NEIGHBOURS, len(key) - 1) + 1):
        same = np.flatnonzero(key[distance:] == key[:-distance])
        if not len(same):
            return
        one, other = voices[same], voices[same + distance]
        near = (bands[one] == bands[other]).sum(axis=1) >= MIN_COMMON_BANDS
        yield owner[one[near]], owner[other[near]]
