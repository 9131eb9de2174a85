"""Datasets that are damaged, cut, incomplete, or of another version: one line with the path, and no harm done."""

import json
import shutil

import numpy as np
import pytest

from ostinato.data.records import Dataset
from tests.faults.conftest import flip, train
from tests.train.conftest import make_dataset

pytestmark = pytest.mark.slow


@pytest.fixture
def damaged(data, tmp_path):
    """A copy of the dataset, to be damaged."""
    return shutil.copytree(data, tmp_path / "damaged")


def shard(folder, split="train"):
    (path,) = folder.glob(f"*-{split}.tfrecord-*")
    return path


def refusal(forker, folder, workdir, *more):
    """Runs the command, which must fail with exit code 2, and returns its error."""
    ended = forker.run(*train(folder, workdir, *more))
    assert ended.code() == 2, ended.said
    assert "Traceback" not in ended.said
    return ended.error


def test_a_truncated_shard_is_named(forker, damaged, tmp_path):
    path = shard(damaged)
    path.write_bytes(path.read_bytes()[:-7])
    assert f"{path}: has {path.stat().st_size} bytes, the manifest says" in refusal(forker, damaged, tmp_path / "run")


def test_a_deleted_shard_is_named(forker, damaged, tmp_path):
    path = shard(damaged, "validation")
    path.unlink()
    assert f"{path}: is missing" in refusal(forker, damaged, tmp_path / "run")


def test_a_missing_manifest_is_named(forker, damaged, tmp_path):
    (damaged / "manifest.json").unlink()
    line = refusal(forker, damaged, tmp_path / "run")
    assert f"{damaged}: not a finished dataset (manifest.json is missing)" in line


def test_an_older_dataset_is_refused(forker, damaged, tmp_path):
    manifest = json.loads((damaged / "manifest.json").read_text())
    (damaged / "manifest.json").write_text(json.dumps({**manifest, "format": 0}))
    assert f"{damaged}/manifest.json: has format 0" in refusal(forker, damaged, tmp_path / "run")


def test_a_flipped_byte_in_a_shard_ends_the_run_with_its_path_and_the_checkpoints_stay(forker, damaged, tmp_path):
    """The longest piece is damaged after the run has begun; it is read from the shard anew by the second process."""
    first = forker.run(*train(damaged, tmp_path / "run", "--num-steps", 3))
    assert first.code() == 0, first.said
    index = np.load(damaged / "index/train.npy")
    longest = index[np.argmax(index[:, 2])]
    flip(shard(damaged), int(longest[1]) + 40)
    line = refusal(forker, damaged, tmp_path / "run")
    assert f"{shard(damaged)}: wrong checksum of the record at byte {longest[1]}" in line
    for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines(keepends=True):
        assert text.endswith("\n")
        json.loads(text)
    shown = forker.run("runs", "show", tmp_path / "run", "--json")
    assert json.loads(shown.last_line)["step"] >= 3


@pytest.mark.parametrize("column", [1, 2])
def test_a_flipped_byte_in_the_index_is_noticed(forker, damaged, tmp_path, column):
    """In the place of a record, or in its length."""
    path = damaged / "index/train.npy"
    index = np.load(path)
    longest = int(np.argmax(index[:, 2]))
    flip(path, path.stat().st_size - index.nbytes + 8 * (3 * longest + column))
    assert str(damaged) in refusal(forker, damaged, tmp_path / "run")


def test_another_dataset_is_refused(forker, data, straight, tmp_path):
    make_dataset(tmp_path / "other", (30, 40), (12, 9))
    line = refusal(forker, tmp_path / "other", straight)
    assert "this run was started differently" in line
    assert f"dataset: {json.dumps(Dataset.open(data).fingerprint)[:57]}" in line
