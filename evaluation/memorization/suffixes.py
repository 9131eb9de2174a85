"""A suffix array: all suffixes of a text in order, so that the longest match of any query is found by bisection.

Time to build grows as n log n, on real music with a small factor, since few suffixes are alike for long; 12 bytes of
memory for each symbol at the end, some 60 on the way. Nothing is hashed, so nothing collides.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt16

from ostinato.evaluation.memorization.symbols import BITS, END, TIME_BITS

_WORD = 5
"""Symbols that fit in the first sort's integers."""

_CHUNK = 8


class Matches(NamedTuple):
    """For each position of a query the longest run that begins there and is in the text."""

    place: Int[np.ndarray, " q"]
    """Where in the text."""
    whole: Int[np.ndarray, " q"]
    """Symbols that are equal."""
    next_is_close: Bool[np.ndarray, " q"]
    """Whether the symbols after them have the same interval."""

    @property
    def halves(self) -> Int[np.ndarray, " q"]:
        """The length of each run, an interval and a time counting one each."""
        return 2 * self.whole + self.next_is_close

    @property
    def notes(self) -> Int[np.ndarray, " q"]:
        """How many notes each run joins."""
        intervals = self.whole + self.next_is_close
        return np.where(intervals > 0, intervals + 1, 0)


def suffix_array(text: UInt16[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Returns the beginnings of the suffixes of a text in order; suffixes end at their line's END.

    Prefix doubling (Manber and Myers 1993) that sorts again only what is not yet apart (Larsson and Sadakane 2007).
    Lines that are wholly equal are in the order of the text.
    """
    size = len(text)
    padded = np.concatenate([text, np.zeros(_WORD, np.uint16)])
    word, alive = np.zeros(size, np.int64), np.ones(size, np.bool_)
    for i in range(_WORD):
        word = word << BITS | np.where(alive, padded[i : i + size], END)
        alive &= padded[i : i + size] != END
    order = np.argsort(word, kind="stable")
    word = word[order]
    starts = np.append(True, word[1:] != word[:-1]) if size else np.zeros(0, np.bool_)
    del word
    # The rank of a suffix is where its group of equals begins. A group whose suffixes have ended needs no order.
    rank = np.empty(size, np.int64)
    group = np.flatnonzero(starts)[np.cumsum(starts) - 1]
    rank[order] = group
    length = _WORD
    where = _undecided(starts, alive[order])
    while len(where):
        suffix = order[where]
        after = rank[suffix + length]
        key = np.lexsort((after, group[where]))  # stable, and groups stay where they are
        suffix, after, old = suffix[key], after[key], group[where]
        order[where] = suffix
        new = np.append(True, (after[1:] != after[:-1]) | (old[1:] != old[:-1]))
        group[where] = where[new][np.cumsum(new) - 1]
        rank[suffix] = group[where]
        # Both halves have to be without END for a suffix to go on: the second half's own record says so.
        alive[suffix] = alive[suffix + length]
        length *= 2
        where = where[_undecided(new, alive[suffix])]
    return order.astype(np.int32 if size < 2**31 else np.int64)


def _undecided(starts: Bool[np.ndarray, " n"], alive: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Returns which sorted suffixes are in a group of several that go on."""
    alone = starts & np.append(starts[1:], True)
    return np.flatnonzero(~alone & alive)


def find_longest(
    text: UInt16[np.ndarray, " n"], suffixes: Int[np.ndarray, " n"], query: UInt16[np.ndarray, " q"]
) -> Matches:
    """Returns the longest match of each position of a query, which ends with END, as each of its lines does.

    A bisection for all positions at once: some 25 rounds for ten million symbols, each touching one place of the text
    for each position, so the text may stay on disk.
    """
    query = np.concatenate([query, np.zeros(_CHUNK, np.uint16)])
    num = len(query) - _CHUNK
    position = np.arange(num)
    low, high = np.zeros(num, np.int64), np.full(num, len(suffixes))
    # Symbols that the query shares with the suffix below and with the one above: all between share the lesser number.
    with_low, with_high = np.zeros(num, np.int64), np.zeros(num, np.int64)
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        place = np.asarray(suffixes[middle], np.int64)
        shared = np.minimum(with_low[open_], with_high[open_])
        shared = _extend(text, place, query, position[open_], shared)
        is_below = text[place + shared] < query[position[open_] + shared]
        below, above = open_[is_below], open_[~is_below]
        low[below], with_low[below] = middle[is_below] + 1, shared[is_below]
        high[above], with_high[above] = middle[~is_below], shared[~is_below]
    neighbours = [_look_at(text, suffixes, query, low - 1), _look_at(text, suffixes, query, low)]
    better = neighbours[1].halves > neighbours[0].halves
    return Matches(*(np.where(better, second, first) for first, second in zip(*neighbours, strict=True)))


def _look_at(text: np.ndarray, suffixes: np.ndarray, query: np.ndarray, rank: np.ndarray) -> Matches:
    """Returns how far the query matches the suffixes of these ranks; beyond the ends of the array, not at all."""
    position = np.arange(len(rank))
    place = np.asarray(suffixes[np.clip(rank, 0, len(suffixes) - 1)], np.int64)
    whole = _extend(text, place, query, position, np.zeros(len(rank), np.int64))
    found, wanted = text[place + whole], query[position + whole]
    close = (found >> TIME_BITS == wanted >> TIME_BITS) & (found != END) & (wanted != END)
    return Matches(place, whole, close)


def _extend(
    text: np.ndarray, place: np.ndarray, query: np.ndarray, position: np.ndarray, shared: np.ndarray
) -> Int[np.ndarray, " q"]:
    """Returns how many symbols are equal, given how many are known to be; END equals nothing."""
    shared = shared.copy()
    active = np.arange(len(shared))
    steps = np.arange(_CHUNK)
    last = len(text) - 1
    while active.size:
        offset = shared[active, None] + steps
        # Beyond the last END nothing is looked at: a match has ended there or before.
        found = text[np.minimum(place[active, None] + offset, last)]
        wanted = query[np.minimum(position[active, None] + offset, len(query) - 1)]
        differs = (found != wanted) | (found == END)
        shared[active] += np.where(differs.any(1), differs.argmax(1), _CHUNK)
        active = active[~differs.any(1)]
    return shared
