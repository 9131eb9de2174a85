"""What is left out as a duplicate, and to which split and shard each of the other pieces goes.

Pure functions over what the scan found; the pipeline only wires them.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from ostinato.beam_pipelines.duplicates.fingerprint import Stacked
from ostinato.beam_pipelines.duplicates.relations import Columns, best_of, relate
from ostinato.data.records import SPLITS

RECORDS_PER_SHARD = 1000

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


class ScanResult(NamedTuple):
    """The usable pieces in one spool file as columns of length n."""

    spool: int
    """Number of the file."""
    name: list[str]
    style: list[str]
    split: list[str]
    """Where the user fixed it; otherwise empty."""
    group: list[str]
    """Likewise: pieces with the same name are one group."""
    sha256: UInt8[np.ndarray, "n 32"]
    """Of the bytes of the file."""
    num_notes: Int32[np.ndarray, " n"]
    prints: Stacked
    offset: Int64[np.ndarray, " n"]
    """Bytes, in the spool file."""
    length: Int64[np.ndarray, " n"]
    """Bytes."""
    metadata: list[str]
    """JSON text of further columns of the labels; may be empty."""


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


class Assignment(NamedTuple):
    """Where everything goes."""

    shards: dict[tuple[str, int, int], list[Assigned]]
    """(split, shard, number of shards) to its pieces in the order of their ids."""
    duplicates: list[Duplicate]
    """In the order of their paths."""
    num_groups: int
    moved: int
    """Pieces in another split than the one fixed for them, because another one is fixed for one of their group."""


def assign(
    results: Iterable[ScanResult],
    *,
    split: tuple[int, int, int],
    seed: int,
    num_shards: int,
    duplicates: DuplicatePolicy,
    pinned: Mapping[str, str] | None = None,
) -> Assignment:
    """Assigns every piece to a split and a shard; depends on the contents and not on the order of `results`.

    A group goes to the split that is fixed for one of its pieces (of several, test comes before validation before
    train), else to the one that the hash of its id says. Where that leaves a wanted split empty, the group whose hash
    is next to the split's range is moved into it; with fewer groups than splits, training comes first.

    A million pieces with five million voices take half a minute, and 0.7 GB beside the 0.6 GB of `results`.

    Args:
        results: what the scan found, one for each spool file.
        split: per cent of the groups for training, validation and test.
        seed: another seed gives another split.
        num_shards: of the training split; 0 is one for each RECORDS_PER_SHARD pieces.
        pinned: names of pieces that are in a split already, and the split. They stay there, whatever else is fixed; of
            a group that is in several, the others go where test comes before validation before train.
        duplicates: what is left out. Of several pieces the one with the most notes stays (of those, the first by name).
    """
    results = list(results)
    names, styles, metadata, fixed_names, fixed_groups = (
        [text for result in results for text in getattr(result, column)]
        for column in ("name", "style", "metadata", "split", "group")
    )
    if not names:
        return Assignment({}, [], 0, 0)

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(result, name) for result in results])

    pieces = np.arange(len(names))
    name_rank = _ranks(sorted(pieces.tolist(), key=names.__getitem__))
    sha256, num_notes = column("sha256"), column("num_notes").astype(np.int64)
    group_numbers = {name: number for number, name in enumerate(sorted(set(fixed_groups) - {""}))}
    rank = _ranks(np.lexsort((-name_rank, num_notes)))
    relations = relate(
        Columns(
            rank=rank,
            num_notes=num_notes,
            prints=[result.prints for result in results],
            fixed=np.array([group_numbers.get(name, -1) for name in fixed_groups]),
        )
    )
    best = {"drop": relations.best, "variants": best_of(relations.same, rank), "keep": pieces}[duplicates]
    kept = best == pieces

    by_id = np.lexsort((name_rank, *sha256.view(">u8").astype(np.uint64).T[::-1]))
    group, leader = _number_groups(relations.group, _ranks(by_id))
    text = sha256.tobytes().hex()
    ids = [text[i : i + 64] for i in range(0, len(text), 64)]
    group_ids = [ids[piece] for piece in leader.tolist()]
    fixed = np.array([SPLITS.index(name) if name else -1 for name in fixed_names])
    pins = np.array([SPLITS.index(pinned[name]) if pinned and name in pinned else -1 for name in names])
    group_fixed, group_pins = np.full(len(leader), -1), np.full(len(leader), -1)
    np.maximum.at(group_fixed, group, fixed)
    np.maximum.at(group_pins, group, pins)
    group_fixed = np.where(group_pins >= 0, group_pins, group_fixed)
    piece_split = _split_groups(group_ids, group_fixed, split=split, seed=seed)[group]
    piece_split = np.where(pins >= 0, pins, piece_split)

    columns = (
        np.repeat([result.spool for result in results], [len(result.name) for result in results]),
        column("offset"),
        column("length"),
        pieces,
        group,
    )
    by_id = by_id[kept[by_id]]
    shards = {}
    for key, members in _cut_shards(by_id, piece_split[by_id], num_shards=num_shards).items():
        rows = zip(*(values[members].tolist() for values in columns), strict=True)
        shards[key] = [
            Assigned(spool, offset, length, ids[i], names[i], styles[i], group_ids[g], metadata[i])
            for spool, offset, length, i, g in rows
        ]
    return Assignment(
        shards=shards,
        duplicates=sorted(_list_duplicates(np.flatnonzero(~kept), best, names, sha256, relations.same)),
        num_groups=len(leader),
        moved=int((kept & (fixed >= 0) & (fixed != piece_split)).sum()),
    )


def _ranks(order: Sequence[int] | np.ndarray) -> Int64[np.ndarray, " n"]:
    """Returns the place of each element in the order."""
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _number_groups(
    group: Int64[np.ndarray, " n"], id_rank: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " g"]]:
    """Returns the groups numbered in the order of their smallest ids, and the pieces that have those."""
    leader = best_of(group, -id_rank)
    leaders = np.unique(leader)
    leaders = leaders[np.argsort(id_rank[leaders])]
    number = np.empty(len(group), np.int64)
    number[leaders] = np.arange(len(leaders))
    return number[leader], leaders


def _list_duplicates(
    left_out: np.ndarray, best: np.ndarray, names: list[str], sha256: np.ndarray, same: np.ndarray
) -> list[Duplicate]:
    kept = best[left_out]
    same_bytes = (sha256[left_out] == sha256[kept]).all(axis=1)
    same_music = same[left_out] == same[kept]
    kinds: list[Literal["bytes", "music", "near"]] = ["near", "music", "bytes"]
    columns = (column.tolist() for column in (left_out, kept, same_music.astype(np.int8) + same_bytes))
    return [Duplicate(names[piece], names[other], kinds[kind]) for piece, other, kind in zip(*columns, strict=True)]


def _split_groups(
    group_ids: Sequence[str], fixed: Int64[np.ndarray, " g"], *, split: tuple[int, int, int], seed: int
) -> Int64[np.ndarray, " g"]:
    """Returns the number of the split of each group; `fixed` has it where it is known, elsewhere -1."""
    place = np.array([_unit_interval(f"{seed}:{group}") for group in group_ids])
    limits = np.cumsum(split) / 100
    chosen = np.where(fixed >= 0, fixed, np.searchsorted(limits, place, side="right"))
    needed = [number for number, percent in enumerate(split) if percent][: len(group_ids)]
    for number in needed:
        counts = Counter(chosen.tolist())
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
    in_train = int((piece_split == 0).sum()) or len(pieces)
    records_per_shard = in_train / num_shards if num_shards else RECORDS_PER_SHARD
    for number, name in enumerate(SPLITS):
        members = pieces[piece_split == number]
        count = min(len(members), max(1, round(len(members) / records_per_shard)))
        for shard in range(count):
            shards[name, shard, count] = members[shard::count]
    return shards
