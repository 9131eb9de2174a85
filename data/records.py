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
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from jaxtyping import Int, Integer

from ostinato.configs.errors import UserError
from ostinato.data import durable, tfrecord
from ostinato.data.atomic import write_atomically
from ostinato.data.manifest import FILE as MANIFEST
from ostinato.data.manifest import FORMAT, DatasetError, Manifest, check_shards, read_manifest
from ostinato.data.record_index import read_index
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
    offsets: list[int]
    """Where each record begins."""
    lengths: list[int]
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
        rows = [
            (number, offset, length)
            for number, shard in enumerate(parts)
            for offset, length in zip(shard.offsets, shard.lengths, strict=True)
        ]
        np.save(folder / "index" / f"{split}.npy", np.array(rows, np.int64).reshape(-1, 3))
    if for_tfds:
        _write_tfds_description(folder, name, codec, splits)
    summary = {
        split: {
            "pieces": sum(len(shard.lengths) for shard in parts),
            "steps": sum(sum(shard.lengths) for shard in parts),
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

    def __init__(self, path: Path, manifest: Manifest) -> None:
        """Use `Dataset.open`, which checks the folder."""
        self.path = path
        self.manifest = manifest
        self.codec = codec_from_json(manifest["codec"], where=f"{path / MANIFEST}: codec", error=DatasetError)

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """Opens a dataset and checks that every shard is there with the size the manifest states.

        Raises:
            DatasetError: the folder is not a finished dataset, of another version, or a shard is missing or cut.
        """
        if re.match(r"\w+:/", str(path)):
            raise DatasetError(f"{path}: copy the dataset to this machine first; it is read from a file system")
        path = Path(path)
        manifest = read_manifest(path)
        check_shards(path, manifest)
        return cls(path, manifest)

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
            raise DatasetError(f"{self.path}: has no split {split!r}, only {', '.join(self.splits)}")
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


class TFRecordSource:
    """Random access to the records of one split; reading checks their CRC."""

    def __init__(self, dataset: Dataset, split: str) -> None:
        """Loads the index; shards are mapped into memory when they are first read."""
        self.codec = dataset.codec
        self.split = split
        found = dataset.manifest["splits"][split]
        self._files = [dataset.path / shard["file"] for shard in found["shards"]]
        self.num_notes = found["notes"]
        rows = read_index(dataset.path, split, found, dataset.codec)
        self._shards, self._offsets, self.lengths = rows.T
        """`lengths` Int64[records]: steps in each record."""
        self._maps: dict[int, memoryview] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> Record:
        if not 0 <= i < len(self):
            raise IndexError(f"record {i} of {len(self)}")
        shard = int(self._shards[i])
        data = self._map(shard)
        try:
            record = decode_record(tfrecord.read_at(data, int(self._offsets[i])), self.codec)
            check_steps(record.steps, self.codec)
        except UserError as error:
            raise DatasetError(f"{self._files[shard]}: {error}; prepare the dataset again") from error
        if len(record.steps) != self.lengths[i]:
            raise DatasetError(f"{self._files[shard]}: record {i} has {len(record.steps)} steps, not {self.lengths[i]}")
        return record

    def _map(self, shard: int) -> memoryview:
        if shard not in self._maps:
            with self._files[shard].open("rb") as file:
                self._maps[shard] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self._maps[shard]


def _write_tfds_description(folder: Path, name: str, codec: Codec, shards: Mapping[str, list[Shard]]) -> None:
    # Imported here: it takes half a second, patches builtins.__import__, and only the driver needs it.
    import tensorflow_datasets as tfds
    from etils import epath

    features = tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "style": tfds.features.Text(),
            "steps": tfds.features.Tensor(
                shape=(None, len(codec.fields)), dtype=codec.dtype, encoding=tfds.features.Encoding.BYTES
            ),
        }
    )
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[len(shard.lengths) for shard in parts],
            num_bytes=sum(shard.num_bytes for shard in parts),
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=epath.Path(folder),
                dataset_name=name,
                split=split,
                filetype_suffix="tfrecord",
            ),
        )
        for split, parts in shards.items()
    ]
    # TFDS wants to see a shard beside its description. Here there may be none: those of an object store are not here.
    with tempfile.TemporaryDirectory(dir=folder, prefix="tfds-") as empty:
        for parts in shards.values():
            (Path(empty) / parts[0].file).touch()
        tfds.folder_dataset.write_metadata(
            data_dir=empty, features=features, split_infos=infos, version="1.0.0", check_data=False
        )
        for file_name in ("dataset_info.json", "features.json"):
            (Path(empty) / file_name).replace(folder / file_name)
