"""What the scan finds, made from pieces or from numbers."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ostinato.beam_pipelines.duplicates.fingerprint import NUM_TIMES, Fingerprints, fingerprint, stack
from ostinato.beam_pipelines.duplicates.grouping import Assigned, Duplicate, assign
from ostinato.beam_pipelines.duplicates.performances import NUM_BINS
from ostinato.beam_pipelines.duplicates.pieces import ScanResult, open_pieces
from ostinato.beam_pipelines.duplicates.voices import NUM_BANDS, WIDTH
from ostinato.music import midi
from ostinato.music.piece import Piece


class Found(NamedTuple):
    """One usable input."""

    name: str
    whole: int
    parts: tuple[int, ...] = ()
    """Those of its tracks."""
    bands: tuple[tuple[int, ...], ...] = ()
    num_notes: int = 100
    data: bytes = b""
    """Empty is the name."""
    split: str = ""
    group: str = ""
    prints: Fingerprints | None = None
    """Of a real piece; else they are made of the numbers."""

    def fingerprints(self) -> Fingerprints:
        """Returns what `fingerprint` would."""
        if self.prints:
            return self.prints
        parts = [(part, part) for part in self.parts or (self.whole,)]
        return Fingerprints(
            whole=self.whole,
            times=np.zeros(NUM_TIMES, np.int16),
            span=1.0,
            leads=np.zeros(2),
            parts=np.array(parts, np.uint64),
            performance=np.full(NUM_BINS, 2**32 - 1, np.uint32),
            line=np.zeros(0, np.uint8),
            voices=np.array([(*bands, *[0] * (WIDTH - NUM_BANDS)) for bands in self.bands], np.uint32).reshape(
                -1, WIDTH
            ),
        )


def found_piece(name: str, piece: Piece, *, split: str = "") -> Found:
    """Returns what the scan finds in a piece once it is written as MIDI, with a track for each program."""
    data = midi.write(piece)
    reading = midi.read_reporting(data)
    prints = fingerprint(reading.piece, reading.tracks)
    return Found(name, prints.whole, num_notes=reading.piece.num_notes, data=data, split=split, prints=prints)


def scan_result_of(rows: Iterable[Found], *, spool: int = 0) -> ScanResult:
    """Returns them as the columns of one spool file. Piece i lies at byte 1000 i of the spool and is 10 bytes long."""
    rows = list(rows)
    return ScanResult(
        spool=spool,
        name=[row.name for row in rows],
        style=["style of " + row.name for row in rows],
        split=[row.split for row in rows],
        group=[row.group for row in rows],
        sha256=np.array(
            [list(hashlib.sha256(row.data or row.name.encode()).digest()) for row in rows], np.uint8
        ).reshape(-1, 32),
        num_notes=np.array([row.num_notes for row in rows], np.int32),
        prints=stack([row.fingerprints() for row in rows]),
        offset=np.arange(len(rows), dtype=np.int64) * 1000,
        length=np.full(len(rows), 10, np.int64),
        metadata=["" for _ in rows],
    )


class Everything(NamedTuple):
    """An assignment, read from the files that are gone with its pieces."""

    shards: dict[tuple[str, int, int], list[Assigned]]
    duplicates: list[Duplicate]
    num_groups: int
    moved: int


def assign_all(results: Iterable[ScanResult], **options: Any) -> Everything:
    """Returns what `assign` makes of spool files in this order."""
    with open_pieces() as (pieces, _):
        for result in results:
            pieces.add(result)
        found = assign(pieces, **options)
        shards = {key: found.read_shard(key) for key in found.shards}
        return Everything(shards, list(found.duplicates()), found.num_groups, found.moved)


def splits_of(assignment: Everything) -> dict[str, str]:
    """Returns the split of each piece that is in the dataset, by name."""
    return {piece.name: split for (split, _, _), pieces in assignment.shards.items() for piece in pieces}


def groups_of(assignment: Everything) -> dict[str, str]:
    """Returns the group of each piece that is in the dataset, by name."""
    return {piece.name: piece.group for pieces in assignment.shards.values() for piece in pieces}
