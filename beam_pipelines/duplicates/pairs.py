"""Pairs of pieces, parts or voices that have something in common."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Int64, Integer, Shaped

Pairs = tuple[Integer[np.ndarray, " _"], Integer[np.ndarray, " _"]]

PAIRS_AT_ONCE = 4096


def begins(values: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Returns where a sorted column has another value than before."""
    begin = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=begin[1:])
    return begin


def link_equal(values: Shaped[np.ndarray, " k"], owner: Integer[np.ndarray, " k"]) -> Pairs:
    """Returns as many pairs of owners as it takes to connect all those of equal values."""
    order = np.argsort(values, kind="stable")
    again = ~begins(values[order])[1:]
    return owner[order[:-1][again]], owner[order[1:][again]]


def recurring(values: Shaped[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
    """Returns which values occur more than once."""
    order = np.argsort(values, kind="stable")
    again = ~begins(values[order])
    again[:-1] |= again[1:]
    found = np.empty(len(values), np.bool_)
    found[order] = again
    return found


def equal_neighbours(values: Shaped[np.ndarray, " n"], most: int) -> Iterator[Pairs]:
    """Yields the places of equal values in a sorted column: of neighbours, of those two places apart, and so on."""
    for distance in range(1, min(most, len(values) - 1) + 1):
        same = np.flatnonzero(values[distance:] == values[:-distance])
        if not len(same):
            return
        yield same, same + distance


class PairSet:
    """Pairs of numbers below 2^32, the smaller one first, of which each is new once."""

    def __init__(self) -> None:
        """Begins without any."""
        self._known = np.zeros(0, np.int64)

    def add(self, pairs: Iterable[Pairs]) -> Iterator[Pairs]:
        """Adds pairs and yields those that are new, in order, some thousands at a time."""
        packed = [np.asarray(one, np.int64) << 32 | other for one, other in pairs]
        found = np.unique(np.concatenate([np.zeros(0, np.int64), *packed]))
        if len(self._known):
            place = np.minimum(self._known.searchsorted(found), len(self._known) - 1)
            found = found[self._known[place] != found]
        merged = np.concatenate([self._known, found])
        merged.sort(kind="stable")  # of two runs in order it takes one pass
        self._known = merged
        for begin in range(0, len(found), PAIRS_AT_ONCE):
            some = found[begin : begin + PAIRS_AT_ONCE]
            yield some >> 32, some & 0xFFFFFFFF


def take_pairs(pairs: Pairs) -> tuple[Int64[np.ndarray, " u"], Pairs]:
    """Returns the numbers in pairs, each once, and the pairs as places in them."""
    numbers, place = np.unique(np.concatenate(pairs), return_inverse=True)
    one, other = np.split(place, 2)
    return numbers, (one, other)
