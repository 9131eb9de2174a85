"""The least that preparing takes: a bare `multiprocessing.Pool`, for `benchmarks.prepare` to compare the Beam job with.

    python -m ostinato.benchmarks.bare_pool WHAT OUTPUT FOLDER ...

Each task reads 64 files and writes a shard of its own: no duplicates, no split, no limits, no index. WHAT is `same`,
the functions that `prepare` applies to each file (read, fingerprint, encode, statistics), or `least`: read and encode.
"""

import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ostinato.beam_pipelines.parse import ToEncode, Unusable, encode, parse
from ostinato.configs.schema import PrepareConfig
from ostinato.data import records
from ostinato.data.records import Record, ShardWriter
from ostinato.music import midi
from ostinato.music.score_codec import ScoreCodec

FILES_PER_SHARD = 64


class Frame(NamedTuple):
    """A framed record."""

    data: bytes
    num_steps: int
    num_notes: int


class Task(NamedTuple):
    """The files of one shard."""

    files: list[Path]
    target: Path


def _convert_same(data: bytes, config: PrepareConfig, codec_text: str) -> Frame | None:
    parsed = parse(data, config)
    if isinstance(parsed, Unusable):
        return None
    encoded = encode(ToEncode(parsed.sha256.hex(), "", parsed.packed), codec_text)
    return Frame(encoded.frame, encoded.num_steps, encoded.num_notes)


def _convert_least(data: bytes, codec: ScoreCodec) -> Frame | None:
    try:
        piece = midi.read(data)
    except midi.MidiError:
        return None
    steps = codec.encode(piece)
    return Frame(records.frame_record(Record("", "", steps)), len(steps), piece.num_notes)


def _write(task: Task, convert: Callable[[bytes], Frame | None]) -> tuple[int, int]:
    """Writes a shard and returns its numbers of pieces and notes."""
    with task.target.open("wb") as file:
        writer = ShardWriter(task.target.name, file)
        for path in task.files:
            frame = convert(path.read_bytes())
            if frame:
                writer.add(frame.data, num_steps=frame.num_steps, num_notes=frame.num_notes)
        shard = writer.shard()
    return len(shard.lengths), shard.num_notes


def main() -> None:
    """Converts the files of some folders and prints one line of JSON."""
    what, output = sys.argv[1], Path(sys.argv[2])
    codec = ScoreCodec()
    convert = {
        "same": partial(_convert_same, config=PrepareConfig(min_notes=1), codec_text=json.dumps(codec.to_json())),
        "least": partial(_convert_least, codec=codec),
    }[what]
    output.mkdir()
    files = [Path(entry.path) for folder in sys.argv[3:] for entry in os.scandir(folder)]
    tasks = [
        Task(files[begin : begin + FILES_PER_SHARD], output / f"shard-{number:05d}")
        for number, begin in enumerate(range(0, len(files), FILES_PER_SHARD))
    ]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        counts = list(pool.imap_unordered(partial(_write, convert=convert), tasks))
        pool.close()
        pool.join()
    print(json.dumps({"pieces": sum(pieces for pieces, _ in counts), "notes": sum(notes for _, notes in counts)}))


if __name__ == "__main__":
    main()
