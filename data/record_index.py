"""index/<split>.npy of a dataset, Int64[records, 3]: shard, offset in bytes, and length in steps of each record."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from ostinato.data.arrays import open_array
from ostinato.data.manifest import DatasetError, SplitEntry
from ostinato.music.codec import Codec

_BLOCK = 1 << 16
"""Records that are checked at a time: checking takes several times the memory of what is checked."""
_LONGEST = np.iinfo(np.int32).max


class RecordIndex(NamedTuple):
    """Where the records of a split are, in 16 bytes each."""

    shards: Int32[np.ndarray, " n"]
    offsets: Int64[np.ndarray, " n"]
    lengths: Int32[np.ndarray, " n"]
    """In steps."""


def read_index(folder: Path, split: str, entry: SplitEntry, codec: Codec) -> RecordIndex:
    """Returns the index of a split.

    Args:
        folder: of the dataset.
        split: its name.
        entry: what the manifest says of it.
        codec: wrote the records.

    Raises:
        DatasetError: it cannot be read, is not that of the manifest, points out of the shards, or says that a record is
            longer than its file.
    """
    path = folder / "index" / f"{split}.npy"
    rows = open_array(path, (np.int64,), 2, folder=folder, error=DatasetError)
    count = entry["pieces"]
    if rows.shape != (count, 3):
        raise DatasetError(f"{path}: has shape {rows.shape}, the manifest says {count} pieces; prepare it again")
    num_shards = len(entry["shards"])
    num_bytes = np.array([*(shard["bytes"] for shard in entry["shards"]), 0], np.int64)
    step_bytes = np.dtype(codec.dtype).itemsize * len(codec.fields)
    index = RecordIndex(np.empty(count, np.int32), np.empty(count, np.int64), np.empty(count, np.int32))
    for begin in range(0, count, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        shards, offsets, lengths = rows[block].T
        is_shard = (shards >= 0) & (shards < num_shards)
        here = num_bytes[np.where(is_shard, shards, -1)]
        longest = np.minimum(here // step_bytes, _LONGEST)
        wrong = ~is_shard | (offsets < 0) | (offsets >= here) | (lengths < 0) | (lengths > longest)
        if wrong.any():
            number = begin + int(wrong.argmax())
            shard, offset, length = rows[number].tolist()
            raise DatasetError(
                f"{path}: record {number} is said to lie in shard {shard} at byte {offset} with {length} steps, and "
                f"there is no such place in {num_shards} shards; prepare the dataset again"
            )
        index.shards[block], index.offsets[block], index.lengths[block] = shards, offsets, lengths
    return index
