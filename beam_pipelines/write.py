"""The last stage: pieces come back from the spool files, are encoded, and become the shards of the dataset."""

import functools
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from apache_beam.metrics.metric import Metrics
from more_itertools import constrained_batches

from ostinato.beam_pipelines.duplicates.grouping import Assigned, Duplicate, Rejected
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.isolation import Killed
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.parse import Encoded, ToEncode, count_events, encode
from ostinato.beam_pipelines.spool import packed_of
from ostinato.configs.errors import UserError
from ostinato.data import dataset_writer
from ostinato.data.statistics import Statistics
from ostinato.music.account import COUNTS

_BLOCK_PIECES = 256
_BLOCK_BYTES = 8 << 20
"""The pieces of a shard come from all spool files, this many at a time."""


class WriteError(UserError):
    """A shard that could not be written."""


MAX_CHANGED = 0.05
"""Share of a piece's notes from which on it is listed in changed.jsonl."""


@dataclass
class NotesWritten:
    """What became of the notes of the pieces in one shard, or in all (without the lists)."""

    notes: Counter[str] = field(default_factory=Counter)
    """See NoteAccount."""
    pieces: Counter[str] = field(default_factory=Counter)
    """That have any such note."""
    changed: list[dict[str, Any]] = field(default_factory=list)
    """Lines of changed.jsonl."""
    piece_notes: list[int] = field(default_factory=list)
    piece_ms: list[int] = field(default_factory=list)

    def add(self, piece: Assigned, split: str, result: Encoded) -> None:
        """Counts one piece."""
        for reason in COUNTS:
            count = getattr(result.account, reason)
            self.notes[reason] += count
            self.pieces[reason] += count > 0
            if reason not in ("read", "bends") and count > MAX_CHANGED * result.account.read:
                line = {"id": piece.id, "path": piece.name, "split": split, "reason": reason}
                self.changed.append({**line, "notes": count, "of": result.account.read})
        self.piece_notes.append(result.statistics.notes)
        self.piece_ms.append(result.statistics.duration_ms)

    def merge(self, other: dict[str, Any]) -> None:
        """Adds the counts of what `vars` gave of another one; not its lists, which grow with the pieces."""
        self.notes.update(other["notes"])
        self.pieces.update(other["pieces"])


def write_shard(key: str, pieces: list[Assigned], codec_text: str, job: Job) -> None:
    """Writes one shard and, in the work folder, the lines of pieces.jsonl and a note of what it holds.

    Nothing is done where an earlier command has written the same.

    Args:
        key: "split/shard/shards".
        pieces: in the order of their records.
        codec_text: the codec as JSON.
        job: says where.
    """
    split, shard, num_shards = key.split("/")
    name = dataset_writer.shard_name(job.name, split, int(shard), int(num_shards))
    digest = _digest(pieces, codec_text, job)
    if _is_written(key, name, digest, job):
        return
    items = (ToEncode(piece.id, piece.style, data) for piece, data in read_spooled(pieces, job))
    encoded = job.pool().imap(functools.partial(encode, codec_text=codec_text), items, size=lambda one: len(one.packed))
    statistics: dict[str, Statistics] = {}
    notes = NotesWritten()
    with files.create(files.join(job.folder, name)) as file:
        writer = dataset_writer.ShardWriter(name, file)
        for piece, result in zip(pieces, encoded, strict=True):
            if isinstance(result, Killed):
                raise WriteError(f"{piece.name}: cannot be encoded ({result.reason}: {result.detail})")
            writer.add(result.frame, num_steps=result.num_steps, num_notes=result.statistics.notes)
            notes.add(piece, split, result)
            statistics[piece.style] = statistics.get(piece.style, Statistics.empty()) + result.statistics
    Metrics.counter("prepare", "written").inc(len(pieces))
    Metrics.counter("prepare", "shards").inc()
    _write_lines(job.work_file("written", key, "jsonl"), [_describe(piece, split) for piece in pieces])
    by_style = {style: statistics[style].to_json() for style in sorted(statistics)}
    note = {"split": split, "shard": writer.shard()._asdict(), "statistics": by_style, "notes": vars(notes)}
    job.write_note("written", key, {**note, "digest": digest})


def _digest(pieces: Iterable[Assigned], codec_text: str, job: Job) -> str:
    """Returns a digest of all that decides what a shard holds, and what is said of it."""
    said = [piece._replace(spool=0, offset=0, length=0) for piece in pieces]
    return hashlib.sha256(json.dumps([job.settings, codec_text, said]).encode()).hexdigest()


def _is_written(key: str, name: str, digest: str, job: Job) -> bool:
    """Returns whether an earlier command has written the shard."""
    try:
        note = job.read_note("written", key)
    except StorageError as error:
        if error.reason == "missing":
            return False
        raise
    there = files.size_of(files.join(job.folder, name)), files.is_file(job.work_file("written", key, "jsonl"))
    return note["digest"] == digest and there == (note["shard"]["num_bytes"], True)


def write_list(name: str, rows: Iterable[Rejected | Duplicate], job: Job) -> None:
    """Writes rejects.jsonl or duplicates.jsonl."""
    _write_lines(files.join(job.folder, f"{name}.jsonl"), (row._asdict() for row in rows))


def count_vocabulary(pieces: list[Assigned], job: Job) -> dict[tuple[Any, ...], int]:
    """Returns how often each note or chord occurs in some pieces, for the notes codec."""
    counts: Counter[tuple[Any, ...]] = Counter()
    packed = (data for _, data in read_spooled(pieces, job))
    for piece, found in zip(pieces, job.pool().imap(count_events, packed, size=len), strict=True):
        if isinstance(found, Killed):
            raise WriteError(f"{piece.name}: cannot be counted ({found.reason}: {found.detail})")
        counts.update(dict(found))
    return counts


def read_spooled(pieces: Iterable[Assigned], job: Job) -> Iterator[tuple[Assigned, bytes]]:
    """Yields each piece with its packed bytes, in order, a few megabytes at a time."""
    blocks = constrained_batches(
        pieces, max_size=_BLOCK_BYTES, max_count=_BLOCK_PIECES, get_len=lambda piece: piece.length, strict=False
    )
    for block in blocks:
        by_spool: dict[int, list[Assigned]] = defaultdict(list)
        for piece in block:
            by_spool[piece.spool].append(piece)
        found: dict[Assigned, bytes] = {}
        for number, members in by_spool.items():
            ranges = [(piece.offset, piece.length) for piece in members]
            entries = files.read_ranges(job.spool(number), ranges)
            found.update(zip(members, map(packed_of, entries), strict=True))
        yield from ((piece, found[piece]) for piece in block)


def _write_lines(path: str, rows: Iterable[dict[str, Any]]) -> None:
    with files.create(path) as file:
        file.writelines(json.dumps(row).encode() + b"\n" for row in rows)


def _describe(piece: Assigned, split: str) -> dict[str, Any]:
    """Returns a line of pieces.jsonl."""
    line: dict[str, Any] = {"id": piece.id, "path": piece.name, "split": split, "group": piece.group}
    if piece.style:
        line["style"] = piece.style
    if piece.metadata:
        line["metadata"] = json.loads(piece.metadata)
    return line
