"""What is left out as a duplicate, and to which split and shard each of the other pieces goes.

Functions over what the scan found, of which a few numbers for each piece are in memory and the rest is on disk.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int8, Int32, Integer

from ostinato.beam_pipelines.duplicates.links import Labels, best_of, no_links
from ostinato.beam_pipelines.duplicates.pairs import recurring
from ostinato.beam_pipelines.duplicates.pieces import Pieces
from ostinato.beam_pipelines.duplicates.relations import relate
from ostinato.beam_pipelines.duplicates.stored import Column
from ostinato.data.records import SPLITS

RECORDS_PER_SHARD = 1000

_PIECES_AT_ONCE = 1 << 14

DuplicatePolicy = Literal["drop", "variants", "keep"]
"""drop leaves out every piece that repeats another one (see `relations`), variants those with the same notes as
another one, keep none."""


class Rejected(NamedTuple):
    """An input that is left out."""

    path: str
    stage: str
    """read, parse or select."""
    reason: str
    detail: str


class Assigned(NamedTuple):
    """A piece that is in the dataset, and where it lies."""

    spool: int
    offset: int
    length: int
    id: str
    """SHA-256 of the file, in hexadecimal."""
    name: str
    style: str
    group: str
    """The smallest id of the pieces that belong together, also of those that are left out."""
    metadata: str


class Duplicate(NamedTuple):
    """An input that is left out because another one holds the same music."""

    path: str
    kept: str
    """Path of the one that is in the dataset."""
    kind: Literal["bytes", "music", "near"]
    """The same file; the same notes, but for key, tempo, loudness and instruments; another version, or a part."""


@dataclass(frozen=True)
class Assignment:
    """Where everything goes."""

    pieces: Pieces
    best: Int32[np.ndarray, " n"]
    """The piece to keep of those that this one repeats; itself if it is in the dataset."""
    same: Labels
    """See `relations`."""
    group: Int32[np.ndarray, " n"]
    """Numbers of the groups, in the order of their smallest ids."""
    leader: Int32[np.ndarray, " g"]
    """The pieces that have those."""
    by_name: Int32[np.ndarray, " n"]
    """The pieces in the order of their names."""
    shards: dict[tuple[str, int, int], Int32[np.ndarray, " k"]]
    """(split, shard, number of shards) to its pieces in the order of their ids."""
    moved: int
    """Pieces in another split than the one fixed for them, because another one is fixed for one of their group."""

    @property
    def num_groups(self) -> int:
        return len(self.leader)

    def read_shard(self, key: tuple[str, int, int]) -> list[Assigned]:
        """Returns the pieces of a shard."""
        members = self.shards[key]
        places, ids = self.pieces.place.take(members).tolist(), self.pieces.ids(members)
        groups = self.pieces.ids(self.leader[self.group[members]])
        texts = map(self.pieces.text, members.tolist())
        return [
            Assigned(spool, offset, length, id, text.name, text.style, group, text.metadata)
            for (spool, offset, length), id, text, group in zip(places, ids, texts, groups, strict=True)
        ]

    def duplicates(self) -> Iterator[Duplicate]:
        """Yields what is left out, in the order of the paths."""
        kinds: list[Literal["bytes", "music", "near"]] = ["near", "music", "bytes"]
        left_out = self.by_name[self.best[self.by_name] != self.by_name]
        for begin in range(0, len(left_out), _PIECES_AT_ONCE):
            some = left_out[begin : begin + _PIECES_AT_ONCE]
            kept = self.best[some]
            same_bytes = (self.pieces.sha256.take(some) == self.pieces.sha256.take(kept)).all(axis=1)
            kind = (self.same[some] == self.same[kept]).astype(np.int8) + same_bytes
            for piece, other, number in zip(some.tolist(), kept.tolist(), kind.tolist(), strict=True):
                yield Duplicate(self.pieces.text(piece).name, self.pieces.text(other).name, kinds[number])

    def count_styles(self) -> tuple[dict[str, int], dict[str, int]]:
        """Returns how many pieces of each style there are, and how many of them are in the dataset."""
        names = self.pieces.styles
        kept = self.best == np.arange(len(self.best))
        found, accepted = (
            np.bincount(style, minlength=len(names)).tolist() for style in (self.pieces.style, self.pieces.style[kept])
        )
        return dict(zip(names, found, strict=True)), dict(zip(names, accepted, strict=True))


def assign(
    pieces: Pieces,
    *,
    split: tuple[int, int, int],
    seed: int,
    num_shards: int,
    duplicates: DuplicatePolicy,
    pinned: Mapping[str, str] | None = None,
    num_old: int = 0,
) -> Assignment:
    """Assigns every piece to a split and a shard; depends on the contents and not on the order of the pieces.

    A group goes to the split that is fixed for one of its pieces (of several, test comes before validation before
    train), else to the one that the hash of its id says. Where that leaves a wanted split empty, the group whose hash
    is next to the split's range is moved into it; with fewer groups than splits, training comes first.

    Args:
        pieces: what the scan found. They are read until the assignment is no longer needed.
        split: per cent of the groups for training, validation and test.
        seed: another seed gives another split.
        num_shards: of the training split; 0 is one for each RECORDS_PER_SHARD pieces.
        pinned: names of pieces that are in a split already, and the split. They stay there, whatever else is fixed; of
            a group that is in several, the others go where test comes before validation before train.
        num_old: the first so many pieces are those that `pinned` is about. Others of these names, such as the new
            version of a file that was removed, go where that was unless an old piece of their group is elsewhere.
        duplicates: what is left out. Of several pieces the one with the most notes stays (of those, the first by name).
    """
    numbers = no_links(len(pieces))
    by_name = pieces.by_name()
    name_rank = _ranks(by_name)
    rank = _ranks(np.lexsort((-name_rank, pieces.num_notes)))
    relations = relate(pieces.prints, rank=rank, num_notes=pieces.num_notes, fixed=pieces.group)
    best = {"drop": lambda: relations.best, "variants": lambda: best_of(relations.same, rank), "keep": lambda: numbers}[
        duplicates
    ]()
    kept = best == numbers

    by_id = _order_by_id(pieces.sha256, name_rank)
    group, leader = _number_groups(relations.group, _ranks(by_id))
    pins = pieces.places_in(pinned or {})
    group_fixed = np.full(len(leader), -1, np.int8)
    for some, splits in ((group, pieces.split), (group[num_old:], pins[num_old:]), (group[:num_old], pins[:num_old])):
        said = np.full(len(leader), -1, np.int8)
        np.maximum.at(said, some, splits)
        group_fixed = np.where(said >= 0, said, group_fixed)
    piece_split = _split_groups(pieces, leader, group_fixed, split=split, seed=seed)[group]
    piece_split[:num_old] = np.where(pins[:num_old] >= 0, pins[:num_old], piece_split[:num_old])
    by_id = by_id[kept[by_id]]
    return Assignment(
        pieces=pieces,
        best=best,
        same=relations.same,
        group=group,
        leader=leader,
        by_name=by_name,
        shards=_cut_shards(by_id, piece_split[by_id], num_shards=num_shards),
        moved=int((kept & (pieces.split >= 0) & (pieces.split != piece_split)).sum()),
    )


def _ranks(order: Integer[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    """Returns the place of each element in the order."""
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks


def _order_by_id(sha256: Column, name_rank: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    """Returns the pieces in the order of their ids; those of one id in the order of their names."""
    beginning = np.zeros(len(sha256), np.uint64)
    for begin in range(0, len(sha256), _PIECES_AT_ONCE):
        rows = sha256.read(begin, begin + _PIECES_AT_ONCE)
        beginning[begin : begin + len(rows)] = rows.view(">u8")[:, 0]
    order = np.argsort(beginning, kind="stable").astype(np.int32)
    tied = np.flatnonzero(recurring(beginning)[order])
    some = order[tied]
    order[tied] = some[np.lexsort((name_rank[some], *sha256.take(some).view(">u8").astype(np.uint64).T[::-1]))]
    return order


def _number_groups(
    group: Labels, id_rank: Int32[np.ndarray, " n"]
) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " g"]]:
    """Returns the groups numbered in the order of their smallest ids, and the pieces that have those."""
    leader = best_of(group, np.int32(len(group) - 1) - id_rank)
    leaders = np.unique(leader)
    leaders = leaders[np.argsort(id_rank[leaders])]
    number = np.empty(len(group), np.int32)
    number[leaders] = np.arange(len(leaders), dtype=np.int32)
    return number[leader], leaders


def _split_groups(
    pieces: Pieces,
    leader: Int32[np.ndarray, " g"],
    fixed: Int8[np.ndarray, " g"],
    *,
    split: tuple[int, int, int],
    seed: int,
) -> Int8[np.ndarray, " g"]:
    """Returns the number of the split of each group; `fixed` has it where it is known, elsewhere -1."""
    some = (leader[begin : begin + _PIECES_AT_ONCE] for begin in range(0, len(leader), _PIECES_AT_ONCE))
    ids = (f"{seed}:{id}" for members in some for id in pieces.ids(members))
    place = np.fromiter(map(_unit_interval, ids), np.float64, len(leader))
    limits = np.cumsum(split) / 100
    chosen = np.where(fixed >= 0, fixed, np.searchsorted(limits, place, side="right")).astype(np.int8)
    needed = [number for number, percent in enumerate(split) if percent][: len(leader)]
    for number in needed:
        counts = np.bincount(chosen, minlength=len(SPLITS))
        if counts[number]:
            continue
        middle = limits[number] - split[number] / 200
        to_spare = np.array([counts[i] > 1 or i not in needed for i in range(len(SPLITS))])
        movable = np.flatnonzero((fixed < 0) & to_spare[chosen])
        if len(movable):
            chosen[movable[np.abs(place[movable] - middle).argmin()]] = number
    return chosen


def _unit_interval(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _cut_shards(
    pieces: np.ndarray, piece_split: np.ndarray, *, num_shards: int
) -> dict[tuple[str, int, int], np.ndarray]:
    """Returns the pieces of each shard; those of the training split set the size for the others."""
    shards = {}
    in_train = int((piece_split == 0).sum()) or len(pieces) or 1
    records_per_shard = in_train / num_shards if num_shards else RECORDS_PER_SHARD
    for number, name in enumerate(SPLITS):
        members = pieces[piece_split == number]
        count = min(len(members), max(1, round(len(members) / records_per_shard)))
        for shard in range(count):
            shards[name, shard, count] = members[shard::count]
    return shards
