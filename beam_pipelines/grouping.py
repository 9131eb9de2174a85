"""Which pieces are duplicates, which belong together, and to which split and shard each goes.

Pure functions over what the scan found; the pipeline only wires them.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from ostinato.beam_pipelines.sources import Locator
from ostinato.music.records import SPLITS

RECORDS_PER_SHARD = 1000


class Found(NamedTuple):
    """What the scan found in one input that can be used."""

    locator: Locator
    id: str
    """SHA-256 of the bytes."""
    whole: bytes
    parts: tuple[bytes, ...]
    """See `fingerprint.Fingerprints`."""


class Rejected(NamedTuple):
    """An input that is left out."""

    path: str
    stage: str
    """read, parse or select."""
    reason: str
    detail: str


class Assigned(NamedTuple):
    """A piece that is in the dataset."""

    locator: Locator
    id: str
    group: str
    """The smallest id of the pieces that belong together."""


class Duplicate(NamedTuple):
    """An input that is left out because another one holds the same music."""

    path: str
    kept: str
    """Path of the one that is in the dataset."""


class Assignment(NamedTuple):
    """Where everything goes."""

    shards: dict[tuple[str, int, int], list[Assigned]]
    """(split, shard, number of shards) to its pieces in the order of their ids."""
    duplicates: list[Duplicate]


def assign(found: Iterable[Found], *, split: tuple[int, int, int], seed: int, num_shards: int) -> Assignment:
    """Assigns every piece to a split and a shard; depends on the contents and not on the order of `found`.

    A piece is in the split that the hash of its group says. Where that leaves a wanted split empty, the group whose
    hash is next to the split's range is moved into it; with fewer groups than splits, training comes first.
    """
    kept: dict[bytes, Found] = {}
    duplicates: list[tuple[str, bytes]] = []
    for piece in sorted(found, key=lambda piece: (piece.locator, piece.id)):
        if kept.setdefault(piece.whole, piece) is not piece:
            duplicates.append((piece.locator.name, piece.whole))
    pieces = sorted(kept.values(), key=lambda piece: piece.id)
    groups = _connected(pieces)
    splits = _split_groups(set(groups.values()), split=split, seed=seed)

    by_split: dict[str, list[Assigned]] = defaultdict(list)
    for piece in pieces:
        group = groups[piece.id]
        by_split[splits[group]].append(Assigned(piece.locator, piece.id, group))
    shards: dict[tuple[str, int, int], list[Assigned]] = {}
    for name, members in by_split.items():
        records_per_shard = len(by_split["train"]) / num_shards if num_shards else RECORDS_PER_SHARD
        count = min(len(members), max(1, round(len(members) / records_per_shard)))
        for number in range(count):
            shards[name, number, count] = members[number::count]
    return Assignment(shards, [Duplicate(path, kept[whole].locator.name) for path, whole in duplicates])


def _connected(pieces: list[Found]) -> dict[str, str]:
    """Returns the group of each piece: the smallest id among those connected by common parts (union-find)."""
    parent: dict[str, str] = {piece.id: piece.id for piece in pieces}

    def root(node: str) -> str:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    first: dict[bytes, str] = {}
    for piece in pieces:
        for part in piece.parts:
            one, other = sorted((root(piece.id), root(first.setdefault(part, piece.id))))
            parent[other] = one
    return {piece.id: root(piece.id) for piece in pieces}


def _split_groups(groups: set[str], *, split: tuple[int, int, int], seed: int) -> dict[str, str]:
    place = {group: _unit_interval(f"{seed}:{group}") for group in groups}
    limits = [sum(split[: number + 1]) / 100 for number in range(3)]
    names = [name for name, percent in zip(SPLITS, split, strict=True) if percent]
    chosen = {
        group: next(name for name, limit in zip(SPLITS, limits, strict=True) if position < limit)
        for group, position in place.items()
    }
    needed = names[: len(groups)]
    for name in needed:
        if name in chosen.values():
            continue
        counts = Counter(chosen.values())
        middle = limits[SPLITS.index(name)] - split[SPLITS.index(name)] / 200
        movable = [group for group in sorted(groups) if counts[chosen[group]] > 1 or chosen[group] not in needed]
        chosen[min(movable, key=lambda group: abs(place[group] - middle))] = name
    return chosen


def _unit_interval(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
