"""Which pieces of a dataset the summary speaks of."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
from jaxtyping import Int

from ostinato.configs.documents import read_lines
from ostinato.data.records import Dataset, DatasetError

HELD_OUT = ("test", "validation")


class GroupLine(TypedDict):
    """A line of pieces.jsonl of a dataset."""

    id: str
    group: NotRequired[str]
    """The id of one of the pieces that it is related to; `prepare` keeps them in one split."""


def held_out_split(dataset: Dataset) -> str | None:
    """Returns test, or validation where there is no test split, or None where there is neither."""
    return next((split for split in HELD_OUT if split in dataset.splits), None)


def choose_pieces(num_pieces: int, at_most: int) -> Int[np.ndarray, " p"]:
    """Returns the numbers of pieces, spread evenly if they are too many; 0 is all."""
    if not at_most or num_pieces <= at_most:
        return np.arange(num_pieces)
    return np.arange(at_most) * num_pieces // at_most


def one_of_each_group(dataset: Dataset, ids: Sequence[str]) -> list[int]:
    """Returns the numbers of the pieces of which no earlier one is related to them, as far as the dataset says so."""
    path, groups = dataset.path / "pieces.jsonl", {}
    if path.is_file():
        lines = read_lines(path, GroupLine, error=DatasetError)
        groups = {line["id"]: line.get("group", line["id"]) for line in lines}
    first: dict[str, int] = {}
    for number, name in enumerate(ids):
        first.setdefault(groups.get(name, name), number)
    return list(first.values())
