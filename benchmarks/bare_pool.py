"""The least that preparing takes: a bare `multiprocessing.Pool`, for `benchmarks.prepare` to compare the Beam job with.

    python -m ostinato.benchmarks.bare_pool same|least OUTPUT FOLDER ...

Each task reads 64 files and writes a shard of its own: no duplicates, no split, no limits, no index. `same`: the
functions that `prepare` applies to each file (read, fingerprint, encode, statistics); `least`: read and encode.
"""

import json
import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path

from ostinato.beam_pipelines.parse import ToEncode, Unusable, encode, parse
from ostinato.configs.preparation import PrepareConfig
from ostinato.data import dataset_writer
from ostinato.data.dataset_writer import ShardWriter
from ostinato.data.records import Record
from ostinato.music import midi
from ostinato.music.score_codec import ScoreCodec

FILES_PER_SHARD = 64
_CODEC = ScoreCodec()
_CODEC_TEXT = json.dumps(_CODEC.to_json())


def _add_same(writer: ShardWriter, data: bytes) -> None:
    parsed = parse(data, PrepareConfig(min_notes=1))
    if not isinstance(parsed, Unusable):
        encoded = encode(ToEncode(parsed.sha256.hex(), "", parsed.packed), _CODEC_TEXT)
        writer.add(encoded.frame, num_steps=encoded.num_steps, num_notes=encoded.account.kept)


def _add_least(writer: ShardWriter, data: bytes) -> None:
    try:
        piece = midi.read(data)
    except midi.MidiError:
        return
    steps = _CODEC.encode(piece)
    writer.add(dataset_writer.frame_record(Record("", "", steps)), num_steps=len(steps), num_notes=piece.num_notes)


def _write(files: list[Path], output: Path, what: str) -> tuple[int, int]:
    """Writes a shard and returns its numbers of pieces and notes."""
    target = output / files[0].parent.name / files[0].name
    target.parent.mkdir(exist_ok=True)
    with target.open("wb") as file:
        writer = ShardWriter(target.name, file)
        for path in files:
            {"same": _add_same, "least": _add_least}[what](writer, path.read_bytes())
        shard = writer.shard()
    return len(shard.lengths), shard.num_notes


def main() -> None:
    """Converts the files of some folders and prints one line of JSON."""
    what, output = sys.argv[1], Path(sys.argv[2])
    output.mkdir()
    files = [path for folder in sys.argv[3:] for path in sorted(Path(folder).iterdir())]
    tasks = [files[begin : begin + FILES_PER_SHARD] for begin in range(0, len(files), FILES_PER_SHARD)]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        counts = list(pool.imap_unordered(partial(_write, output=output, what=what), tasks))
        pool.close()
        pool.join()  # or their time would not count
    print(json.dumps(dict(zip(("pieces", "notes"), map(sum, zip(*counts, strict=True)), strict=True))))


if __name__ == "__main__":
    main()
