"""What training needs for a large collection before its first step: opening the dataset, and the order of an epoch.

    python -m ostinato.benchmarks.dataset_size                     # two million pieces in a thousand shards, 5 GB

The dataset is real: each shard has an index, records and checksums of its own names, but all are links to one file.
"""

import argparse
import dataclasses
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ostinato.benchmarks.processes import run
from ostinato.configs.schema import DataConfig
from ostinato.data.dataset_writer import ShardWriter, dataset_name, finish_dataset, frame_record, shard_name
from ostinato.data.records import Dataset, Record
from ostinato.launch.commands.show import print_table
from ostinato.music.piece import make_piece
from ostinato.music.score_codec import ScoreCodec
from ostinato.train.data import training_batches

DATA = DataConfig(max_transpose=5, max_tempo_change=10)


def make_dataset(folder: Path, *, num_pieces: int, num_shards: int) -> Path:
    """Writes a dataset of short pieces, of which each shard holds the same; returns its folder."""
    codec, rng = ScoreCodec(), np.random.default_rng(0)
    folder.mkdir(parents=True)
    name = dataset_name(folder)
    first = folder / shard_name(name, "train", 0, num_shards)
    with first.open("wb") as file:
        writer = ShardWriter(first.name, file)
        for number in range(num_pieces // num_shards):
            count = int(rng.integers(20, 60))
            piece = make_piece(
                onset=np.arange(count) * 12,
                duration=np.full(count, 12),
                pitch=rng.integers(40, 90, count),
                velocity=np.full(count, 80),
                program=np.zeros(count),
                ticks_per_quarter=24,
            )
            record = Record(str(number), "", codec.encode(piece))
            writer.add(frame_record(record), num_steps=len(record.steps), num_notes=count)
    shard = writer.shard()
    names = [shard_name(name, "train", number, num_shards) for number in range(num_shards)]
    for other in names[1:]:
        os.link(first, folder / other)
    finish_dataset(folder, name, codec, {"train": [shard._replace(file=other) for other in names]}, {})
    return folder


@contextmanager
def _measured(name: str, found: dict[str, float]) -> Iterator[None]:
    """Adds what the block takes: seconds, and the memory that it had at most and has left, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start_s, start_cpu_s = _memory("VmRSS"), time.monotonic(), time.process_time()
    yield
    found[f"{name}: s"] = time.monotonic() - start_s
    found[f"{name}: CPU s"] = time.process_time() - start_cpu_s
    found[f"{name}: peak"] = _memory("VmHWM") - before
    found[f"{name}: kept"] = _memory("VmRSS") - before


def _memory(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def look(folder: Path) -> dict[str, float]:
    """Returns what it took to open a dataset, and to make the first batch of an epoch and of the next one."""
    found: dict[str, float] = {}
    with _measured("open", found):
        source = Dataset.open(folder).source("train")
    for order in ("streams", "windows"):
        with _measured(f"{order}, before the first epoch", found):
            batches = training_batches(source, dataclasses.replace(DATA, order=order), seed=0)
        for epoch in (0, 1):
            with _measured(f"{order}, order of epoch {epoch}", found):
                batches.pieces(epoch * batches.steps_per_epoch)
        with _measured(f"{order}, a batch", found):
            _ = batches[1]
    return found


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=2_000_000)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--look", type=Path, help="measure an existing one in this process, and print JSON")
    given = parser.parse_args()
    if given.look:
        print(json.dumps(look(given.look)))
        return
    with tempfile.TemporaryDirectory(prefix="ostinato-") as work:
        folder = make_dataset(Path(work, "large"), num_pieces=given.pieces, num_shards=given.shards)
        command = [sys.executable, "-m", "ostinato.benchmarks.dataset_size", "--look", str(folder)]
        rounds = [json.loads(run(command).output.splitlines()[-1]) for _ in range(3)]
    rows = []
    for name in dict.fromkeys(key.partition(": ")[0] for key in rounds[0]):
        values = {
            key: float(np.median([one[f"{name}: {key}"] for one in rounds])) for key in ("s", "CPU s", "peak", "kept")
        }
        sizes = [f"{values[key] / 1e6:,.1f} MB, {values[key] / given.pieces:.1f} a piece" for key in ("peak", "kept")]
        rows.append((name, f"{values['s']:.3f} s", f"{values['CPU s']:.3f} s", *sizes))
    print_table(
        f"{given.pieces:,} pieces in {given.shards:,} shards", ("", "wall", "CPU", "memory, peak", "memory, kept"), rows
    )


if __name__ == "__main__":
    main()
