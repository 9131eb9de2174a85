"""What followed which rows in a collection: contexts, counting, and the tables in memory.

A row is predicted field by field, as the network does it. A context of order k is the k whole rows before and the
fields of the row that are already known; of order UNIGRAM it is nothing at all, not even those. Contexts are 64-bit
hashes into which field and order are mixed, so the contexts of all fields and orders stand in one table.
Letters: n rows of all pieces one after the other, f fields, k pairs of a context and what followed it, c contexts.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer, UInt8, UInt16, UInt32, UInt64

UNIGRAM = -1
ORDERS = (UNIGRAM, 0, 1, 2, 3, 4, 8)
"""The orders that are counted. Where windows of one piece are on both sides of a split, eight rows tell the next."""

COUNTS_OF_COUNTS = 4
"""How many pairs occur once, twice, three and four times: what the discounts of Kneser-Ney are made of."""

_SEED = np.uint64(0x9E3779B97F4A7C15)
_LONGER = {0: UNIGRAM, 1: 0, 2: 1, 3: 2, 4: 3}
"""The order that remains of each order when the row that is farthest back is forgotten."""


class Tape(NamedTuple):
    """Pieces one after the other."""

    rows: Int[np.ndarray, "n f"]
    position: Int[np.ndarray, " n"]
    """The place of each row in its piece; 0 is START, which is given."""
    history: dict[int, UInt64[np.ndarray, " n"]]
    """By order the hash of the rows before. What would be before the beginning of a piece is part of it too."""


class Pairs(NamedTuple):
    """Each context with a value that followed it, once, sorted by both."""

    contexts: UInt64[np.ndarray, " k"]
    values: UInt16[np.ndarray, " k"]
    counts: Int[np.ndarray, " k"]
    suffixes: UInt64[np.ndarray, " k"]
    """The context that remains when the row that is farthest back is forgotten; 0 where none is counted."""
    homes: UInt64[np.ndarray, " k"]
    """The context of order 1 within: it decides where the pair is counted, so a pair and its suffix meet. 0 below."""
    groups: UInt8[np.ndarray, " k"]
    """Field and order: `group_of`."""


class Table(NamedTuple):
    """The same by context: value j of context i stands at place begins[i] + j."""

    contexts: UInt64[np.ndarray, " c"]
    begins: Int[np.ndarray, " c_plus_1"]
    groups: UInt8[np.ndarray, " c"]
    values: UInt16[np.ndarray, " k"]
    counts: UInt32[np.ndarray, " k"]
    """How often the value followed."""
    continuations: UInt32[np.ndarray, " k"]
    """After how many different longer contexts it did (Kneser & Ney 1995); 0 for orders 4 and 8."""


class LowerOrderCounts(NamedTuple):
    """Continuations that belong to contexts of another part."""

    contexts: UInt64[np.ndarray, " k"]
    values: UInt16[np.ndarray, " k"]
    counts: Int[np.ndarray, " k"]


def group_of(field: int, order: int) -> int:
    """Returns the number of a field and an order."""
    return field * len(ORDERS) + ORDERS.index(order)


def orders_of(field: int) -> tuple[int, ...]:
    """Returns the orders that are counted for a field: the first one knows no fields before it, alone or not."""
    return ORDERS if field else ORDERS[1:]


def make_tape(pieces: Sequence[Integer[np.ndarray, "_ f"]]) -> Tape:
    """Returns pieces, which begin with their START rows, as a tape."""
    rows = np.concatenate(pieces).astype(np.int64)
    position = np.concatenate([np.arange(len(piece)) for piece in pieces])
    return _tape(rows, position)


def last_rows(earlier: Integer[np.ndarray, "p _ f"], rows: Integer[np.ndarray, "p f"], position: int) -> Tape:
    """Returns a tape of the last rows of p unfinished pieces, to ask what may stand there.

    Args:
        earlier: the rows before them, or at least as many of those as the longest context has.
        rows: the last ones, of which later fields may not be known yet.
        position: of these rows in their pieces.
    """
    seen = np.concatenate([earlier[:, -ORDERS[-1] :], rows[:, None]], 1).astype(np.int64)
    num_pieces, num_rows, num_fields = seen.shape
    positions = np.tile(np.arange(position - num_rows + 1, position + 1), num_pieces)
    whole = _tape(seen.reshape(-1, num_fields), positions)
    last = slice(num_rows - 1, None, num_rows)
    return Tape(whole.rows[last], positions[last], {order: hashes[last] for order, hashes in whole.history.items()})


def context_hashes(tape: Tape, field: int, order: int) -> UInt64[np.ndarray, " n"]:
    """Returns the context of each row for one field."""
    known = np.full(len(tape.rows), _SEED ^ np.uint64(group_of(field, order)))
    if order == UNIGRAM:
        return known
    for column in range(field):
        known = _mix(known, tape.rows[:, column].astype(np.uint64))
    return _mix(known, tape.history[order])


def count_pairs(pieces: Sequence[Integer[np.ndarray, "_ f"]]) -> Pairs:
    """Returns what followed what in some pieces. START rows are given and are not counted."""
    tape = make_tape(pieces)
    real = tape.position > 0
    parts = []
    for field in range(tape.rows.shape[1]):
        hashes = {order: context_hashes(tape, field, order)[real] for order in orders_of(field)}
        value = tape.rows[real, field].astype(np.uint16)
        nothing = np.zeros(len(value), np.uint64)
        for order, contexts in hashes.items():
            suffixes = hashes.get(_LONGER.get(order, ORDERS[-1] + 1), nothing)
            homes = hashes[1] if order >= 1 else nothing
            group = np.full(len(value), group_of(field, order), np.uint8)
            parts.append(_unique(Pairs(contexts, value, np.ones(len(value), np.int64), suffixes, homes, group)))
    return merge_pairs(parts)


def merge_pairs(parts: Iterable[Pairs]) -> Pairs:
    """Returns the sum of several counts."""
    columns = zip(*parts, strict=True)
    return _unique(Pairs(*(np.concatenate(column) for column in columns)))


def split_pairs(pairs: Pairs, num_parts: int) -> list[Pairs]:
    """Returns the pairs by the part that they belong to."""
    part = part_of(pairs.homes, num_parts)
    return [Pairs(*(column[part == number] for column in pairs)) for number in range(num_parts)]


def part_of(homes: UInt64[np.ndarray, " n"], num_parts: int) -> Int[np.ndarray, " n"]:
    """Returns the part of the table that holds all contexts of orders 1 and up around a context of order 1."""
    return ((homes >> np.uint64(32)) % np.uint64(num_parts)).astype(np.int64)


def tabulate(pairs: Pairs) -> tuple[Table, LowerOrderCounts]:
    """Returns the table of one part, and the continuations of orders 0 and UNIGRAM, whose contexts are in the first."""
    contexts, first = np.unique(pairs.contexts, return_index=True)
    table = Table(
        contexts=contexts,
        begins=np.append(first, len(pairs.contexts)).astype(np.int64),
        groups=pairs.groups[first],
        values=pairs.values,
        counts=pairs.counts.astype(np.uint32),
        continuations=np.zeros(len(pairs.contexts), np.uint32),
    )
    has_suffix = pairs.suffixes != 0
    shorter = _sum_equal(pairs.suffixes[has_suffix], pairs.values[has_suffix], np.ones(has_suffix.sum(), np.int64))
    is_here = np.isin(shorter.contexts, contexts)
    here = LowerOrderCounts(*(column[is_here] for column in shorter))
    return with_continuations(table, [here]), LowerOrderCounts(*(column[~is_here] for column in shorter))


def with_continuations(table: Table, parts: Sequence[LowerOrderCounts]) -> Table:
    """Returns the table with more continuations, all of them of pairs that are in it."""
    added = _sum_equal(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    continuations = np.array(table.continuations)
    owner = np.searchsorted(table.contexts, added.contexts)
    pairs = np.repeat(np.arange(len(table.contexts)), np.diff(table.begins)) << 16 | table.values
    continuations[np.searchsorted(pairs, owner << 16 | added.values)] += added.counts.astype(np.uint32)
    return table._replace(continuations=continuations)


def counts_of_counts(table: Table, column: UInt32[np.ndarray, " k"], num_fields: int) -> Int[np.ndarray, "g 4"]:
    """Returns of each group how many pairs have the number 1, 2, 3 and 4 in a column."""
    group = np.repeat(table.groups.astype(np.int64), np.diff(table.begins))
    width = COUNTS_OF_COUNTS + 2  # nothing, 1 to 4, more
    num_groups = num_fields * len(ORDERS)
    cells = group * width + np.minimum(column, width - 1)
    return np.bincount(cells, minlength=num_groups * width).reshape(num_groups, width)[:, 1:-1]


def _tape(rows: Int[np.ndarray, "n f"], position: Int[np.ndarray, " n"]) -> Tape:
    whole = np.full(len(rows), _SEED)
    for column in range(rows.shape[1]):
        whole = _mix(whole, rows[:, column].astype(np.uint64))
    history, seen = {0: np.full(len(rows), _SEED)}, np.full(len(rows), _SEED)
    for back in range(1, ORDERS[-1] + 1):
        seen = _mix(seen, np.where(position >= back, np.roll(whole, back), np.uint64(0)))
        history[back] = seen
    return Tape(rows, position, {order: history[order] for order in ORDERS if order != UNIGRAM})


def _mix(hashes: UInt64[np.ndarray, " n"], values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Returns the hashes with one more value each (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = (hashes ^ (values + np.uint64(1))) * np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _unique(pairs: Pairs) -> Pairs:
    order, first = _group_equal(pairs.contexts, pairs.values)
    kept = Pairs(*(column[order[first]] for column in pairs))
    return kept._replace(counts=_sum_groups(pairs.counts[order], first))


def _sum_equal(contexts: np.ndarray, values: np.ndarray, counts: np.ndarray) -> LowerOrderCounts:
    order, first = _group_equal(contexts, values)
    return LowerOrderCounts(contexts[order[first]], values[order[first]], _sum_groups(counts[order], first))


def _group_equal(contexts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the order by context and value, and the places in it where another pair begins."""
    order = np.lexsort((values, contexts))
    contexts, values = contexts[order], values[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (contexts[1:] != contexts[:-1]) | (values[1:] != values[:-1])
    return order, np.flatnonzero(begins)


def _sum_groups(counts: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.add.reduceat(counts, first) if len(first) else counts
