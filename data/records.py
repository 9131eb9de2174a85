"""The dataset on disk: whole pieces as records, read by their number. `dataset_writer` has the layout."""

import mmap
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Int, Integer

from ostinato.configs.documents import MAX_BYTES
from ostinato.configs.errors import UserError
from ostinato.data import tfrecord
from ostinato.data.manifest import FILE as MANIFEST
from ostinato.data.manifest import DatasetError, Manifest, check_shards, check_sizes, read_manifest
from ostinato.data.record_index import read_index
from ostinato.data.remote_records import RemoteRecords
from ostinato.data.store import Store, url_of
from ostinato.music.codec import Codec
from ostinato.music.codecs import codec_from_json

SPLITS = ("train", "validation", "test")


class Record(NamedTuple):
    """One piece."""

    id: str
    """The SHA-256 of the MIDI file's bytes."""
    style: str
    steps: Integer[np.ndarray, "n f"]


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
