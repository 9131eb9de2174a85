"""The dataset on disk: whole pieces as records in TFRecord shards, with an index, a manifest and TFDS's description.

    <name>-<split>.tfrecord-00007-of-00064   records
    index/<split>.npy                        where each record is: see record_index.py
    features.json, dataset_info.json         what `tfds.builder_from_directory` reads
    manifest.json                            codec, configuration, counts, checksums; written last

A folder without manifest.json is not a dataset.
"""

import hashlib
import json
import mmap
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from jaxtyping import Int, Integer

from ostinato.configs.documents import MAX_BYTES
from ostinato.configs.errors import UserError
from ostinato.data import durable, tfrecord
from ostinato.data.atomic import write_atomically
from ostinato.data.manifest import FILE as MANIFEST
from ostinato.data.manifest import FORMAT, DatasetError, Manifest, check_shards, check_sizes, read_manifest
from ostinato.data.record_index import read_index
from ostinato.data.remote_records import RemoteRecords
from ostinato.data.store import Store, url_of
from ostinato.data.tfds_description import write_tfds_description
from ostinato.music.codec import Codec
from ostinato.music.codecs import codec_from_json

SPLITS = ("train", "validation", "test")


class Record(NamedTuple):
    """One piece."""

    id: str
    """The SHA-256 of the MIDI file's bytes."""
    style: str
    steps: Integer[np.ndarray, "n f"]


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


def encode_record(record: Record) -> bytes:
    """Returns a record as a serialised tf.train.Example."""
    return tfrecord.encode_example(
        {
            "id": record.id.encode(),
            "style": record.style.encode(),
            "steps": np.ascontiguousarray(record.steps).tobytes(),
        }
    )


def decode_record(data: bytes, codec: Codec) -> Record:
    """Returns the record that `encode_record` wrote with this codec.

    Raises:
        CorruptRecordError: it wrote another one.
    """
    features = tfrecord.decode_example(data)
    try:
        steps = np.frombuffer(features["steps"], codec.dtype).reshape(-1, len(codec.fields))
        return Record(features["id"].decode(), features["style"].decode(), steps)
    except (KeyError, ValueError) as error:
        raise tfrecord.CorruptRecordError(
            f"not a record of this codec ({type(error).__name__}: {error!s:.100})"
        ) from error


def check_steps(steps: Integer[np.ndarray, "n f"], codec: Codec) -> None:
    """Refuses rows of which a field has a value that its codec does not have.

    Raises:
        CorruptRecordError: it names the field.
    """
    for field, values in zip(codec.fields, steps.T, strict=True):
        if len(values) and not (values.min() >= 0 and values.max() < field.size):
            raise tfrecord.CorruptRecordError(
                f"{field.name} has values from {values.min()} to {values.max()}, allowed are 0 to {field.size - 1}"
            )


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
    write_atomically(folder / "manifest.json", (json.dumps(document, indent=1) + "\n").encode())


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


class Dataset:
    """A finished dataset."""

    def __init__(self, path: Path, manifest: Manifest, store: Store | None = None) -> None:
        """Use `Dataset.open`, which checks the folder.

        Args:
            path: the folder. Of a dataset in a store only its documents are there, as far as they were fetched.
            manifest: what it says of itself.
            store: where the records are, if not there.
        """
        self.path = path
        self.manifest = manifest
        self.store = store
        self.codec = codec_from_json(manifest["codec"], where=f"{path / MANIFEST}: codec", error=DatasetError)

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """Opens a dataset and checks that every shard is there with the size the manifest states.

        Of one in a store (s3://bucket/data) the records stay there, to be read when they are needed.

        Raises:
            DatasetError: the folder is not a finished dataset, of another version, or a shard is missing or cut.
        """
        if (url := url_of(path)) is not None:
            return cls._open_remote(Store(url))
        path = Path(path)
        manifest = read_manifest(path)
        check_shards(path, manifest)
        return cls(path, manifest)

    @classmethod
    def _open_remote(cls, store: Store) -> "Dataset":
        sizes = store.sizes()
        if MANIFEST not in sizes:
            raise DatasetError(f"{store.url}: not a finished dataset ({MANIFEST} is missing)")
        if sizes[MANIFEST] > MAX_BYTES:
            raise DatasetError(f"{store.url}/{MANIFEST}: has {sizes[MANIFEST]:,} bytes, at most {MAX_BYTES:,} are read")
        documents = tempfile.mkdtemp(prefix="ostinato-")
        weakref.finalize(store, shutil.rmtree, documents, ignore_errors=True)  # they go when nobody reads any more
        folder = Path(documents, store.url.rpartition("/")[2])
        folder.mkdir()
        (folder / MANIFEST).write_bytes(store.read(MANIFEST))
        try:
            dataset = cls(folder, read_manifest(folder), store)
        except DatasetError as error:
            raise DatasetError(str(error).replace(str(folder), store.url)) from error
        check_sizes(store.url, dataset.manifest, sizes)
        return dataset

    def __str__(self) -> str:
        """Returns the folder, or the URL."""
        return str(self.path) if self.store is None else self.store.url

    @property
    def location(self) -> str:
        """Where it is, for whoever works in another folder."""
        return str(self.path.absolute()) if self.store is None else self.store.url

    def fetch(self, name: str) -> Path:
        """Returns the path of a document on this machine, whether or not there is one; from a store it is copied.

        Raises:
            DatasetError: the store cannot be read.
        """
        path = self.path / name
        if self.store is not None and not path.exists() and name in self.store.sizes():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self.store.read(name))
        return path

    @property
    def fingerprint(self) -> str:
        """Equal exactly for datasets with equal content."""
        return self.manifest["fingerprint"]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.manifest["splits"])

    def source(self, split: str) -> "TFRecordSource":
        """Returns random access to the records of a split.

        Raises:
            DatasetError: there is no such split.
        """
        if split not in self.splits:
            raise DatasetError(f"{self}: has no split {split!r}, only {', '.join(self.splits)}")
        return TFRecordSource(self, split)


class RecordSource(Protocol):
    """Pieces by their number."""

    @property
    def codec(self) -> Codec: ...

    @property
    def lengths(self) -> Int[np.ndarray, " p"]:
        """Steps in each record."""
        ...

    def __getitem__(self, i: int, /) -> Record: ...

    def read_ahead(self, numbers: Iterable[int], /) -> None:
        """Says which pieces are read next; where they are far away they are fetched all at once."""
        ...


@dataclass(frozen=True)
class RecordsInMemory:
    """A few pieces that are no dataset."""

    codec: Codec
    records: Sequence[Record]

    @property
    def lengths(self) -> Int[np.ndarray, " p"]:
        return np.array([len(record.steps) for record in self.records])

    def __getitem__(self, i: int) -> Record:
        return self.records[i]

    def read_ahead(self, numbers: Iterable[int]) -> None:
        """They are here."""


class TFRecordSource:
    """Random access to the records of one split; reading checks their CRC."""

    def __init__(self, dataset: Dataset, split: str) -> None:
        """Loads the index; shards on this machine are mapped into memory when they are first read."""
        self.codec = dataset.codec
        self.split = split
        found = dataset.manifest["splits"][split]
        names = [shard["file"] for shard in found["shards"]]
        self._files = [dataset.path / name for name in names]
        self.num_notes = found["notes"]
        dataset.fetch(f"index/{split}.npy")
        index = read_index(dataset.path, split, found, dataset.codec)
        self._shards, self._offsets, self.lengths = index
        """`lengths` Int32[records]: steps in each record."""
        self._remote = None
        if dataset.store is not None:
            self._files = [f"{dataset.store.url}/{name}" for name in names]
            sizes = [shard["bytes"] for shard in found["shards"]]
            self._remote = RemoteRecords(dataset.store, names, sizes, index)
        self._maps: dict[int, memoryview] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> Record:
        if not 0 <= i < len(self):
            raise IndexError(f"record {i} of {len(self)}")
        shard = int(self._shards[i])
        if self._remote is None:
            data, offset = self._map(shard), int(self._offsets[i])
        else:
            data, offset = memoryview(self._remote[i]), 0
        try:
            record = decode_record(tfrecord.read_at(data, offset), self.codec)
            check_steps(record.steps, self.codec)
        except UserError as error:
            raise DatasetError(f"{self._files[shard]}: {error}; prepare the dataset again") from error
        if len(record.steps) != self.lengths[i]:
            raise DatasetError(f"{self._files[shard]}: record {i} has {len(record.steps)} steps, not {self.lengths[i]}")
        return record

    def read_ahead(self, numbers: Iterable[int]) -> None:
        """Fetches records from a store, all at once; on this machine the system does so."""
        if self._remote is not None:
            self._remote.read_ahead(numbers)

    def _map(self, shard: int) -> memoryview:
        if shard not in self._maps:
            with open(self._files[shard], "rb") as file:
                self._maps[shard] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self._maps[shard]
