"""Which pieces repeat which, and which belong together, from the fingerprints of all of them.

A piece **repeats** another if it has the same notes in the same rhythm, if a voice of it is much like one of the other
(another ending, arrangement or key of the same music), or if all of it is one track of the other (a melody alone).

Pieces are of one **group** if they repeat one another, share a track, have voices with the same pitches in another
rhythm or are performances of one work (see `performances` and `aligned`), directly or through others. Two songs over
the same accompaniment are of one group, though neither repeats the other.

Measured on 6,331 real pieces: no link between two corpora, and those within one that were looked at are true (17 or
more equal intervals in a row). All of Nottingham's 1,034 tunes have their three files in one group; the largest group
has 162 of these files: tunes that share phrases, one with the next. Changed
copies are found: tracks merged or split 100 %, beginning replaced (15 %) 99 %, grace notes on 5 % 99 %, chords played
unevenly 98 %, ending replaced (30 %) 94 %, 5 % of the notes missing 93 %, another accompaniment in other tracks 89 %
(in one group 99 %), another accompaniment in the melody's own track 18 %.
Of 1,150 drum performances in another tempo all are found (written at 3/2, two or four times as slow; before the place
in the bar was compared in two ways, 93 %).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, UInt64

from ostinato.beam_pipelines.duplicates.aligned import link_aligned
from ostinato.beam_pipelines.duplicates.fingerprint import TELLING, TIMES_SPAN
from ostinato.beam_pipelines.duplicates.links import Labels, best_of, connect, no_links
from ostinato.beam_pipelines.duplicates.near import link_near
from ostinato.beam_pipelines.duplicates.pairs import Pairs, begins, equal_neighbours, link_equal, recurring
from ostinato.beam_pipelines.duplicates.performances import link_performances
from ostinato.beam_pipelines.duplicates.prints import Prints, first_of, owner_of

MAX_TIME_APART = 1 / 16
"""Quarter notes; notes that are less apart are at the same time. A sixteenth and a triplet are 1/12 apart."""

_MAX_NEIGHBOURS = 8
"""Among more pieces with the same notes, the times of each are compared with those of this many."""

_MAX_SHARING = 100
"""A track that more pieces have, of which none repeats another, is common property and connects nothing."""


class Relations(NamedTuple):
    """What is known of each piece."""

    same: Labels
    """Equal for pieces that have the same notes in the same rhythm."""
    group: Labels
    """Equal for those of one group."""
    best: Int32[np.ndarray, " n"]
    """The piece to keep of those that this one repeats; possibly itself."""


class _Parts(NamedTuple):
    """All parts of all pieces."""

    prints: Prints
    first: Int64[np.ndarray, " n"]
    """Number of the first part of each piece, which is that of its beginning."""

    def owner(self, parts: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
        return owner_of(self.first, parts)


def relate(
    prints: Prints,
    *,
    rank: Int32[np.ndarray, " n"],
    num_notes: Int32[np.ndarray, " n"],
    fixed: Int32[np.ndarray, " n"],
) -> Relations:
    """Returns the relations between all pieces; they do not depend on how the pieces are numbered.

    Args:
        prints: of all pieces.
        rank: from 0; of pieces that repeat one another the one with the highest rank is kept; no two are equal.
        num_notes: of each piece.
        fixed: pieces with the same number are one group, and those with different ones are not; -1 says nothing.
    """
    pieces = no_links(len(rank))
    same = pieces
    for pairs in _link_same(prints):
        same = connect(same, pairs)
    near = link_near(prints)
    parts = _Parts(prints, first_of(prints.num_parts))
    alike = connect(same, (near.one[near.in_time], near.other[near.in_time]))
    for pairs in _link_beginnings(parts):
        alike = connect(alike, pairs)
    chosen = best_of(alike, rank)

    container = _find_containers(parts, rank, num_notes)
    # Notes increase from each chosen piece to its container's chosen piece, so that this comes to an end.
    best = np.where(chosen == pieces, chosen[container], pieces)
    while ((further := best[best]) != best).any():
        best = further

    versions = connect(alike, (near.one, near.other))

    def links() -> Iterator[Pairs]:
        yield pieces, chosen
        yield pieces, container
        yield near.one, near.other
        yield from _link_shared(parts, versions)
        yield from link_performances(prints.performance, prints.bins)

    labelled = np.flatnonzero(fixed >= 0)
    group = connect(pieces, link_equal(fixed[labelled], labelled))
    for pairs in links():
        group = connect(group, _within_fixed(pairs, fixed) if len(labelled) else pairs)
    for pairs in link_aligned(prints.lines, group, prints.whole.read()):
        group = connect(group, _within_fixed(pairs, fixed) if len(labelled) else pairs)
    return Relations(same, group, best[chosen])


def _within_fixed(pairs: Pairs, fixed: Int32[np.ndarray, " n"]) -> Pairs:
    """Returns the pairs but for those of pieces that are fixed in different groups."""
    one, other = pairs
    allowed = (fixed[one] == fixed[other]) | (fixed[one] < 0) | (fixed[other] < 0)
    return one[allowed], other[allowed]


def _link_same(prints: Prints) -> Iterator[Pairs]:
    """Yields pairs of pieces with the same notes in the same rhythm."""
    for pieces, whole in prints.whole.in_ranges():
        again = recurring(whole)
        pieces, whole = pieces[again], whole[again]
        times, span, leads = prints.times.take(pieces), prints.span.take(pieces), prints.leads.take(pieces)
        order = np.lexsort((*times[:, 1:8].T, whole))
        for first, second in equal_neighbours(whole[order], _MAX_NEIGHBOURS):
            one, other = order[first], order[second]
            apart = np.abs(times[one].astype(np.int64) - times[other]).max(axis=1, initial=0) / TIMES_SPAN
            begin_apart = np.abs(leads[one] / span[one, None] - leads[other] / span[other, None]).min(axis=1)
            allowed = np.maximum(MAX_TIME_APART / np.minimum(span[one], span[other]), 2 / TIMES_SPAN)
            same = np.maximum(apart, begin_apart) <= allowed
            yield pieces[one[same]], pieces[other[same]]


def _link_beginnings(parts: _Parts) -> Iterator[Pairs]:
    """Yields pairs of pieces whose beginnings have the same notes in the same rhythm, and are no patterns."""
    for number, timed in parts.prints.timed.in_ranges():
        owner = parts.owner(number)
        chosen = np.flatnonzero(parts.first[owner] == number)
        chosen = chosen[recurring(timed[chosen])]
        telling = parts.prints.shape.take(number[chosen]) & np.uint64(TELLING) != 0
        chosen = chosen[telling]
        yield link_equal(timed[chosen], owner[chosen])


def _link_shared(parts: _Parts, alike: Labels) -> Iterator[Pairs]:
    """Yields pairs of pieces that share a part which is not common property."""
    for number, shape in parts.prints.shape.in_ranges():
        again = (shape & np.uint64(TELLING) != 0) & recurring(shape)
        value, owner = shape[again], parts.owner(number[again])
        order = np.lexsort((alike[owner], value))
        value, owner = value[order], owner[order]
        one_of_alike = begins(value) | begins(alike[owner])
        value, owner = value[one_of_alike], owner[one_of_alike]
        first = begins(value)
        group = np.cumsum(first) - 1
        linked = ~first & (np.bincount(group)[group] <= _MAX_SHARING)
        yield owner[np.flatnonzero(linked) - 1], owner[linked]


def _find_containers(
    parts: _Parts, rank: Int32[np.ndarray, " n"], num_notes: Int32[np.ndarray, " n"]
) -> Int32[np.ndarray, " n"]:
    """Returns for each piece the best one with more notes that has it for one of its tracks, or itself."""
    container = no_links(len(rank))
    for number, timed in parts.prints.timed.in_ranges():
        owner = parts.owner(number)
        is_first = parts.first[owner] == number
        beginning, piece = timed[is_first], owner[is_first]
        tracks, holder = _best_holders(timed[~is_first], owner[~is_first], beginning, rank)
        if len(tracks):
            place = np.minimum(tracks.searchsorted(beginning), len(tracks) - 1)
            contained = (tracks[place] == beginning) & (num_notes[holder[place]] > num_notes[piece])
            container[piece[contained]] = holder[place[contained]]
    return container


def _best_holders(
    tracks: UInt64[np.ndarray, " k"],
    owner: Int64[np.ndarray, " k"],
    wanted: UInt64[np.ndarray, " b"],
    rank: Int32[np.ndarray, " n"],
) -> tuple[UInt64[np.ndarray, " t"], Int64[np.ndarray, " t"]]:
    """Returns the wanted tracks in order, and of the pieces that have each the one with the highest rank."""
    is_wanted = np.isin(tracks, wanted)
    tracks, owner = tracks[is_wanted], owner[is_wanted]
    order = np.lexsort((-rank[owner], tracks))
    order = order[begins(tracks[order])]
    return tracks[order], owner[order]
