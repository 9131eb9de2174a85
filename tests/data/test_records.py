import json
import tracemalloc

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ostinato.data import tfrecord
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.record_index import read_index
from ostinato.data.records import Dataset, DatasetError, Record, decode_record, encode_record
from ostinato.music.piece import make_piece
from ostinato.music.score_codec import ScoreCodec

CODEC = ScoreCodec()
COUNTS = {"inputs": 3, "accepted": 3, "rejected": 0, "duplicates": 0}


def _record(name, num_notes):
    rng = np.random.default_rng(num_notes)
    piece = make_piece(
        onset=rng.integers(0, 5000, num_notes),
        duration=np.full(num_notes, 100),
        pitch=rng.integers(30, 90, num_notes),
        velocity=np.full(num_notes, 80),
        program=np.zeros(num_notes),
        ticks_per_quarter=480,
    )
    return Record(name, "fôlk", CODEC.encode(piece))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "Some Music"
    records = {"train": [_record("a", 3), _record("b", 300)], "validation": [], "test": [_record("c", 20)]}
    write_dataset(path, records, CODEC, counts=COUNTS)
    return path


def test_records_come_back_in_any_order(folder):
    dataset = Dataset.open(folder)
    assert dataset.splits == ("train", "test")
    source = dataset.source("train")
    for i in (1, 0, 1):
        expected = _record("ab"[i], (3, 300)[i])
        assert source[i][:2] == expected[:2]
        np.testing.assert_array_equal(source[i].steps, expected.steps)
    assert source.lengths.tolist() == [len(source[0].steps), len(source[1].steps)]
    with pytest.raises(IndexError):
        source[2]


def test_tfds_reads_what_we_write_and_we_read_what_it_writes(folder):
    info = tfds.builder_from_directory(folder).info
    assert {name: split.num_examples for name, split in info.splits.items()} == {"train": 2, "test": 1}
    record = _record("b", 300)
    theirs = info.features.deserialize_example_np(encode_record(record))
    np.testing.assert_array_equal(theirs["steps"], record.steps)
    assert theirs["style"].decode() == "fôlk"
    ours = decode_record(info.features.serialize_example(record._asdict()), CODEC)
    assert ours[:2] == record[:2]
    np.testing.assert_array_equal(ours.steps, record.steps)


@pytest.mark.filterwarnings("default")  # TensorFlow's own
def test_tensorflow_yields_the_steps_that_our_reader_yields(folder):
    pytest.importorskip("tensorflow", reason="needs the extra tf")
    source = Dataset.open(folder).source("train")
    examples = tfds.builder_from_directory(folder).as_dataset(split="train").as_numpy_iterator()
    steps = {example["id"].decode(): example["steps"] for example in examples}
    assert len(steps) == len(source) == 2
    for i in range(2):
        np.testing.assert_array_equal(steps[source[i].id], source[i].steps)


def test_a_folder_without_manifest_is_not_a_dataset(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(DatasetError, match=r"not a finished dataset .*run 'ostinato prepare' first"):
        Dataset.open(folder)


def test_a_damaged_manifest_or_another_format_is_refused(folder):
    manifest = folder / "manifest.json"
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(DatasetError, match="has format 99, this version of ostinato reads 1"):
        Dataset.open(folder)
    manifest.write_text(json.dumps(document)[:-9])
    with pytest.raises(DatasetError, match="damaged"):
        Dataset.open(folder)


def test_a_missing_or_cut_shard_is_refused(folder):
    shard = next(folder.glob("*-train.tfrecord-*"))
    data = shard.read_bytes()
    shard.write_bytes(data[:-1])
    with pytest.raises(DatasetError, match=rf"{len(data) - 1} bytes, the manifest says {len(data)}"):
        Dataset.open(folder)
    shard.unlink()
    with pytest.raises(DatasetError, match="is missing"):
        Dataset.open(folder)


def test_a_flipped_bit_anywhere_in_a_record_is_noticed(folder):
    shard = next(folder.glob("*-test.tfrecord-*"))
    data = bytearray(shard.read_bytes())
    for position in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 4
        shard.write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"test\.tfrecord.*(checksum|within|before)"):
            Dataset.open(folder).source("test")[0]


def test_a_split_that_is_not_there_is_named(folder):
    with pytest.raises(DatasetError, match="has no split 'validation', only train, test"):
        Dataset.open(folder).source("validation")


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    paths = [tmp_path / name / "music" for name in ("one", "two", "three")]
    for path, seed in zip(paths, (5, 5, 6), strict=True):
        write_dataset(path, {"train": [_record("a", seed)]}, CODEC)
    one, two, three = (Dataset.open(path).fingerprint for path in paths)
    assert one == two != three


def test_a_record_cut_short_is_distinguished_from_a_whole_one():
    framed = tfrecord.frame(b"music")
    assert tfrecord.read_at(memoryview(framed), 0) == b"music"
    for length in range(len(framed)):
        with pytest.raises(tfrecord.CorruptRecordError, match="file ends at byte"):
            tfrecord.read_at(memoryview(framed[:length]), 0)


def test_values_longer_than_a_byte_can_count_survive():
    features = {"a": b"", "b": bytes(127), "c": bytes(128), "d": bytes(20_000)}
    assert tfrecord.decode_example(tfrecord.encode_example(features)) == features


def test_an_index_takes_sixteen_bytes_a_record_and_little_more_while_it_is_checked(tmp_path):
    count = 300_000
    (tmp_path / "index").mkdir()
    rows = np.zeros((count, 3), np.int64)
    rows[:, 1], rows[:, 2] = np.arange(count), 1 + np.arange(count) % 7
    np.save(tmp_path / "index/train.npy", rows)
    entry = {"pieces": count, "steps": 0, "notes": 0, "shards": [{"file": "a", "bytes": 2**40}]}
    tracemalloc.start()
    try:
        index = read_index(tmp_path, "train", entry, CODEC)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(index.offsets, rows[:, 1])
    np.testing.assert_array_equal(index.lengths, rows[:, 2])
    assert kept <= 16.5 * count
    assert peak <= 16 * count + 100 * 2**16
