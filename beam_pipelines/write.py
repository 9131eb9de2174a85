"""The last stage: pieces come back from the spool files, are encoded, and become the shards of the dataset."""

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from apache_beam.metrics.metric import Metrics

from ostinato.beam_pipelines.duplicates.grouping import Assigned, Duplicate, Rejected
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.isolation import Killed
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.parse import ToEncode, count_events, encode
from ostinato.configs.errors import UserError
from ostinato.data import records
from ostinato.data.statistics import Statistics

_BLOCK_PIECES = 256
_BLOCK_BYTES = 8 << 20
"""The pieces of a shard come from all spool files; so many are read at a time."""


class WriteError(UserError):
    """A shard that could not be written."""


def write_shard(key: str, pieces: list[Assigned], codec_text: str, job: Job) -> None:
    """Writes one shard and, beside it in the work folder, a note of what it holds.

    Args:
        key: "split/shard/shards".
        pieces: in the order of their records.
        codec_text: the codec as JSON.
        job: says where.
    """
    pool = job.pool()
    split, shard, num_shards = key.split("/")
    name = records.shard_name(job.name, split, int(shard), int(num_shards))
    statistics: dict[str, Statistics] = {}
    spooled = read_spooled(pieces, job)
    items = (ToEncode(piece.id, piece.style, data) for piece, data in zip(pieces, spooled, strict=True))
    with files.create(files.join(job.folder, name)) as file:
        writer = records.ShardWriter(name, file)
        function = functools.partial(encode, codec_text=codec_text)
        for piece, encoded in zip(pieces, pool.imap(function, items, size=lambda item: len(item.packed)), strict=True):
            if isinstance(encoded, Killed):
                raise WriteError(f"{piece.name}: cannot be encoded ({encoded.reason}: {encoded.detail})")
            writer.add(encoded.frame, num_steps=encoded.num_steps, num_notes=encoded.num_notes)
            statistics[piece.style] = statistics.get(piece.style, Statistics.empty()) + encoded.statistics
    Metrics.counter("prepare", "written").inc(len(pieces))
    lines = "".join(json.dumps(_describe(piece, split)) + "\n" for piece in pieces)
    files.write_bytes(job.work_file("written", key, "jsonl"), lines.encode())
    note = {
        "split": split,
        "shard": writer.shard()._asdict(),
        "statistics": {style: statistics[style].to_json() for style in sorted(statistics)},
    }
    files.write_bytes(job.work_file("written", key, "json"), json.dumps(note).encode())


def write_list(key: str, rows: list[tuple[Any, ...]], job: Job) -> None:
    """Writes rejects.jsonl or duplicates.jsonl."""
    kind = {"rejects": Rejected, "duplicates": Duplicate}[key]
    lines = "".join(json.dumps(kind(*row)._asdict()) + "\n" for row in rows)
    files.write_bytes(files.join(job.folder, f"{key}.jsonl"), lines.encode())


def count_vocabulary(pieces: list[Assigned], job: Job) -> dict[tuple[Any, ...], int]:
    """Returns how often each note or chord occurs in some pieces, for the notes codec."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for piece, found in zip(pieces, job.pool().imap(count_events, read_spooled(pieces, job), size=len), strict=True):
        if isinstance(found, Killed):
            raise WriteError(f"{piece.name}: cannot be counted ({found.reason}: {found.detail})")
        counts.update(dict(found))
    return counts


def read_spooled(pieces: Iterable[Assigned], job: Job) -> Iterator[bytes]:
    """Yields the packed bytes of each piece, in order, a few megabytes at a time."""
    for block in _blocks(pieces):
        by_spool: dict[int, list[Assigned]] = defaultdict(list)
        for piece in block:
            by_spool[piece.unit].append(piece)
        found: dict[tuple[int, int], bytes] = {}
        for number, members in by_spool.items():
            spool = job.spool(number)
            ranges = [(piece.offset, piece.length) for piece in members]
            for (offset, length), data in zip(ranges, files.read_ranges(spool, ranges), strict=True):
                if len(data) != length:
                    raise WriteError(f"{spool}: ends before byte {offset + length}; run prepare again")
                found[number, offset] = data
        yield from (found[piece.unit, piece.offset] for piece in block)


def _blocks(pieces: Iterable[Assigned]) -> Iterator[list[Assigned]]:
    block, num_bytes = [], 0
    for piece in pieces:
        block.append(piece)
        num_bytes += piece.length
        if len(block) == _BLOCK_PIECES or num_bytes >= _BLOCK_BYTES:
            yield block
            block, num_bytes = [], 0
    if block:
        yield block


def _describe(piece: Assigned, split: str) -> dict[str, Any]:
    """Returns a line of pieces.jsonl."""
    line: dict[str, Any] = {"id": piece.id, "path": piece.name, "split": split, "group": piece.group}
    if piece.style:
        line["style"] = piece.style
    if piece.metadata:
        line["metadata"] = json.loads(piece.metadata)
    return line
