"""index/<split>.npy of a dataset, Int64[records, 3]: shard, offset in bytes, and length in steps of each record."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from ostinato.data.arrays import open_array
from ostinato.data.manifest import DatasetError, SplitEntry
from ostinato.music.codec import Codec


def read_index(folder: Path, split: str, entry: SplitEntry, codec: Codec) -> Int[np.ndarray, "n 3"]:
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
    rows = np.array(open_array(path, (np.int64,), 2, folder=folder, error=DatasetError))
    if rows.shape != (entry["pieces"], 3):
        raise DatasetError(
            f"{path}: has shape {rows.shape}, the manifest says {entry['pieces']} pieces; prepare it again"
        )
    num_shards = len(entry["shards"])
    num_bytes = np.array([*(shard["bytes"] for shard in entry["shards"]), 0], np.int64)
    shards, offsets, lengths = rows.T
    is_shard = (shards >= 0) & (shards < num_shards)
    here = num_bytes[np.where(is_shard, shards, -1)]
    longest = here // (np.dtype(codec.dtype).itemsize * len(codec.fields))
    wrong = ~is_shard | (offsets < 0) | (offsets >= here) | (lengths < 0) | (lengths > longest)
    if wrong.any():
        number = int(wrong.argmax())
        shard, offset, length = rows[number].tolist()
        raise DatasetError(
            f"{path}: record {number} is said to lie in shard {shard} at byte {offset} with {length} steps, and there "
            f"is no such place in {num_shards} shards; prepare the dataset again"
        )
    return rows
