"""The tables of `ngrams` on disk, in parts, and the questions that models ask them.

ngrams.json                what was counted; written last
part-00003/contexts.npy    one file for each column of a `Table`
part-00003/lower-*.npy     continuations that belong to the first part
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict

import numpy as np
from jaxtyping import Float, Int, Integer, UInt64
from msgspec import Meta

from ostinato.configs.documents import Count, check_document, read_document
from ostinato.configs.errors import UserError
from ostinato.data import ngrams
from ostinato.data.arrays import open_array
from ostinato.data.atomic import atomic_folder, write_atomically
from ostinato.data.ngrams import ORDERS, LowerOrderCounts, Table

logger = logging.getLogger(__name__)

FORMAT = 1
FILE = "ngrams.json"
FirstCounts = tuple[Count, Count, Count, Count]
"""How many pairs occur once, twice, three and four times."""
_DTYPES: dict[str, type[np.generic]] = {
    "contexts": np.uint64, "begins": np.int64, "groups": np.uint8,
    "values": np.uint16, "counts": np.uint32, "continuations": np.uint32,
}  # fmt: skip
_DAMAGED = (
    "the counts of n-grams are damaged ({}); remove ngrams.json from beside the dataset, so that it is counted again"
)
SMALLEST_DISCOUNT = 0.1
"""What is taken away even where the counts of counts say that nothing should be: unseen values keep a probability."""


class Followers(NamedTuple):
    """What followed the contexts of some questions, one pair of a question and a value after the other."""

    questions: Int[np.ndarray, " k"]
    """Their numbers; those whose context was never seen are missing."""
    values: Int[np.ndarray, " k"]
    counts: Float[np.ndarray, " k"]
    continuations: Float[np.ndarray, " k"]


class NgramCounts:
    """The counts of a training split; tables are mapped into memory, not read."""

    def __init__(self, tables: Sequence[Table], num_fields: int, counts: np.ndarray, continuations: np.ndarray) -> None:
        """Takes the parts, the first of which holds orders below 1, and how many pairs occur once, twice and so on."""
        self._tables = tables
        self.num_fields = num_fields
        self._discounts = {False: _discounts(counts), True: _discounts(continuations)}

    def discounts(self, field: int, order: int, *, continuations: bool) -> Float[np.ndarray, " 4"]:
        """Returns what Kneser-Ney takes away from a count of 0, 1, 2, and 3 or more."""
        return self._discounts[continuations][ngrams.group_of(field, order)]

    def followers(
        self, contexts: UInt64[np.ndarray, " n"], homes: UInt64[np.ndarray, " n"] | None, *, num_values: int
    ) -> Followers:
        """Returns what followed each context.

        Args:
            contexts: one for each question.
            homes: their contexts of order 1; None for orders below 1.
            num_values: of the field that is asked for.

        Raises:
            UserError: the tables are damaged.
        """
        if homes is None or len(self._tables) == 1:
            return _followers(self._tables[0], contexts, np.arange(len(contexts)), num_values)
        part = ngrams.part_of(homes, len(self._tables))
        found = []
        for number in np.unique(part):
            asked = np.flatnonzero(part == number)
            found.append(_followers(self._tables[number], contexts[asked], asked, num_values))
        return Followers(*(np.concatenate(column) for column in zip(*found, strict=True)))


def in_memory(pieces: Sequence[Integer[np.ndarray, "_ f"]], *, num_parts: int = 1) -> NgramCounts:
    """Returns the counts of a few pieces."""
    num_fields = pieces[0].shape[1]
    parts = [ngrams.tabulate(pairs) for pairs in ngrams.split_pairs(ngrams.count_pairs(pieces), num_parts)]
    tables = [table for table, _ in parts]
    tables[0] = ngrams.with_continuations(tables[0], [lower for _, lower in parts])
    return NgramCounts(tables, num_fields, *_statistics(tables, num_fields))


def write_part(folder: Path, number: int, table: Table, lower: LowerOrderCounts) -> None:
    """Writes one part; it appears when it is whole, and replaces what an attempt before has left."""
    columns = table._asdict() | {f"lower-{name}": column for name, column in lower._asdict().items()}
    with atomic_folder(_part(folder, number)) as part:
        for name, column in columns.items():
            np.save(part / f"{name}.npy", column)


def finish(folder: Path, num_parts: int, *, fingerprint: str, num_fields: int) -> None:
    """Adds the continuations of the lowest orders to the first part and writes, last, what was counted."""
    lower = [
        LowerOrderCounts(*(np.load(_part(folder, number) / f"lower-{name}.npy") for name in LowerOrderCounts._fields))
        for number in range(num_parts)
    ]
    first = ngrams.with_continuations(_open_part(folder, 0), lower)
    np.save(_part(folder, 0) / "continuations.npy", first.continuations)
    # One part after the other, so that no more than one is in memory.
    parts = (_statistics([_open_part(folder, number)], num_fields) for number in range(num_parts))
    counts, continuations = (sum(column) for column in zip(*parts, strict=True))
    document = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "orders": ORDERS,
        "parts": num_parts,
        "fields": num_fields,
        "counts_of_counts": np.asarray(counts).tolist(),
        "counts_of_continuations": np.asarray(continuations).tolist(),
    }
    write_atomically(folder / FILE, (json.dumps(document) + "\n").encode())


class NgramsFile(TypedDict):
    """What ngrams.json says."""

    parts: Annotated[int, Meta(ge=1, le=99_999)]
    fields: Annotated[int, Meta(ge=1, le=64)]
    counts_of_counts: list[FirstCounts]
    counts_of_continuations: list[FirstCounts]


def open_counts(folder: Path, fingerprint: str) -> NgramCounts | None:
    """Returns the counts in a folder, or None if they are not there, not whole, or not those of this dataset.

    Of damaged ones a line is logged: they will be counted again.
    """
    if not (folder / FILE).is_file():
        return None
    try:
        document = read_document(folder / FILE, dict[str, Any])
        wanted = {"format": FORMAT, "fingerprint": fingerprint, "orders": list(ORDERS)}
        if any(document.get(name) != value for name, value in wanted.items()):
            return None
        return _open(folder, check_document(document, NgramsFile, where=folder / FILE))
    except UserError as error:
        logger.warning("%s; it is counted again", error)
        return None


def _open(folder: Path, document: NgramsFile) -> NgramCounts:
    statistics = [np.array(document[name], np.int64) for name in ("counts_of_counts", "counts_of_continuations")]
    if any(len(column) != document["fields"] * len(ORDERS) for column in statistics):
        raise UserError(f"{folder / FILE}: damaged (not {len(ORDERS)} counts of counts for each of its fields)")
    tables = [_open_part(folder, number) for number in range(document["parts"])]
    return NgramCounts(tables, document["fields"], *statistics)


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}"


def _open_part(folder: Path, number: int) -> Table:
    part = _part(folder, number)
    table = Table(*(open_array(part / f"{name}.npy", (_DTYPES[name],), 1, folder=folder) for name in Table._fields))
    num_contexts, num_pairs = len(table.contexts), len(table.values)
    sizes = (num_contexts, num_contexts + 1, num_contexts, num_pairs, num_pairs, num_pairs)
    if wrong := [name for name, column, size in zip(Table._fields, table, sizes, strict=True) if len(column) != size]:
        raise UserError(f"{part}: {wrong[0]}.npy has another length than the columns beside it")
    return table


def _statistics(tables: Sequence[Table], num_fields: int) -> tuple[Int[np.ndarray, "g 4"], Int[np.ndarray, "g 4"]]:
    """Returns how many pairs occur once, twice and so on, and how many do so as continuations."""
    counts = [ngrams.counts_of_counts(table, table.counts, num_fields) for table in tables]
    continuations = [ngrams.counts_of_counts(table, table.continuations, num_fields) for table in tables]
    return np.sum(counts, axis=0), np.sum(continuations, axis=0)


def _followers(table: Table, contexts: np.ndarray, questions: np.ndarray, num_values: int) -> Followers:
    i = np.searchsorted(table.contexts, contexts)
    known = np.flatnonzero(i < len(table.contexts))
    known = known[table.contexts[i[known]] == contexts[known]]
    i, questions = i[known], questions[known]
    begin, length = table.begins[i], table.begins[i + 1] - table.begins[i]
    if len(i) and not (begin.min() >= 0 and length.min() >= 0 and (begin + length).max() <= len(table.values)):
        raise UserError(_DAMAGED.format("a context begins beyond the values, or ends before it begins"))
    ends = np.cumsum(length)
    place = np.arange(length.sum()) + np.repeat(begin - (ends - length), length)
    values = table.values[place].astype(np.int64)
    if len(values) and values.max() >= num_values:
        raise UserError(_DAMAGED.format(f"the value {values.max()} is not below {num_values}"))
    return Followers(
        questions=np.repeat(questions, length),
        values=values,
        counts=table.counts[place].astype(float),
        continuations=table.continuations[place].astype(float),
    )


def _discounts(counts_of_counts: Int[np.ndarray, "g 4"]) -> Float[np.ndarray, "g 4"]:
    """Returns D_1, D_2 and D_3+ of modified Kneser-Ney (Chen & Goodman 1998, equation 26), after a 0.

    Y = n_1 / (n_1 + 2 n_2), D_i = i - (i + 1) Y n_(i+1) / n_i. Where a number of pairs is missing, as in a small
    collection, Y itself is taken away (Ney, Essen & Kneser 1994).
    """
    n = counts_of_counts.astype(float)
    y = n[:, 0] / np.maximum(n[:, 0] + 2 * n[:, 1], 1)
    discounts = np.zeros_like(n)
    for i in (1, 2, 3):
        ratio = n[:, i] / np.maximum(n[:, i - 1], 1)
        modified = i - (i + 1) * y * ratio
        usable = (n[:, i - 1] > 0) & (n[:, i] > 0)
        discounts[:, i] = np.clip(np.where(usable, modified, y), SMALLEST_DISCOUNT, i)
    discounts[:, 1] = np.minimum(discounts[:, 1], 1.0)
    return discounts
