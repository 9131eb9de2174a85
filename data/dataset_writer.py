"""Writes datasets: shards of framed records, and last the index, TFDS's description and the manifest.

    <name>-<split>.tfrecord-00007-of-00064   records
    index/<split>.npy                        where each record is: see record_index.py
    features.json, dataset_info.json         what `tfds.builder_from_directory` reads
    manifest.json                            codec, configuration, counts, checksums; written last

A folder without manifest.json is not a dataset.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int

from ostinato.data import durable, tfrecord
from ostinato.data.atomic import write_atomically
from ostinato.data.manifest import FILE as MANIFEST
from ostinato.data.manifest import FORMAT
from ostinato.data.records import Record, encode_record
from ostinato.data.tfds_description import write_tfds_description
from ostinato.music.codec import Codec


class Shard(NamedTuple):
    """What the manifest says of one shard file."""

    file: str
    num_bytes: int
    sha256: str
    offsets: Sequence[int] | Int[np.ndarray, " r"]
    """Where each record begins."""
    lengths: Sequence[int] | Int[np.ndarray, " r"]
    """The length of each record in steps."""
    num_notes: int


def shard_name(name: str, split: str, shard: int, num_shards: int) -> str:
    """Returns the file name of a shard as TFDS spells it."""
    return f"{name}-{split}.tfrecord-{shard:05d}-of-{num_shards:05d}"


def frame_record(record: Record) -> bytes:
    """Returns a record as it stands in a shard."""
    return tfrecord.frame(encode_record(record))


class ShardWriter:
    """Writes framed records to a file, one after the other, and describes what was written."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        """Takes the shard's name and the file it is written to, which the caller opens and closes."""
        self._name = name
        self._file = file
        self._digest = hashlib.sha256()
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._num_notes = self._end = 0

    def add(self, frame: bytes, *, num_steps: int, num_notes: int) -> None:
        """Appends what `frame_record` returned."""
        self._file.write(frame)
        self._digest.update(frame)
        self._offsets.append(self._end)
        self._lengths.append(num_steps)
        self._num_notes += num_notes
        self._end += len(frame)

    def shard(self) -> Shard:
        """Returns what the manifest says of the file."""
        return Shard(self._name, self._end, self._digest.hexdigest(), self._offsets, self._lengths, self._num_notes)


def dataset_name(folder: Path) -> str:
    """Returns the folder's name in the spelling TFDS allows: lower case letters, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_")
    return name if name[:1].isalpha() else f"midi_{name}".rstrip("_")


def finish_dataset(
    folder: Path,
    name: str,
    codec: Codec,
    shards: Mapping[str, list[Shard]],
    manifest: Mapping[str, Any],
    *,
    for_tfds: bool = True,
) -> None:
    """Writes index, TFDS description and, last, the manifest beside shards that are already there.

    Args:
        folder: where the shards are.
        name: of the dataset, the first part of the shards' names.
        codec: wrote the records.
        shards: of each split, in order, none of them empty. A split without shards is left out: TFDS refuses it.
        manifest: further entries, such as counts and configuration.
        for_tfds: with TFDS's description, which takes TFDS to write and nothing of ours to read.
    """
    splits = {split: parts for split, parts in shards.items() if parts}
    (folder / "index").mkdir(exist_ok=True)
    for split, parts in splits.items():
        rows = np.empty((sum(len(shard.lengths) for shard in parts), 3), np.int64)
        begin = 0
        for number, shard in enumerate(parts):
            end = begin + len(shard.lengths)
            rows[begin:end, 0], rows[begin:end, 1], rows[begin:end, 2] = number, shard.offsets, shard.lengths
            begin = end
        np.save(folder / "index" / f"{split}.npy", rows)
    if for_tfds:
        write_tfds_description(folder, name, codec, splits)
    summary = {
        split: {
            "pieces": sum(len(shard.lengths) for shard in parts),
            "steps": sum(int(np.sum(shard.lengths, dtype=np.int64)) for shard in parts),
            "notes": sum(shard.num_notes for shard in parts),
            "shards": [
                {"file": s.file, "bytes": s.num_bytes, "sha256": s.sha256, "records": len(s.lengths)} for s in parts
            ],
        }
        for split, parts in splits.items()
    }
    content = {"codec": codec.to_json(), "splits": summary}
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    document = {"format": FORMAT, "name": name, "fingerprint": fingerprint, **manifest, **content}
    durable.sync_tree(folder)
    write_atomically(folder / MANIFEST, (json.dumps(document, indent=1) + "\n").encode())


def write_dataset(
    folder: Path, records: Mapping[str, list[Record]], codec: Codec, *, for_tfds: bool = True, **manifest: Any
) -> None:
    """Writes a small dataset, one shard per split, from records in memory; a split without records is left out."""
    folder.mkdir(parents=True)
    name = dataset_name(folder)
    shards = {}
    for split, pieces in records.items():
        if not pieces:
            continue
        file_name = shard_name(name, split, 0, 1)
        with (folder / file_name).open("wb") as file:
            writer = ShardWriter(file_name, file)
            for piece in pieces:
                num_notes = int(codec.count_notes(piece.steps).sum())
                writer.add(frame_record(piece), num_steps=len(piece.steps), num_notes=num_notes)
        shards[split] = [writer.shard()]
    finish_dataset(folder, name, codec, shards, manifest, for_tfds=for_tfds)
